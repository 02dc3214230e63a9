"""One record of a request: what a stream derives from it, and whether it passes what is asked of records.

The twin of ``validation.py`` for a record at a time. It says yes or no; what is wrong with a record that does not pass,
``validation.py`` says: a request that is refused may take its time. Tests hold the two to each other.

**Cost:** some 15 us a payment, where columns of one row take a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weir.schemas.currencies import CURRENCIES, MAX_AMOUNT_BASE_MINOR
from weir.schemas.expression import Expression, find_money
from weir.schemas.expression_of_row import OfRow, Row, plan_of_row
from weir.schemas.masking import DIGITS_MIN, is_card_number, is_issued_card_number
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.ids import ID_BYTES_MAX
from weir.schemas.records.times import FUTURE_MS_MAX
from weir.schemas.records.units import EARLIEST_TIME_MS
from weir.schemas.records.values import compute_amount_minor_max
from weir.schemas.stream import Measure, Stream

Passes = Callable[[Row], bool]


class RowPlan:
    """What follows from a stream's declarations for one record."""

    def __init__(self, stream: Stream, placeholders: Placeholders) -> None:
        """Plan it."""
        self._stream = stream
        self._placeholders = placeholders.with_zero_fields(stream.zero_fields)
        self._measures = {measure.name: plan_of_row(measure.value) for measure in stream.measures}
        conditions: dict[str, Expression] = {flag.name: flag.when for flag in stream.flags}
        if stream.reversal:
            conditions[stream.reversal.name] = stream.reversal.when
        self._flags = {name: plan_of_row(when) for name, when in conditions.items()}
        self._tokens = frozenset(entity.field for entity in stream.entities if entity.card_tokens)
        self._named = tuple(dict.fromkeys((stream.id, stream.key.field)))
        self._bounds = [passes for measure in stream.measures for passes in _plan_bounds(measure)]
        self._checks: list[OfRow] = [plan_of_row(check.must) for check in stream.all_checks]

    def derive(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a record, and next to them its measures and flags."""
        row = {name: compute(record) for name, compute in self._measures.items()} | dict(record)
        return {name: compute(row) is True for name, compute in self._flags.items()} | row

    def passes(self, row: Row, *, append_time_ms: int) -> bool:
        """Return whether ``validate_events`` has nothing against a record under its own key.

        Args:
            row: from ``derive``.
            append_time_ms: the broker's, or what stands for it.
        """
        return (
            EARLIEST_TIME_MS <= row[self._stream.time] <= append_time_ms + FUTURE_MS_MAX
            and self._has_good_ids(row)
            and all(passes(row) for passes in self._bounds)
            and all(check(row) is not False for check in self._checks)
            and self._has_good_position(row)
        )

    def known(self, field: str, value: str | None) -> str | None:
        """Return the text of a field; none where it is an id that names nobody."""
        if value is None or field not in self._stream.id_fields:
            return value
        return None if self._placeholders.covers(field, value) else value

    def _has_good_ids(self, row: Row) -> bool:
        ids = [row[name] for name in self._stream.id_fields]
        if not all(value is None or 0 < len(value.encode()) <= ID_BYTES_MAX for value in ids):
            return False
        texts = [(name, value) for name, value in row.items() if isinstance(value, str) and len(value) >= DIGITS_MIN]
        return not any(self._is_card(*each) for each in texts) and all(
            self.known(name, row[name]) is not None for name in self._named
        )

    def _is_card(self, name: str, text: str) -> bool:
        return is_issued_card_number(text) or (name in self._tokens and is_card_number(text))

    def _has_good_position(self, row: Row) -> bool:
        if self._stream.position is None:
            return True
        lat, lon = row[self._stream.position.lat], row[self._stream.position.lon]
        if lat is None or lon is None:
            return lat is lon
        return bool(abs(lat) <= 90.0 and abs(lon) <= 180.0)


def _plan_bounds(measure: Measure) -> list[Passes]:
    """Return what is asked of a measure: its money and its own bound."""
    asked = [
        _plan_money(money, (measure.bound if money is measure.value else None) or MAX_AMOUNT_BASE_MINOR)
        for money in find_money(measure.value)
    ]
    return asked if measure.value.op == "money" else [*asked, _plan_bound(measure.name, measure.bound or 0)]


def _plan_money(money: Expression, bound: int) -> Passes:
    amount, currency = (part.value for part in money.parts)
    limits = {code: compute_amount_minor_max(code, bound) for code in CURRENCIES}
    return lambda row: row[currency] in limits and -limits[row[currency]] <= row[amount] <= limits[row[currency]]


def _plan_bound(name: str, bound: int) -> Passes:
    return lambda row: row[name] is not None and -bound <= row[name] <= bound
