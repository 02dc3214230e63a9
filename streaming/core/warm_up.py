"""Compiles a kernel before it is needed: by the first start some tens of seconds, by later ones under a second.

Numba keeps compiled code next to the source, so only the first process after a change pays. A processor that compiled
inside its first batch would hold its partitions meanwhile.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from weir.schemas.placeholders import BUILT_IN
from weir.schemas.stream import Stream
from weir.streaming.core.hashing import compute_partitions
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.partial_table import warm_up as warm_up_shelves
from weir.streaming.core.states import States


def warm_up(kernel: Kernel) -> None:
    """Run every entry point once on nothing."""
    nothing, digests = np.zeros(0, np.int64), np.zeros(0, np.uint32)
    events = kernel.build_events(
        _no_events(kernel.stream), append_time_ms=nothing, partition=0, body_digest=digests, placeholders=BUILT_IN
    )
    compute_partitions(pa.array([], pa.string()), 1)
    warm_up_shelves()
    own: dict[str, list[bytes]] = {entity: [] for entity in kernel.entities}
    kernel.step(events, States(own))
    kernel.fold(events, own)
    for entity in kernel.entities:
        kernel.read(entity, [], [], 0)
    if kernel.label_entities:
        labels = kernel.build_labels(_no_labels(kernel.stream), partition=0, placeholders=BUILT_IN)
        kernel.fold_labels(labels, {entity: [] for entity in kernel.label_entities})
        kernel.find_known_elsewhere(labels, [], [])


def _no_events(stream: Stream) -> pa.RecordBatch:
    """Return no record of the stream, with the columns that the kernel reads by name; others are null by themselves."""
    fields = {name: pa.string() for name in (*stream.id_fields, *stream.attribute_fields)} | {stream.time: pa.int64()}
    if stream.position:
        fields |= {stream.position.lat: pa.float64(), stream.position.lon: pa.float64()}
    return pa.RecordBatch.from_pylist([], schema=pa.schema(list(fields.items())))


def _no_labels(stream: Stream) -> pa.RecordBatch:
    fields = {name: pa.string() for name in (stream.id, stream.key.field)} | {stream.time: pa.int64()}
    if stream.labels:
        fields |= {stream.labels.time: pa.int64(), stream.labels.verdict: pa.bool_()}
    return pa.RecordBatch.from_pylist([], schema=pa.schema(list(fields.items())))
