"""Features as a table: what each measures, its windows side by side, and what it is there to show. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weir.console.reasons import describe_feature, say_window, show_value
from weir.schemas.stream import Stream


@dataclass(frozen=True)
class Row:
    """A measure of an entity.

    Attributes:
        what: is measured.
        why: it matters, as its declaration says.
        windows: the name of each feature, its window and its value, in words.
    """

    entity: str
    what: str
    why: str
    windows: list[tuple[str, str, str]] = field(default_factory=list)


def build_rows(values: Mapping[str, float | None], stream: Stream) -> list[Row]:
    """Return the features that there are values of, in the order in which the stream declares them.

    >>> from weir.schemas.streams.payments import payments
    >>> build_rows({"card_amount_sum_1h": 2599.0, "card_amount_sum_1d": None}, payments)[0].windows
    [('card_amount_sum_1h', '1 hour', '25.99 USD'), ('card_amount_sum_1d', '1 day', '-')]
    """
    rows: dict[tuple[str, str, str, str], Row] = {}
    for feature in stream.all_features:
        if feature.name not in values:
            continue
        key = (feature.entity, feature.measure, feature.aggregate, feature.hold)
        row = rows.setdefault(key, Row(feature.entity, describe_feature(feature, stream), feature.why))
        value = show_value(values[feature.name], feature, stream)
        row.windows.append((feature.name, say_window(feature.window), value))
    return list(rows.values())
