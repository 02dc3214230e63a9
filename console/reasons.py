"""A decision's reasons in plain words: what a feature measures, what it was, what is typical, why it matters. Pure.

A reason of a model reads ``NAME = VALUE (typical VALUE)``, with the name of a declared feature; the words are made of
the declaration, so that a new feature has some without anybody writing them. Others are sentences already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from weir.console.text import show_number
from weir.schemas.currencies import BASE_CURRENCY, format_amount
from weir.schemas.entity import Aggregate, Feature
from weir.schemas.expression import find_money
from weir.schemas.stream import Stream

_MEASURED = re.compile(r"(\w+) = (\S+)(?: \(typical (\S+)\))?")
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_MONEY = frozenset({Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.MIN, Aggregate.MAX})
_WORDS: Mapping[str, str] = {
    Aggregate.SUM: "sum of {measure}",
    Aggregate.MEAN: "mean {measure}",
    Aggregate.STD: "spread of {measure}",
    Aggregate.MIN: "smallest {measure}",
    Aggregate.MAX: "largest {measure}",
    Aggregate.RATIO: "share of {event}s that are {measure}",
    Aggregate.DISTINCT: "different values of {measure}",
    Aggregate.NEW: "{measure} not seen before",
    Aggregate.GAP: "seconds since the {event} before",
    Aggregate.AGE: "seconds since its first {event}",
    Aggregate.DECAYED: "{event}s, older ones counting less",
    Aggregate.SPEED: "speed of travel, km/h",
    Aggregate.ZSCORE: "{measure} against its own normal, in standard deviations",
    Aggregate.OVER_MIN: "{measure} over its smallest",
    Aggregate.RISK: "share of labelled {event}s that were fraud",
}


class Explained(NamedTuple):
    """A reason.

    Attributes:
        code: as it is in the decision.
        title: the code in words.
        what: what was measured, or the sentence that the decider gave.
        value: what was found; ``""`` where nothing was measured.
        typical: likewise.
        why: why it matters, as its declaration says.
    """

    code: str
    title: str
    what: str
    value: str = ""
    typical: str = ""
    why: str = ""


def explain(reason: Mapping[str, Any], stream: Stream) -> Explained:
    """Return a reason in plain words.

    >>> from weir.schemas.streams.payments import payments
    >>> found = explain({"code": "CARD_BURST", "detail": "card_event_count_5m = 4 (typical 1)"}, payments)
    >>> found.title, found.what, found.value, found.typical
    ('Card burst', 'card: number of transactions in 5 minutes', '4', '1')
    """
    code, detail = str(reason["code"]), str(reason["detail"])
    title = code.replace("_", " ").capitalize()
    found = _MEASURED.fullmatch(detail)
    feature = next((each for each in stream.all_features if found and each.name == found[1]), None)
    if found is None or feature is None:
        return Explained(code, title, detail)
    value, typical = (_read(text, feature, stream) for text in (found[2], found[3]))
    return Explained(code, title, _name(feature, stream), value, typical, feature.why)


def describe_feature(feature: Feature, stream: Stream) -> str:
    """Return what a feature measures, without its window.

    >>> from weir.schemas.streams.payments import payments
    >>> [describe_feature(each, payments) for each in payments.all_features if each.name == "card_amount_max_1d"]
    ['largest amount']
    """
    measure = feature.measure.replace("_", " ")
    if feature.aggregate == Aggregate.VALUE:
        return measure
    if feature.aggregate == Aggregate.COUNT:
        return f"number of {stream.event if feature.measure == 'event' else measure}s"
    return _WORDS.get(feature.aggregate, f"{measure} {feature.aggregate}").format(measure=measure, event=stream.event)


def say_window(window: str) -> str:
    """Return a window in words.

    >>> say_window("5m"), say_window("1d"), say_window("")
    ('5 minutes', '1 day', '')
    """
    if window[-1:] not in _UNITS or not window[:-1].isdigit():
        return window
    return f"{window[:-1]} {_UNITS[window[-1]]}{'' if window[:-1] == '1' else 's'}"


def show_value(value: float | None, feature: Feature, stream: Stream) -> str:
    """Return a feature's value: as money where it is in minor units of the base currency."""
    if value is None or feature.aggregate not in _MONEY:
        return show_number(value)
    of_money = any(each.name == feature.measure and find_money(each.value) for each in stream.measures)
    return format_amount(value, BASE_CURRENCY) if of_money else show_number(value)


def _name(feature: Feature, stream: Stream) -> str:
    within = f" in {say_window(feature.window)}" if feature.window else ""
    held = f", up to {say_window(feature.hold)} before" if feature.hold else ""
    return f"{feature.entity}: {describe_feature(feature, stream)}{within}{held}"


def _read(text: str | None, feature: Feature, stream: Stream) -> str:
    if text is None:
        return ""
    try:
        return show_value(float(text), feature, stream)
    except ValueError:
        return text  # "missing"
