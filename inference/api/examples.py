"""What the OpenAPI document shows: one example and schema per answer, and the request's schema from its contract."""

from __future__ import annotations

from typing import Any

from weir.inference.api.request import FieldSpec, build_json_schema, event_fields
from weir.schemas.currencies import BASE_CURRENCY
from weir.schemas.expression import find_money
from weir.schemas.stream import Stream

_STATEFUL_SHOWN = 2
_NULL = "\x00null"
"""Stands for a null while the document is built."""
_TIME_MS = 1_767_268_800_000
_ANY_EVENT = {"type": "object", "description": "As `POST …/score` of the model's stream takes it."}
_SAMPLES: dict[str, Any] = {"int": 1, "long": 1, "double": 1.0, "float": 1.0, "boolean": False}


HEALTH: dict[str, Any] = {"alive": True}
READY: dict[str, Any] = {"ready": True, "checks": {"redis": "ok", "kafka": "ok", "model": "ok"}}
NOT_READY: dict[str, Any] = {"ready": False, "checks": {"redis": "redis: no answer within 1 s", "model": "ok"}}
DAYS: dict[str, Any] = {
    "days": [
        {
            "day": "2026-01-01",
            "number": 20_000,
            "outcomes": {
                "APPROVE": {"number": 19_400, "share": 0.97, "money": 91_180_000},
                "DECLINE": {"number": 200, "share": 0.01, "money": 2_320_000},
                "REVIEW": {"number": 400, "share": 0.02, "money": 3_560_000},
            },
        }
    ],
    "currency": BASE_CURRENCY,
    "archived_to_ms": _TIME_MS + 70,
}


def build_event(stream: Stream) -> dict[str, Any]:
    """Return a request as small as it may be: the stream's own example, and samples of what that leaves out."""
    fields = [field for field in event_fields(stream) if field.required and field.name not in stream.example]
    currencies = {money.parts[1].value for measure in stream.measures for money in find_money(measure.value)}
    made = {field.name: _sample(field, is_currency=field.name in currencies) for field in fields}
    return made | dict(stream.example)


def _sample(field: FieldSpec, *, is_currency: bool) -> Any:
    if field.kind == "string":
        return BASE_CURRENCY if is_currency else f"{field.name.removesuffix('_id')}-000017"
    return field.symbols[0] if field.symbols else _SAMPLES.get(field.kind)


def build_score(stream: Stream) -> dict[str, Any]:
    """Return an answer to a request to score."""
    return {
        stream.id: build_event(stream)[stream.id],
        **_verdict(stream, "DECLINE", 0.93),
        "model": {"name": "fraud", "version": "20260101-120000"},
        stream.time: _TIME_MS,
        "decision_time_ms": _TIME_MS + 4,
        "features": dict.fromkeys(stream.feature_names) | dict(zip(_stateful(stream), (9.0, None), strict=False)),
        "published": None,
    }


def build_scores(stream: Stream) -> dict[str, Any]:
    """Return an answer to a request to score two events, of which one is none."""
    score = {name: value for name, value in build_score(stream).items() if name not in {"features", "published"}}
    fields = [{"field": "$", "message": "expected an object, found an array"}]
    error = {"code": "invalid_request", "message": "$: expected an object, found an array", "fields": fields}
    return {"scores": [score, {"error": error}]}


def build_features(stream: Stream) -> dict[str, Any]:
    """Return an answer to a look-up of the key's windows."""
    names = _stateful(stream, stream.key.name)
    return {
        "entity": stream.key.name,
        "id": build_event(stream)[stream.key.field],
        "known": True,
        "at_ms": _TIME_MS,
        "features": dict(zip(names, (3.0, 12_950.0), strict=False)),
        "freshness": {"newest_event_ms": _TIME_MS - 800, "positions": {"t00": 1_042}},
        "complete": True,
        "incomplete_units": [],
    }


def build_decision(stream: Stream) -> dict[str, Any]:
    """Return a decision as the index keeps it."""
    event = build_event(stream)
    return {
        **{name: event.get(name) for name in stream.kept_in_decisions},
        **_verdict(stream, "REVIEW", 0.61),
        "model_name": "fraud",
        "model_version": "20260101-120000",
        "shadow_score": None,
        "shadow_model_name": None,
        "shadow_model_version": None,
        "propensity": None,
        stream.time: _TIME_MS,
        "ingest_time_ms": _TIME_MS + 40,
        "decision_time_ms": _TIME_MS + 65,
        "source_partition": 3,
        "source_offset": 10_452,
    }


def build_search(stream: Stream) -> dict[str, Any]:
    """Return a page of past decisions."""
    return {"decisions": [build_decision(stream)], "next": "19b796dd600.3.28d4", "archived_to_ms": _TIME_MS + 70}


def build_evidence(stream: Stream) -> dict[str, Any]:
    """Return the evidence on an event, without what is long in it."""
    at = {"topic": stream.topics.decisions, "partition": 3, "offset": 9_120, "append_ms": _TIME_MS + 70}
    decision = build_decision(stream)
    return {
        "id": build_event(stream)[stream.id],
        "stream": stream.full_name,
        "event": None,
        "features": None,
        "decision": {"at": at, "recorded": decision, "computed": decision, "is_same": True, "differences": {}},
        "label": None,
        "dead_letters": [],
        "coordinates": [at],
        "request_id": "5f0c3a9e7d1b4c2f8a6e0b9d3c7f1a2e",
        "proof": {"format": 1, "rows": [], "seals": [], "head": None},
    }


def _verdict(stream: Stream, decision: str, score: float) -> dict[str, Any]:
    names = _stateful(stream)
    reasons = [{"code": stream.reason_codes[name], "detail": f"{name} = 9 (typical 1)"} for name in names[:1]]
    return {
        "decision": decision,
        "score": score,
        "probability": score,
        "prediction_set": "POSITIVE",
        "decided_by": "model",
        "reasons": reasons,
        "tags": [],
        "shadow_rules": [],
        "rules_version": "1",
        "declarations_hash": stream.declarations_hash,
        "degraded": False,
        "degraded_by": [],
        "late": False,
    }


def _stateful(stream: Stream, entity: str = "") -> list[str]:
    found = [feature.name for feature in stream.all_features if feature.window and entity in {"", feature.entity}]
    return found[:_STATEFUL_SHOWN]


def answer(description: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    """Return one OpenAPI response with its schema, and with its example if there is one."""
    shown = {} if example is None else {"example": _keep_nulls(example)}
    return {"description": description, "content": {"application/json": {"schema": schema, **shown}}}


def restore_nulls(document: Any) -> Any:
    """Return a document, as it was built, with the nulls of its examples.

    The framework leaves out whatever is null, also in an example, which then lacks fields that its schema asks for.

    >>> restore_nulls({"example": _keep_nulls({"verdict": None, "acts": [None, 1]})})
    {'example': {'verdict': None, 'acts': [None, 1]}}
    """
    return _replace(document, _NULL, None)


def _keep_nulls(example: Any) -> Any:
    return _replace(example, None, _NULL)


def _replace(value: Any, old: str | None, new: str | None) -> Any:
    if isinstance(value, dict):
        return {name: _replace(each, old, new) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(each, old, new) for each in value]
    return new if value == old else value


def event_body(stream: Stream) -> dict[str, Any]:
    """Return the OpenAPI request body of an event."""
    content = {"application/json": {"schema": build_json_schema(stream), "example": build_event(stream)}}
    return {"requestBody": {"required": True, "content": content}}


def events_body(stream: Stream, count_max: int) -> dict[str, Any]:
    """Return the OpenAPI request body of many events; each is judged by itself, and what is none has its own error."""
    return _many_body(build_json_schema(stream), stream, count_max)


def any_event_body(shown: Stream) -> dict[str, Any]:
    """Return the OpenAPI request body of an event of whichever stream; that of one is its example."""
    content = {"application/json": {"schema": _ANY_EVENT, "example": build_event(shown)}}
    return {"requestBody": {"required": True, "content": content}}


def any_events_body(shown: Stream, count_max: int) -> dict[str, Any]:
    """Return the OpenAPI request body of many events of whichever stream, likewise."""
    return _many_body(_ANY_EVENT, shown, count_max)


def _many_body(event: dict[str, Any], shown: Stream, count_max: int) -> dict[str, Any]:
    events = {"type": "array", "items": event, "minItems": 1, "maxItems": count_max}
    document = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"events": events},
        "required": ["events"],
    }
    content = {"application/json": {"schema": document, "example": {"events": [build_event(shown)]}}}
    return {"requestBody": {"required": True, "content": content}}
