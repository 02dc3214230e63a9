"""Makes a decision again from its logged feature row, by what decided then, and compares it field by field.

The score of the shadow that stood next to it is made again too, where its bundle is left; where it is not, everything
else is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from weir.archive.records import Record, codec_of, decode
from weir.inference.bundle import Bundle
from weir.inference.core.lists import Lists
from weir.inference.core.reason_codes import MODEL_SCORE
from weir.inference.core.records import ModelLabel, Shadowed
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.decide import SOURCE_TOPIC, Decider, DecisionWriter
from weir.inference.shadow import ShadowScorer
from weir.schemas.avro.codec import SchemaLookup, WriterSchema
from weir.schemas.contracts import decisions_schema, features_schema
from weir.schemas.errors import Damaged
from weir.schemas.stream import Stream
from weir.streaming.feature_rows import FeatureRowReader

_UNEXPLAINED = (
    "the decision was recorded without an explanation, which the record allows: in a batch with many rows that were "
    "not approved the last ones get the score as their reason"
)

_UNSCORED = (
    "the shadow gave no score then, and gives one now, which the record allows: a shadow that fails gives none for all "
    "rows of its batch"
)

_OTHERS_IN_FORCE = (
    "other rules, lists or thresholds were in force then; give those with --rules, --lists and --thresholds: "
    "docs/evidence.md says where they are"
)

_ALLOWED = {"reasons": _UNEXPLAINED, "shadow_score": _UNSCORED}


@dataclass(frozen=True)
class DecidedBy:
    """What decides: model, lists, rules, and thresholds that stand before the model's own.

    Attributes:
        shadow: the model that scores next to it; None where none did, or where it is not left.
        why_no_shadow: why the shadow that the decision names cannot score again; empty where it can, or names none.
    """

    bundle: Bundle
    lists: Lists
    rules: RuleSet
    thresholds: ThresholdTable | None = None
    shadow: Bundle | None = None
    why_no_shadow: str = ""


@dataclass(frozen=True)
class MadeAgain:
    """A decision as it is made now.

    Attributes:
        document: its fields; without a score of the shadow where that is not left.
        is_same_bytes: the record is what was recorded, byte by byte.
        differences: by field, what was recorded and what is computed.
        note: what explains the differences, where that is known.
    """

    document: dict[str, Any]
    is_same_bytes: bool
    differences: dict[str, dict[str, Any]] = field(default_factory=dict)
    note: str = ""


def decide_again(
    stream: Stream, features: Record, decision: Record, in_force: DecidedBy, schemas: Mapping[str, SchemaLookup]
) -> MadeAgain:
    """Decide a logged feature row once more.

    Args:
        stream: of the record.
        features: the row that was decided.
        decision: as it was recorded.
        in_force: what decides.
        schemas: of both, by topic.

    Raises:
        Damaged: one of them cannot be read.
    """
    schema = decisions_schema(stream)
    recorded, fault = decode(decision, schema, schemas[decision.topic])
    reader = FeatureRowReader(stream, schemas[features.topic], codec_of(features_schema(stream)))
    read = reader.from_avro([features])
    if recorded is None or read.unreadable:
        raise Damaged(fault or f"the feature row cannot be read: {read.unreadable[0][1]}")
    decided = Decider(in_force, stream, ShadowScorer(in_force)).decide(read.batch)
    if in_force.why_no_shadow:
        decided = replace(decided, shadow=_read_shadow(recorded))
    source = (decision.header(SOURCE_TOPIC) or b"").decode(errors="replace")
    writer = DecisionWriter(stream, source_topic=source, topic=decision.topic, schema_id=decision.schema_id)
    made = writer.to_avro(decided, decision_time_ms=recorded["decision_time_ms"])
    computed, fault = decode(Record(decision.topic, {"value": made.values[0]}), schema, _by(schema))
    if computed is None:
        raise Damaged(f"the decision that is made now cannot be read: {fault}")
    differences = dict(_compare(recorded, computed))
    if in_force.why_no_shadow:
        computed["shadow_score"] = None
    return MadeAgain(computed, made.values[0] == decision.value(), differences, _explain(differences))


def _read_shadow(recorded: Mapping[str, Any]) -> Shadowed | None:
    """Return what was scored next to the decision, as it was recorded, so that the other bytes can be compared."""
    if recorded["shadow_model_name"] is None:
        return None
    score = recorded["shadow_score"]
    scores = np.array([np.nan if score is None else score], dtype=np.float32)
    return Shadowed(ModelLabel(recorded["shadow_model_name"], recorded["shadow_model_version"]), scores)


def _by(schema: str) -> SchemaLookup:
    return lambda schema_id: WriterSchema(schema_id, subject_ok=True, schema=schema)


def _compare(recorded: dict[str, Any], computed: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, was in recorded.items():
        if was != computed[name]:
            yield name, {"recorded": was, "computed": computed[name]}


def _explain(differences: dict[str, dict[str, Any]]) -> str:
    if "rules_version" in differences:
        return _OTHERS_IN_FORCE
    allowed = find_allowed(differences)
    return "; ".join(_ALLOWED[name] for name in allowed) if set(allowed) == set(differences) else ""


def find_allowed(differences: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which differences the record allows.

    They are ``reasons`` of a decision that was recorded without an explanation, and ``shadow_score`` of one whose
    shadow failed then.
    """
    allowed = []
    if "reasons" in differences and [each["code"] for each in differences["reasons"]["recorded"]] == [MODEL_SCORE]:
        allowed.append("reasons")
    if "shadow_score" in differences and differences["shadow_score"]["recorded"] is None:
        allowed.append("shadow_score")
    return allowed
