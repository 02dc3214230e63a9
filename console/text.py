"""What pages write of values: ids that cannot act, money, times, scores; and how they read a time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from weir.schemas.currencies import BASE_CURRENCY, format_amount
from weir.schemas.expression import find_money
from weir.schemas.masking import mask
from weir.schemas.printable import escape
from weir.schemas.stream import Stream

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def show_text(value: object) -> str:
    r"""Return text from outside without card numbers, every character that acts or hides written as its code.

    >>> show_text("a\u202eb"), show_text(None)
    ('a\\u202eb', '-')
    """
    return "-" if value is None else escape(mask(str(value)))


def show_name(value: object) -> str:
    """Return text of our own making, such as a model's version, whose digits are no card number.

    >>> show_name("20260101-120000")
    '20260101-120000'
    """
    return "-" if value is None else escape(str(value))


def show_id(value: object) -> Markup:
    r"""Return an id as HTML; right-to-left text in it turns nothing around it.

    >>> show_id("<b>")
    Markup('<bdi class="id">&lt;b&gt;</bdi>')
    """
    return Markup('<bdi class="id">{}</bdi>').format(show_text(value))


def show_time(at_ms: int | None) -> str:
    """Return a time in UTC.

    >>> show_time(1_767_268_800_000)
    '2026-01-01 12:00:00'
    """
    return "-" if at_ms is None else datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def read_time(given: str) -> int | str | None:
    """Return epoch milliseconds of a time as a browser sends it; nothing for another text.

    >>> read_time("2026-01-01T12:00"), read_time(""), read_time("noon")
    (1767268800000, '', None)
    """
    if not given:
        return ""
    try:
        return int(datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None


def show_age(at_ms: int, *, now_ms: int) -> str:
    """Return how long ago something was, in its two largest units.

    >>> show_age(0, now_ms=90_000), show_age(0, now_ms=93_600_000), show_age(5, now_ms=0)
    ('1 min', '1 d 2 h', '0 s')
    """
    seconds = max(now_ms - at_ms, 0) // 1_000
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"


def show_score(score: float | None) -> str:
    """Return a score, or that there is none.

    >>> show_score(0.61234), show_score(None)
    ('0.612', 'none')
    """
    return "none" if score is None else f"{score:.3f}"


def show_number(value: Any) -> str:
    """Return a feature's value with no more digits than help.

    >>> show_number(12345.0), show_number(0.12345), show_number(None)
    ('12,345', '0.123', '-')
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return show_text(value)
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1_000 else f"{value:.3g}"


def show_loss(loss: float, stream: Stream) -> str:
    """Return an expected loss as money, or without any as a number of events.

    >>> from weir.schemas.streams.payments import payments
    >>> show_loss(152_614, payments)
    '1,526.14 USD'
    """
    of_money = any(find_money(measure.value) for measure in stream.measures)
    return format_amount(loss, BASE_CURRENCY) if of_money else f"{loss:.2f}"


def list_amounts(decision: Mapping[str, Any], stream: Stream) -> dict[str, tuple[frozenset[str], str]]:
    """Return the measures of money that a decision's fields give, each with the fields and the amount in words.

    >>> from weir.schemas.streams.payments import payments
    >>> list_amounts({"amount_minor": 2599, "currency": "EUR"}, payments)["amount"][1]
    '25.99 EUR'
    """
    found = {}
    for measure in stream.measures:
        for money in find_money(measure.value):
            amount, currency = (decision.get(str(part.value)) for part in money.parts)
            if isinstance(amount, int) and isinstance(currency, str):
                fields = frozenset(str(part.value) for part in money.parts)
                found[measure.name] = fields, format_amount(amount, currency)
    return found
