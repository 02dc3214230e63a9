"""Amounts of a stream as people read them: ``25.99 EUR``, and never 2,599 of nothing. Pure."""

from __future__ import annotations

from typing import Final

from weir.schemas.currencies import BASE_CURRENCY, format_amount
from weir.schemas.entity import Aggregate, Feature
from weir.schemas.expression import find_money
from weir.schemas.stream import Stream

_IN_MONEY: Final = {
    Aggregate.VALUE, Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.MIN, Aggregate.MAX,
}  # fmt: skip


def list_amounts(stream: Stream) -> list[tuple[str, str, str]]:
    """Return each measure of money that a decision can show: its name, and the fields of minor units and currency."""
    found = [
        (measure.name, node.parts[0].value, node.parts[1].value)
        for measure in stream.measures
        for node in find_money(measure.value)
    ]
    return [each for each in found if {*each[1:]} <= {*stream.kept_in_decisions}]


def format_feature(feature: Feature, value: float | None, stream: Stream) -> str:
    """Write a value for people; sums and means of amounts are in the base currency, whatever was paid in."""
    if value is None:
        return "-"
    of_money = {measure.name for measure in stream.measures if find_money(measure.value)}
    if stream.reversal and stream.reversal.of in of_money:
        of_money.add(stream.reversal.name)
    if feature.measure in of_money and feature.aggregate in _IN_MONEY:
        return format_amount(value, BASE_CURRENCY)
    return f"{value:,.6g}"
