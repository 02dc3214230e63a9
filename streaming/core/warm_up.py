"""Compiles the kernel before it is needed: by the first start some tens of seconds, by later ones under a second.

Numba keeps compiled code next to the source, so only the first process after a change pays. A processor that compiled
inside its first batch would hold its partitions meanwhile.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from weir.schemas.features import ENTITIES
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.events import build_event_batch
from weir.streaming.core.hashing import compute_partitions
from weir.streaming.core.kernel import States, fold, read, step
from weir.streaming.core.labels import LABEL_ENTITIES, build_label_batch, fold_labels


def warm_up() -> None:
    """Run every entry point once on nothing."""
    fields = [
        *[(name, pa.string()) for name in ("transaction_id", "card_id", "customer_id", "merchant_id", "channel")],
        *[(name, pa.string()) for name in ("currency", "country", "outcome", "device_id", "ip", "issuer_country")],
        *[("mcc", pa.int32()), ("amount_minor", pa.int64()), ("event_time_ms", pa.int64())],
        *[("lat", pa.float64()), ("lon", pa.float64())],
    ]
    transactions = pa.RecordBatch.from_pylist([], schema=pa.schema(fields))
    nothing = np.zeros(0, np.int64)
    digests = np.zeros(0, np.uint32)
    events = build_event_batch(
        transactions, append_time_ms=nothing, partition=0, body_digest=digests, placeholders=BUILT_IN
    )
    compute_partitions(transactions.column("card_id"), 1)
    step(events, States(own={spec.entity: [] for spec in ENTITIES}))
    fold(events, {spec.entity: [] for spec in ENTITIES})
    for spec in ENTITIES:
        read(spec.entity, [], [], 0)
    names = ("transaction_id", "card_id", "merchant_id", "device_id")
    times = [("event_time_ms", pa.int64()), ("label_time_ms", pa.int64()), ("is_fraud", pa.bool_())]
    labels = pa.RecordBatch.from_pylist([], schema=pa.schema([*[(name, pa.string()) for name in names], *times]))
    empty = build_label_batch(labels, partition=0, placeholders=BUILT_IN)
    fold_labels(empty, {entity: [] for entity in LABEL_ENTITIES})
