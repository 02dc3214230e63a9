"""What the OpenAPI document shows of cases."""

from __future__ import annotations

import json
from typing import Any

from weir.cases.case import TEXT_CHARACTERS_MAX, State, Verdict
from weir.inference.api import examples
from weir.inference.api.change_body import BY, BY_SHOWN
from weir.inference.api.request import FieldSpec, list_fields
from weir.inference.api.schema import Schema, build_decision
from weir.schemas.contracts import label_schemas
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

_TIME_MS = 1_767_268_800_000
_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": TEXT_CHARACTERS_MAX}
_NULL_OR_TEXT: Schema = {"type": ["string", "null"]}
_NULL_OR_TIME: Schema = {"type": ["integer", "null"]}
_PROPERTIES: dict[str, Schema] = {
    "id": {"type": "string"},
    "stream": {"type": "string"},
    "key": {"type": "string", "description": "Id of the stream's key."},
    "state": {"type": "string", "enum": list(State)},
    "opened_ms": {"type": "integer", "description": "When its first event was decided, or a person opened it."},
    "newest_ms": {"type": "integer", "description": "Time of its newest event."},
    "expected_loss": {"type": "number", "description": "Base minor units, or events where a stream has no money."},
    "events": {"type": "integer"},
    "holder": _NULL_OR_TEXT,
    "verdict": {"enum": [*Verdict, None]},
    "reason": _NULL_OR_TEXT,
    "version": {"type": "integer", "description": "Of the verdict, from 1; 0 before the first."},
    "verdict_ms": _NULL_OR_TIME,
    "closed_ms": _NULL_OR_TIME,
}
CASE: Schema = {"type": "object", "additionalProperties": False, "properties": _PROPERTIES, "required": [*_PROPERTIES]}
_LINK: dict[str, Schema] = {
    "id": {"type": "string", "description": "Of the event."},
    "at_ms": {"type": "integer", "description": "When it was linked."},
    "by": {"type": "string"},
    "reason": {"type": "string"},
    "case_id": {"type": ["string", "null"], "description": "Of the case that the event is in itself."},
}
_ACT = {"at_ms": {"type": "integer"}, "by": {"type": "string"}, "act": {"type": "string"}, "text": _NULL_OR_TEXT}


def _object(properties: dict[str, Schema], *, required: tuple[str, ...] | None = None) -> Schema:
    named = list(properties if required is None else required)
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": named}


PAGE = _object({"cases": {"type": "array", "items": CASE}, "next": _NULL_OR_TEXT})
PUBLISHED = _object(
    {
        "published": _object(
            {"topic": {"type": "string"}, "partition": {"type": "integer"}, "offset": {"type": "integer"}}
        )
    }
)


def build_published(stream: Stream) -> dict[str, Any]:
    """Return an example of where a label is in the log."""
    return {"published": {"topic": stream.topics.labels, "partition": 3, "offset": 9_120}}


def build_file(stream: Stream) -> Schema:
    """Return what one case looks like."""
    more = {
        "decisions": {"type": "array", "items": build_decision(stream)},
        "unlabelled": {"type": "array", "items": {"type": "string"}},
        "acts": {"type": "array", "items": _object(_ACT)},
        "related": {
            "type": "array",
            "items": _object({**_LINK, "decision": build_decision(stream)}),
            "description": f"Other {stream.event}s that people link it to.",
        },
    }
    return _object({**_PROPERTIES, **more})


def build_case(stream: Stream) -> dict[str, Any]:
    """Return an example of a case."""
    return {
        "id": "5f3a90c2d871",
        "stream": stream.full_name,
        "key": examples.build_event(stream)[stream.key.field],
        "state": "claimed",
        "opened_ms": _TIME_MS + 65,
        "newest_ms": _TIME_MS,
        "expected_loss": 79_239.0,
        "events": 1,
        "holder": "anna",
        "verdict": None,
        "reason": None,
        "version": 0,
        "verdict_ms": None,
        "closed_ms": None,
    }


def build_file_example(stream: Stream) -> dict[str, Any]:
    """Return an example of a case with all that is known of it."""
    opened = {"at_ms": _TIME_MS + 65, "by": "weir", "act": "opened", "text": None}
    return {
        **build_case(stream),
        "decisions": [examples.build_decision(stream)],
        "unlabelled": [],
        "acts": [opened, {"at_ms": _TIME_MS + 60_000, "by": "anna", "act": "claimed", "text": None}],
        "related": [_build_link(stream)],
    }


def _build_link(stream: Stream) -> dict[str, Any]:
    decision = examples.build_decision(stream)
    link = {"id": decision[stream.id], "at_ms": _TIME_MS + 90_000, "by": "anna", "reason": "the same device"}
    return {**link, "case_id": None, "decision": decision}


def body(example: dict[str, Any], fields: dict[str, Schema], *required: str) -> dict[str, Any]:
    """Return the request body of a change of a case."""
    schema = _object({BY: BY_SHOWN, **fields}, required=required)
    content = {"application/json": {"schema": schema, "example": {BY: "anna", **example}}}
    return {"requestBody": {"required": True, "content": content}}


NOTE = body({"text": "the shop is known"}, {"text": _TEXT}, "text")
CLAIM = body({}, {})
RELEASE = body(
    {},
    {"force": {"type": "boolean", "description": "Also from another holder; with keys for `admin` alone."}},
)
VERDICT = body(
    {"verdict": "fraud", "reason": "the customer called"},
    {"verdict": {"type": "string", "enum": list(Verdict)}, "reason": _TEXT},
    "verdict",
    "reason",
)


def event_body(stream: Stream, reason: str | None) -> dict[str, Any]:
    """Return the request body of what is done with an event: it is named, and why if there is an example of that."""
    event_id = examples.build_event(stream)[stream.id]
    of_event = {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX, "description": f"Of the {stream.event}."}
    if reason is None:
        return body({stream.id: event_id}, {stream.id: of_event}, stream.id)
    return body({stream.id: event_id, "reason": reason}, {stream.id: of_event, "reason": _TEXT}, stream.id, "reason")


def label_body(stream: Stream) -> dict[str, Any]:
    """Return the request body of a label, by the stream's own schema."""
    kinds = {"boolean": "boolean", "long": "integer", "int": "integer", "double": "number", "float": "number"}
    properties, fields = {}, list_label_fields(stream)
    for field in fields:
        kind = kinds.get(field.kind, "string")
        properties[field.name] = {"type": [kind, "null"] if field.nullable else kind}
        if field.doc:
            properties[field.name]["description"] = field.doc
        if field.symbols:
            properties[field.name]["enum"] = list(field.symbols)
    schema = _object(properties, required=tuple(field.name for field in fields if field.required))
    content = {"application/json": {"schema": schema, "example": build_label(stream)}}
    return {"requestBody": {"required": True, "content": content}}


def build_label(stream: Stream) -> dict[str, Any]:
    """Return an example of a label."""
    assert stream.labels is not None, "labels of a stream that has none; a bug of the caller"
    event = examples.build_event(stream) | {stream.time: _TIME_MS, stream.labels.verdict: True, "source": "chargeback"}
    shown = {field.name: event.get(field.name) for field in list_label_fields(stream) if field.required}
    return shown | {stream.labels.verdict: True}


def list_label_fields(stream: Stream) -> tuple[FieldSpec, ...]:
    """Return the fields of a stream's labels; the time at which a label became known may be left out."""
    assert stream.labels is not None, "labels of a stream that has none; a bug of the caller"
    return list_fields(label_schemas(stream)[-1], stream.labels.time)


def describe_label(stream: Stream) -> str:
    """Return the name of the labels' record, for people."""
    return str(json.loads(label_schemas(stream)[-1])["name"]).lower()
