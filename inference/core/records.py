"""Decision records: one Arrow batch in the shape of ``schemas/decisions.avsc``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.inference.core.decisions import OUTCOMES, Judgement
from weir.inference.core.reasons import Reason
from weir.schemas.features import ENTITIES

_COPIED = ("transaction_id", "card_id", "merchant_id", "amount_minor", "currency", "declarations_hash", "late",
           "event_time_ms", "ingest_time_ms", "source_partition", "source_offset")  # fmt: skip
"""What a decision takes from its feature row as it is."""

ID_FIELDS: dict[str, str] = {str(spec.entity): spec.id_field for spec in ENTITIES}
"""Entity kind to the field of a feature row that names it."""


@dataclass(frozen=True)
class ModelLabel:
    """Which model decided."""

    name: str
    version: str


@cache
def decision_schema() -> pa.Schema:
    """Return the Arrow schema of decisions: the Avro fields in their order, all as the codec wants them."""
    reason = pa.struct([pa.field("code", pa.string()), pa.field("detail", pa.string())])
    types: Mapping[str, pa.DataType] = {
        "transaction_id": pa.string(),
        "card_id": pa.string(),
        "merchant_id": pa.string(),
        "amount_minor": pa.int64(),
        "currency": pa.string(),
        "decision": pa.string(),
        "score": pa.float64(),
        "decided_by": pa.string(),
        "reasons": pa.list_(pa.field("item", reason)),
        "model_name": pa.string(),
        "model_version": pa.string(),
        "rules_version": pa.string(),
        "declarations_hash": pa.string(),
        "degraded": pa.bool_(),
        "degraded_by": pa.list_(pa.field("item", pa.string())),
        "late": pa.bool_(),
        "event_time_ms": pa.int64(),
        "ingest_time_ms": pa.int64(),
        "decision_time_ms": pa.int64(),
        "source_partition": pa.int32(),
        "source_offset": pa.int64(),
    }
    return pa.schema([pa.field(name, kind, nullable=name == "score") for name, kind in types.items()])


def read_ids(rows: pa.RecordBatch, kinds: Iterable[str]) -> dict[str, list[str | None]]:
    """Return the ids of some entity kinds, one per row."""
    return {kind: rows.column(ID_FIELDS[kind]).to_pylist() for kind in kinds}


def build_decisions(
    rows: pa.RecordBatch,
    judgement: Judgement,
    degraded_by: pa.ListArray,
    *,
    model: ModelLabel,
    decision_time_ms: int,
) -> pa.RecordBatch:
    """Put feature rows and their judgement together.

    Args:
        rows: feature rows, as the codec decodes them.
        judgement: one outcome per row.
        degraded_by: lists of strings, per row what it was made without.
        model: that judged.
        decision_time_ms: when, UTC epoch ms.
    """
    count = rows.num_rows
    schema = decision_schema()
    scores = judgement.scores.astype(np.float64)
    outcomes = pa.DictionaryArray.from_arrays(pa.array(judgement.outcomes.astype(np.int8)), list(OUTCOMES))
    columns: dict[str, pa.Array] = {name: rows.column(name) for name in _COPIED}
    columns |= {
        "decision": outcomes.cast(pa.string()),
        "score": pa.array(scores, mask=np.isnan(scores)),
        "decided_by": pa.array(judgement.decided_by, pa.string()),
        "reasons": _build_reasons(judgement.reasons, schema.field("reasons").type),
        "model_name": _constant(model.name, count),
        "model_version": _constant(model.version, count),
        "rules_version": _constant(judgement.rules_version, count),
        "degraded": pc.greater(pc.list_value_length(degraded_by), 0),
        "degraded_by": degraded_by,
        "decision_time_ms": pa.array(np.full(count, decision_time_ms, dtype=np.int64)),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _build_reasons(reasons: Sequence[Sequence[Reason]], kind: pa.ListType) -> pa.ListArray:
    ends = np.cumsum(np.fromiter(map(len, reasons), dtype=np.int32, count=len(reasons)), dtype=np.int32)
    every = list(chain.from_iterable(reasons))
    codes = pa.array([reason.code for reason in every], pa.string())
    details = pa.array([reason.detail for reason in every], pa.string())
    items = pa.StructArray.from_arrays([codes, details], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(np.append(np.int32(0), ends)), items, type=kind)


def _constant(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)
