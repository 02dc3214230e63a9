"""The Avro contracts: which kinds of record exist, their versions, and the subject a topic's values live under.

Events and labels are Avro files next to a stream's own file. Feature rows and decisions are generated from the
stream: where the event was, the fields that are passed on, and the features or the verdict. What bytes look like is in
``schemas/avro/codec.py``, what may change in ``schemas/avro/compatibility.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from weir.schemas import audit
from weir.schemas.expression import find_money
from weir.schemas.schema_files import read_versions
from weir.schemas.stream import Stream, Topics
from weir.schemas.streams.payments import payments

TOPIC_KINDS: tuple[str, ...] = ("transactions", "labels", "features", "decisions")

_OUTPUT_KINDS = frozenset({"features", "decisions"})
_INPUT_LEVEL, _OUTPUT_LEVEL = "FULL_TRANSITIVE", "BACKWARD"
_NAMESPACE: Final = "weir"

DECIDED: Final = "decided"
"""Field of a feature row that says that its decision was committed with it (``docs/adr/0013``)."""
_DECIDED_DOC: Final = "True when the decision was committed together with this row: a scorer passes it by."

_OUTCOME: Final = {"type": "enum", "name": "Outcome", "symbols": ["APPROVE", "REVIEW", "DECLINE"]}
_TEXTS: Final = {"type": "array", "items": "string"}
_SHADOW: Final = [
    {
        "name": "shadow_score",
        "type": ["null", "double"],
        "default": None,
        "doc": "Output of a model that scored next to the one that decided, and was used for nothing.",
    },
    {"name": "shadow_model_name", "type": ["null", "string"], "default": None},
    {"name": "shadow_model_version", "type": ["null", "string"], "default": None},
]
_CONFIDENCE: Final[list[dict[str, Any]]] = [
    {
        "name": "probability",
        "type": ["null", "double"],
        "default": None,
        "doc": "The score as P(label is true), by the calibration of the model; null where it has none, or no score.",
    },
    {
        "name": "prediction_set",
        "type": [
            "null",
            {"type": "enum", "name": "PredictionSet", "symbols": ["NEITHER", "POSITIVE", "NEGATIVE", "BOTH"]},
        ],
        "default": None,
        "doc": "What the label may be; it is to be in nine in ten sets of each class. Null as the probability is.",
    },
]
_PROPENSITY: Final = {
    "name": "propensity",
    "type": ["null", "double"],
    "default": None,
    "doc": "Where the model declines and the event may be let through: the share of such events that is; else null.",
}
_REASONS: Final = {
    "type": "array",
    "items": {
        "type": "record",
        "name": "Reason",
        "fields": [{"name": "code", "type": "string"}, {"name": "detail", "type": "string"}],
    },
}


def event_schemas(stream: Stream) -> tuple[str, ...]:
    """Return the Avro schemas of a stream's events as JSON text, oldest version first; the newest one is what is read.

    Raises:
        Refused: there is no such file next to the stream's own.
    """
    return read_versions(_folder(stream), stream.schema)


def label_schemas(stream: Stream) -> tuple[str, ...]:
    """Return the Avro schemas of a stream's labels, oldest version first; nothing for a stream without labels.

    Raises:
        Refused: there is no such file next to the stream's own.
    """
    return read_versions(_folder(stream), stream.labels.schema) if stream.labels else ()


def features_schema(stream: Stream) -> str:
    """Return the Avro schema of a stream's feature rows as JSON text."""
    amounts = _amounts(stream)
    kept = [
        field | ({"doc": f"Minor units of {amounts[field['name']]}."} if field["name"] in amounts else {})
        for field in _pass_on(stream, stream.kept_in_rows)
    ]
    columns = [
        {"name": feature.name, "type": ["null", "float"], "default": None, "doc": feature.why}
        for feature in stream.all_features
    ]
    hashed = _field("declarations_hash", "string", "Feature declarations that these numbers follow.")
    degraded = _field("degraded", _TEXTS, "What was incomplete; empty is whole.")
    decided = {"name": DECIDED, "type": ["null", "boolean"], "default": None, "doc": _DECIDED_DOC}
    doc = f"What the model saw for one {stream.event}; null is a missing feature. Key: {stream.key.field}."
    fields = [*kept, *_times(stream), *_source(stream), hashed, _late(stream), degraded, decided, *columns]
    return _record("FeatureRow", doc, fields)


def decisions_schema(stream: Stream) -> str:
    """Return the Avro schema of a stream's decisions as JSON text."""
    score = {
        "name": "score",
        "type": ["null", "double"],
        "default": None,
        "doc": "Model output in [0, 1]; null when the model could not score and a rule or the fallback decided.",
    }
    fields = [
        *_pass_on(stream, stream.kept_in_decisions),
        _field("decision", _OUTCOME),
        score,
        _field("decided_by", "string", "model, fallback, or the name of the rule or list that decided."),
        {"name": "reasons", "type": _REASONS, "default": []},
        {"name": "tags", "type": _TEXTS, "default": [], "doc": "Words of the rules that tag."},
        {
            "name": "shadow_rules",
            "type": _TEXTS,
            "default": [],
            "doc": "Rules in shadow mode that hold here.",
        },
        *(_field(name, "string") for name in ("model_name", "model_version", "rules_version")),
        *_SHADOW,
        _field("declarations_hash", "string", "Feature declarations of the row that was scored."),
        _field("degraded", "boolean", "True when some inputs were incomplete or unavailable."),
        {"name": "degraded_by", "type": _TEXTS, "default": [], "doc": "What was incomplete."},
        _late(stream),
        *_times(stream),
        _field("decision_time_ms", "long"),
        *_source(stream),
        *_CONFIDENCE,
        _PROPENSITY,
    ]
    where = "Headers carry the source topic, partition and offset."
    return _record("Decision", f"The outcome for one {stream.event}. Key: {stream.key.field}. {where}", fields)


@dataclass(frozen=True)
class Contract:
    """What one topic carries.

    Attributes:
        schemas: Avro schemas as JSON text, oldest version first; the newest one is what this code reads and writes.
        is_input: others write it and we read it.
        is_required: something is broken where the subject has no version; else who writes it first registers it.
    """

    topic: str
    schemas: tuple[str, ...]
    is_input: bool
    is_required: bool = True

    @property
    def subject(self) -> str:
        """The registry subject of the topic's values."""
        return subject(self.topic)

    @property
    def level(self) -> str:
        """The rule that a registry is to hold the versions to; see ``compatibility_level``."""
        return _INPUT_LEVEL if self.is_input else _OUTPUT_LEVEL


def list_contracts(stream: Stream, topics: Topics) -> list[Contract]:
    """Return what each of a stream's topics carries.

    Args:
        stream: whose schemas they are.
        topics: what its topics are called here.
    """
    labels = [Contract(topics.labels, label_schemas(stream), True)] if stream.labels else []
    return [
        Contract(topics.events, event_schemas(stream), True),
        *labels,
        Contract(topics.features, (features_schema(stream),), False),
        Contract(topics.decisions, (decisions_schema(stream),), False),
    ]


def audit_contract(topic: str) -> Contract:
    """Return what the audit log carries, which is the deployment's and no stream's.

    >>> audit_contract("weir.audit").level
    'BACKWARD'
    """
    return Contract(topic, (audit.SCHEMA,), False, is_required=False)


def versions(kind: str) -> tuple[int, ...]:
    """Return the versions of a kind of the payments that exist, oldest first.

    Raises:
        KeyError: when the kind is not one of ``TOPIC_KINDS``.

    >>> versions("transactions")
    (1, 2)
    """
    return tuple(range(1, len(_schemas(kind)) + 1))


def schema_json(kind: str, version: int | None = None) -> str:
    """Return an Avro schema of the payments as JSON text, the newest version by default.

    Args:
        kind: one of ``TOPIC_KINDS``.
        version: 1 or above; see ``versions``.

    Raises:
        KeyError: when the kind or the version does not exist.
    """
    number = versions(kind)[-1] if version is None else version
    if number not in versions(kind):
        raise KeyError(f"expected {kind} version in {versions(kind)}, found {number}")
    return _schemas(kind)[number - 1]


def subject(topic: str) -> str:
    """Return the registry subject of a topic's values (Confluent's topic name strategy).

    >>> subject("transactions")
    'transactions-value'
    """
    return f"{topic}-value"


def compatibility_level(kind: str) -> str:
    """Return the rule that a registry is to hold the versions of a kind to (``docs/adr/0009``).

    What others write and we read must stay readable by what is deployed, and what we write by those who read it.

    >>> compatibility_level("transactions"), compatibility_level("decisions")
    ('FULL_TRANSITIVE', 'BACKWARD')
    """
    return _INPUT_LEVEL if is_input(kind) else _OUTPUT_LEVEL


def is_input(kind: str) -> bool:
    """True for what others write and we read."""
    return kind not in _OUTPUT_KINDS


@cache
def _schemas(kind: str) -> tuple[str, ...]:
    if kind not in TOPIC_KINDS:
        raise KeyError(kind)
    if kind in _OUTPUT_KINDS:
        return ((features_schema if kind == "features" else decisions_schema)(payments),)
    return (event_schemas if kind == "transactions" else label_schemas)(payments)


def _folder(stream: Stream) -> Path:
    return Path(stream.where.file).parent


def _pass_on(stream: Stream, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return fields of an event as they are in what is written: no enum, so that a new symbol breaks no reader."""
    types = {field["name"]: field["type"] for field in json.loads(event_schemas(stream)[-1])["fields"]}
    return [_pass_on_as(name, types[name]) for name in names]


def _pass_on_as(name: str, kind: Any) -> dict[str, Any]:
    if not isinstance(kind, list):
        return {"name": name, "type": _plain(kind)}
    branches = [_plain(branch) for branch in kind if branch != "null"]
    # null first: a default is of the first branch
    return {"name": name, "type": ["null", *branches], "default": None} if "null" in kind else _field(name, branches)


def _plain(kind: Any) -> Any:
    return "string" if isinstance(kind, dict) and kind["type"] == "enum" else kind


def _amounts(stream: Stream) -> dict[str, str]:
    """Return the fields that are amounts of money, each with the field of its currency."""
    found = [node for measure in stream.measures for node in find_money(measure.value)]
    return {node.parts[0].value: node.parts[1].value for node in found}


def _times(stream: Stream) -> list[dict[str, Any]]:
    ingest = _field("ingest_time_ms", "long", f"The broker's append time of the {stream.event}.")
    return [_field(stream.time, "long"), ingest]


def _source(stream: Stream) -> list[dict[str, Any]]:
    return [
        _field("source_partition", "int", f"Partition of the {stream.event} in its topic."),
        _field("source_offset", "long", f"Offset of the {stream.event} in its partition."),
    ]


def _late(stream: Stream) -> dict[str, Any]:
    doc = f"Older than the {stream.key.name}'s horizon: decided, not counted in windows."
    return _field("late", "boolean", doc)


def _field(name: str, kind: Any, doc: str = "") -> dict[str, Any]:
    return {"name": name, "type": kind} | ({"doc": doc} if doc else {})


def _record(name: str, doc: str, fields: list[dict[str, Any]]) -> str:
    record = {"type": "record", "name": name, "namespace": _NAMESPACE, "doc": doc, "fields": fields}
    return json.dumps(record, separators=(",", ":"))
