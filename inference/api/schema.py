"""What an answer of the API looks like, as JSON Schema for the OpenAPI document.

Answers are written by hand (see ``inference/api/app.py``), so nothing but a test holds them to these:
``tests/unit/inference/test_api_fuzz.py`` compares every answer it gets with its schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from weir.inference.core.calibration import SETS
from weir.inference.core.decisions import OUTCOMES
from weir.schemas.contracts import decisions_schema
from weir.schemas.rules import MODES
from weir.schemas.rules import OUTCOMES as RULE_OUTCOMES
from weir.schemas.stream import Stream

Schema = dict[str, Any]

_STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_INTEGER_OR_NULL: Schema = {"type": ["integer", "null"]}
_BOOLEAN: Schema = {"type": "boolean"}
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_PLAIN: dict[str, Schema] = {
    "string": _STRING,
    "int": _INTEGER,
    "long": _INTEGER,
    "double": {"type": "number"},
    "float": {"type": "number"},
    "boolean": _BOOLEAN,
    "null": {"type": "null"},
}


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def from_avro(schema: Any) -> Schema:
    """Return the JSON Schema of what an Avro value looks like when it is written as JSON.

    >>> from_avro({"type": "array", "items": ["null", "long"]})
    {'type': 'array', 'items': {'anyOf': [{'type': 'null'}, {'type': 'integer'}]}}
    """
    if isinstance(schema, str):
        return _PLAIN[schema]
    if isinstance(schema, list):
        return {"anyOf": [from_avro(branch) for branch in schema]}
    if schema["type"] == "record":
        return _object({field["name"]: from_avro(field["type"]) for field in schema["fields"]})
    if schema["type"] == "array":
        return _list(from_avro(schema["items"]))
    return {"type": "string", "enum": list(schema["symbols"])}


def build_problem(codes: Sequence[str]) -> Schema:
    """Return what an error of one of these types looks like; see ``inference/api/web/errors.py``."""
    fields = _list(_object({"field": _STRING, "message": _STRING}))
    code: Schema = {"type": "string", "enum": list(codes)}
    error = {"code": code, "message": _STRING, "fields": fields, "reason": _STRING}
    return _object(
        {
            **dict.fromkeys(("type", "title"), _STRING),
            "status": _INTEGER,
            **dict.fromkeys(("detail", "instance"), _STRING),
            "error": _object(error, optional=("fields", "reason")),
        }
    )


def build_features(stream: Stream) -> Schema:
    """Return what a look-up of one of a stream's entities answers."""
    return _object(
        {
            "entity": {"type": "string", "enum": list(stream.id_field_of)},
            "id": _STRING,
            "known": _BOOLEAN,
            "at_ms": _INTEGER,
            "features": _map(_NUMBER_OR_NULL),
            "freshness": _object({"newest_event_ms": {"type": ["integer", "null"]}, "positions": _map(_INTEGER)}),
            "complete": _BOOLEAN,
            "incomplete_units": _list(_STRING),
        }
    )


def build_decision(stream: Stream) -> Schema:
    """Return what a decision of a stream looks like."""
    return from_avro(json.loads(decisions_schema(stream)))


def build_search(stream: Stream) -> Schema:
    """Return what a page of past decisions looks like."""
    texts: Schema = {"type": ["string", "null"]}
    return _object({"decisions": _list(build_decision(stream)), "next": texts, "archived_to_ms": _INTEGER_OR_NULL})


def build_evidence() -> Schema:
    """Return what the evidence on an event looks like; records are as their topics have them."""
    anything: Schema = {"type": ["object", "null"]}
    return _object(
        {
            "id": _STRING,
            "stream": _STRING,
            **dict.fromkeys(("event", "features", "decision", "label"), anything),
            "dead_letters": _list({"type": "object"}),
            "coordinates": _list(
                _object({"topic": _STRING, "partition": _INTEGER, "offset": _INTEGER, "append_ms": _INTEGER})
            ),
            "request_id": {"type": ["string", "null"]},
            "proof": {"type": "object"},
        }
    )


def build_score(stream: Stream) -> Schema:
    """Return what a request to score an event answers."""
    count = len(stream.feature_names)
    return _object(
        {
            stream.id: _STRING,
            "decision": {"type": "string", "enum": list(OUTCOMES)},
            "score": _NUMBER_OR_NULL,
            "probability": _NUMBER_OR_NULL,
            "prediction_set": {"type": ["string", "null"], "enum": [*SETS, None]},
            "decided_by": _STRING,
            "reasons": _list(_object({"code": _STRING, "detail": _STRING})),
            "tags": _list(_STRING),
            "shadow_rules": _list(_STRING),
            "model": _object({"name": _STRING, "version": _STRING}),
            "rules_version": _STRING,
            "declarations_hash": _STRING,
            "degraded": _BOOLEAN,
            "degraded_by": _list(_STRING),
            "late": _BOOLEAN,
            stream.time: _INTEGER,
            "decision_time_ms": _INTEGER,
            "features": _map(_NUMBER_OR_NULL) | {"minProperties": count, "maxProperties": count},
            "published": {
                "anyOf": [{"type": "null"}, _object({"topic": _STRING, "partition": _INTEGER, "offset": _INTEGER})]
            },
        }
    )


def build_scores(stream: Stream) -> Schema:
    """Return what a request to score many events answers: for each a score, without its features unless asked for."""
    score = build_score(stream)
    properties = {name: kind for name, kind in score["properties"].items() if name != "published"}
    fields = _list(_object({"field": _STRING, "message": _STRING}))
    error = _object({"code": _STRING, "message": _STRING, "fields": fields}, optional=("fields",))
    return _object(
        {"scores": _list({"anyOf": [_object(properties, optional=("features",)), _object({"error": error})]})}
    )


def build_named_score() -> Schema:
    """Return what is in every score, whichever stream its event is of; the id and the time have the stream's names."""
    return {"type": "object", "required": ["decision", "score", "decided_by", "reasons", "model", "features"]}


def build_named_scores() -> Schema:
    """Return what a request to score many events of whichever stream answers."""
    return _object({"scores": _list({"type": "object"})})


MODELS: Schema = _object(
    {
        "champion": {"type": "object", "required": ["name", "version", "thresholds", "feature_count"]},
        "roles": _list(
            {"type": "object", "required": ["role", "share", "name", "version", "content", "thresholds", "metrics"]}
        ),
        "rules_version": _STRING,
        "rules": _list(
            _object(
                {
                    "name": _STRING,
                    "decision": {"type": "string", "enum": list(RULE_OUTCOMES)},
                    "mode": {"type": "string", "enum": list(MODES)},
                    "code": _STRING,
                    "why": _STRING,
                    "conditions": _list(_STRING),
                }
            )
        ),
        "bundles": _list(_object({"name": _STRING, "version": _STRING, "created_time_ms": _INTEGER})),
    }
)
DAYS: Schema = _object(
    {
        "days": _list(
            _object(
                {
                    "day": {"type": "string", "format": "date"},
                    "number": _INTEGER,
                    "outcomes": _map(
                        _object({"number": _INTEGER, "share": {"type": "number"}, "money": _INTEGER_OR_NULL})
                    ),
                }
            )
        ),
        "currency": {"type": ["string", "null"]},
        "archived_to_ms": _INTEGER_OR_NULL,
    }
)
HEALTH: Schema = _object({"alive": _BOOLEAN})
READINESS: Schema = _object({"ready": _BOOLEAN, "checks": _map(_STRING)})
