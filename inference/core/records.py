"""Decision records: one Arrow batch in the shape of a stream's decisions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.inference.core.calibration import SETS
from weir.inference.core.decisions import OUTCOMES, Judgement
from weir.inference.core.reasons import Reason

_SETS = pa.array(SETS, pa.string())
_TEXTS_MAX, _REPEATED_MIN = 32, 1_024
"""Columns of one text that are kept, and how long they are at least. Names and versions are the same in batch after
batch, so a column is a slice of what was made once: of 4,096 rows and 20 characters, 100 kB.
"""


@dataclass(frozen=True)
class ModelLabel:
    """Which model decided."""

    name: str
    version: str


@dataclass(frozen=True)
class Shadowed:
    """What a model said that decided nothing.

    Attributes:
        scores: float32, shape (rows,); NaN where it gave none.
    """

    model: ModelLabel
    scores: npt.NDArray[np.float32]


def read_ids(rows: pa.RecordBatch, kinds: Iterable[str], id_field_of: Mapping[str, str]) -> dict[str, pa.Array]:
    """Return the ids of some entity kinds, one per row, by the field of each."""
    return {kind: rows.column(id_field_of[kind]) for kind in kinds}


def build_decisions(
    rows: pa.RecordBatch,
    judgement: Judgement,
    degraded_by: pa.ListArray,
    *,
    schema: pa.Schema,
    model: ModelLabel,
    decision_time_ms: int,
    shadow: Shadowed | None = None,
) -> pa.RecordBatch:
    """Put feature rows and their judgement together.

    Args:
        rows: feature rows, as the codec decodes them.
        judgement: one outcome per row.
        degraded_by: lists of strings, per row what it was made without.
        schema: of the stream's decisions; what is not made here is taken from the rows as it is.
        model: that judged.
        decision_time_ms: when, UTC epoch ms.
        shadow: what was scored next to it, where something was.
    """
    count = rows.num_rows
    outcomes = pa.DictionaryArray.from_arrays(pa.array(judgement.outcomes.astype(np.int8)), list(OUTCOMES))
    made: dict[str, pa.Array] = {
        "decision": outcomes.cast(pa.string()),
        "score": _build_scores(judgement.scores),
        "decided_by": pa.array(judgement.decided_by, pa.string()),
        "reasons": _build_reasons(judgement.reasons, schema.field("reasons").type),
        "model_name": _constant(model.name, count),
        "model_version": _constant(model.version, count),
        "rules_version": _constant(judgement.rules_version, count),
        "degraded": pc.greater(pc.list_value_length(degraded_by), 0),
        "degraded_by": degraded_by,
        "tags": _build_texts(judgement.tags, count),
        "shadow_rules": _build_texts(judgement.shadow_rules, count),
        "propensity": _build_propensity(judgement.propensity, count),
        "decision_time_ms": pa.array(np.full(count, decision_time_ms, dtype=np.int64)),
    }
    made |= _build_shadow(shadow, count) | build_confidence(judgement)
    columns = [made[name] if name in made else rows.column(name) for name in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _build_shadow(shadow: Shadowed | None, count: int) -> dict[str, pa.Array]:
    if shadow is None:
        names = pa.nulls(count, pa.string())
        return {
            "shadow_model_name": names,
            "shadow_model_version": names,
            "shadow_score": pa.nulls(count, pa.float64()),
        }
    return {
        "shadow_model_name": _constant(shadow.model.name, count),
        "shadow_model_version": _constant(shadow.model.version, count),
        "shadow_score": _build_scores(shadow.scores),
    }


def build_confidence(judgement: Judgement) -> dict[str, pa.Array]:
    """Return how sure the model is, as columns; nulls where it has no calibration or gave no score."""
    calibration, scores = judgement.calibration, judgement.scores
    if calibration is None:
        nothing = pa.nulls(len(scores), pa.float64()), pa.nulls(len(scores), pa.string())
        return dict(zip(("probability", "prediction_set"), nothing, strict=True))
    missing = np.isnan(scores)
    sets = _SETS.take(pa.array(calibration.compute_sets(scores), mask=missing))
    return {
        "probability": pa.array(calibration.compute_probabilities(scores), mask=missing),
        "prediction_set": sets,
    }


def _build_reasons(reasons: Sequence[Sequence[Reason]], kind: pa.ListType) -> pa.ListArray:
    ends = np.cumsum(np.fromiter(map(len, reasons), dtype=np.int32, count=len(reasons)), dtype=np.int32)
    every = list(chain.from_iterable(reasons))
    codes = pa.array([reason.code for reason in every], pa.string())
    details = pa.array([reason.detail for reason in every], pa.string())
    items = pa.StructArray.from_arrays([codes, details], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(np.append(np.int32(0), ends)), items, type=kind)


def _build_propensity(propensity: npt.NDArray[np.float64] | None, count: int) -> pa.Array:
    return pa.nulls(count, pa.float64()) if propensity is None else pa.array(propensity, mask=np.isnan(propensity))


def _build_texts(texts: Sequence[Sequence[str]], count: int) -> pa.ListArray:
    return pa.array(texts or [()] * count, pa.list_(pa.string()))


def _build_scores(scores: npt.NDArray[np.float32]) -> pa.Array:
    """Return scores as a column, null where there is none."""
    return pa.array(scores.astype(np.float64), from_pandas=True)  # which makes NaN null


def _constant(text: str, count: int) -> pa.Array:
    return _repeat(text, max(_REPEATED_MIN, 1 << (count - 1).bit_length())).slice(0, count)


@lru_cache(maxsize=_TEXTS_MAX)
def _repeat(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)
