"""Stateless values: what is read from the event alone, one column of features each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.entity import Aggregate
from weir.schemas.expression import Expression, columns_of
from weir.schemas.stream import Stream
from weir.streaming.core.columns import compute_numbers, read_numbers, with_columns
from weir.streaming.core.events import EventBatch, list_conditions

Read = Callable[[EventBatch], NDArray[Any]]


def plan_values(stream: Stream) -> dict[int, Read]:
    """Return what computes each stateless value, by its column among the stream's features."""
    values = {column: f.measure for column, f in enumerate(stream.all_features) if f.aggregate == Aggregate.VALUE}
    return {column: _plan(stream, stream.value_expressions[name]) for column, name in values.items()}


def _plan(stream: Stream, node: Expression) -> Read:
    """Take measures, flags and fields as they are; a lone event would wait for Arrow as long as for the kernel."""
    bits = {name: bit for name, _, bit in list_conditions(stream)}
    if node.op != "col":
        read = {name: bit for name, bit in bits.items() if name in columns_of(node)}
        return lambda events: compute_numbers(node, _with_flags(events, read))
    name = node.value
    measures = [measure.name for measure in stream.measures]
    if name in bits:
        return lambda events: events.flags & np.uint32(bits[name]) > 0
    if name in measures:
        return lambda events: events.values[measures.index(name)]
    return lambda events: read_numbers(events.records, name)


def _with_flags(events: EventBatch, bits: Mapping[str, int]) -> pa.RecordBatch:
    columns = {name: pa.array(events.flags & np.uint32(bit) > 0) for name, bit in bits.items()}
    return with_columns(events.records, columns)
