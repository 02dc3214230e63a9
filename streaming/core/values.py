"""Stateless values: what is read from the event alone, one column of features each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.entity import Aggregate
from weir.schemas.expression import Expression, columns_of
from weir.schemas.expression_of_row import plan_of_row
from weir.schemas.stream import Stream
from weir.streaming.core.columns import as_numbers, compute_numbers, with_columns
from weir.streaming.core.events import EventBatch, list_conditions

Read = Callable[[EventBatch], NDArray[Any]]


def plan_values(stream: Stream) -> dict[int, Read]:
    """Return what computes each stateless value, by its column among the stream's features."""
    values = {column: f.measure for column, f in enumerate(stream.all_features) if f.aggregate == Aggregate.VALUE}
    return {column: _plan(stream, stream.value_expressions[name]) for column, name in values.items()}


def _plan(stream: Stream, node: Expression) -> Read:
    """Take measures, flags and fields as they are; a lone event would wait for Arrow as long as for the kernel."""
    bits = {name: bit for name, _, bit in list_conditions(stream)}
    measures = [measure.name for measure in stream.measures]
    if node.op == "col" and node.value in bits:
        return lambda events: events.flags & np.uint32(bits[node.value]) > 0
    if node.op == "col" and node.value in measures:
        return lambda events: events.values[measures.index(node.value)]
    flags = {name: bit for name, bit in bits.items() if name in columns_of(node)}
    of_row = plan_of_row(node)

    def read(events: EventBatch) -> NDArray[Any]:
        if isinstance(events.records, pa.RecordBatch):
            return compute_numbers(node, _with_flags(events.records, events.flags, flags))
        return as_numbers(map(of_row, events.records))

    return read


def _with_flags(records: pa.RecordBatch, flags: NDArray[np.uint32], bits: Mapping[str, int]) -> pa.RecordBatch:
    return with_columns(records, {name: pa.array(flags & np.uint32(bit) > 0) for name, bit in bits.items()})
