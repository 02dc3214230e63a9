"""What is at stake in an event, where a stream has money."""

from __future__ import annotations

from weir.schemas.expression import col, find_money, to_json
from weir.schemas.stream import Stream


def find_stake(stream: Stream) -> int | None:
    """Return the column of what is at stake: the value that is the stream's first measure of money; None without."""
    measures = [measure.name for measure in stream.measures if find_money(measure.value)]
    for value in stream.values if measures else ():
        if to_json(value.value) == to_json(col(measures[0])):
            return stream.feature_names.index(f"{stream.event}_{value.name}")
    return None
