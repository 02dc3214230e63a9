"""What the OpenAPI document shows of dead letters."""

from __future__ import annotations

from typing import Any

from weir.inference.api import examples
from weir.inference.api.change_body import BY, BY_SHOWN
from weir.inference.api.schema import Schema
from weir.schemas.stream import Stream

STATES = ("open", "unreplayable", "replayed", "parked", "discarded")
FIELDS_MAX, VALUE_CHARACTERS_MAX = 50, 10_000
"""Of the fields that a repair sets, and of the text of each."""
_OUTCOMES = ("replayed", "parked", "discarded", "settled", "unreplayable", "unrepairable", "waiting")
_TIME_MS = 1_767_268_800_000
_TEXT: Schema = {"type": "string"}
_NULL_OR_TEXT: Schema = {"type": ["string", "null"]}
_NULL_OR_WHOLE: Schema = {"type": ["integer", "null"]}
_WHOLE: Schema = {"type": "integer"}
_ANY: Schema = {"description": "A value, masked and with what acts or hides written as its code."}


def _object(properties: dict[str, Schema], *required: str) -> Schema:
    named = list(required or properties)
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": named}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_ROW: dict[str, Schema] = {
    "partition": _WHOLE,
    "offset": _WHOLE,
    "at": _TEXT,
    "source": _NULL_OR_TEXT,
    "origin": {**_NULL_OR_TEXT, "description": "Its first place, where it was replayed before."},
    "appended_ms": _WHOLE,
    "failed_ms": _NULL_OR_WHOLE,
    "reason": _TEXT,
    "stage": _TEXT,
    "state": {"type": "string", "enum": list(STATES)},
    "replay_count": _WHOLE,
    "schema_id": _NULL_OR_WHOLE,
    "key": _NULL_OR_TEXT,
    "value_bytes": _NULL_OR_WHOLE,
    "message": _TEXT,
}
PAGE = _object({"topic": _TEXT, "topics": _list(_TEXT), "letters": _list(_object(_ROW)), "next": _NULL_OR_TEXT})
STEP = _object(
    {
        "outcome": {"type": "string", "enum": list(_OUTCOMES)},
        "note": {"type": "string", "description": "Why it is not sent."},
        "attempt": _WHOLE,
        "topic": {**_NULL_OR_TEXT, "description": "Where it would go, or went."},
        "changes": _list(_object({"field": _TEXT, "before": _ANY, "after": _ANY})),
    }
)
_SETTLEMENT = _object(
    {
        "action": {"type": "string", "enum": ["replayed", "parked", "discarded"]},
        "attempt": _WHOLE,
        "source": _TEXT,
        "origin": _TEXT,
        "reason": _TEXT,
        "at_ms": _WHOLE,
    }
)
LETTER = _object(
    {
        **_ROW,
        "group": _TEXT,
        "exception_class": _TEXT,
        "app_version": _TEXT,
        "truncated": _TEXT,
        "obstacle": {"type": "string", "description": "Why it cannot be replayed as it is; empty where it can."},
        "settlement": {"anyOf": [_SETTLEMENT, {"type": "null"}]},
        "original_headers": _list(_list(_NULL_OR_TEXT)),
        "value_preview": {"anyOf": [_list(_TEXT), {"type": "null"}]},
        "decoded": {"description": "Its fields, or why it is not decoded.", "type": ["object", "string"]},
        "replay": STEP,
    }
)


def build_row(topic: str) -> dict[str, Any]:
    """Return an example of a letter in a list."""
    return {
        "partition": 3,
        "offset": 17,
        "at": f"{topic}-3-17",
        "source": f"{topic.removesuffix('.dlq')}-3-10452",
        "origin": None,
        "appended_ms": _TIME_MS + 70,
        "failed_ms": _TIME_MS + 65,
        "reason": "from_future",
        "stage": "validate",
        "state": "open",
        "replay_count": 0,
        "schema_id": 7,
        "key": "card-000017",
        "value_bytes": 118,
        "message": "expected a time of at most five minutes after the append time, found one of another unit",
    }


def build_step(stream: Stream, topic: str) -> dict[str, Any]:
    """Return an example of what a repair would do."""
    change = {"field": stream.time, "before": _TIME_MS * 1_000, "after": _TIME_MS}
    return {
        "outcome": "replayed",
        "note": "",
        "attempt": 1,
        "topic": topic.removesuffix(".dlq"),
        "changes": [change],
    }


def build_letter(stream: Stream, topic: str) -> dict[str, Any]:
    """Return an example of a letter with all that it holds."""
    return {
        **build_row(topic),
        "group": "weir-processor",
        "exception_class": "PoisonRecord",
        "app_version": "1.0.0",
        "truncated": "",
        "obstacle": "",
        "settlement": None,
        "original_headers": [],
        "value_preview": ["00000000  00 00 00 00 07                                       ....."],
        "decoded": {stream.id: examples.build_event(stream)[stream.id], stream.time: _TIME_MS * 1_000},
        "replay": {**build_step(stream, topic), "changes": []},
    }


_SET: Schema = {
    "type": "object",
    "maxProperties": FIELDS_MAX,
    "additionalProperties": {"type": ["string", "number", "boolean", "null"], "maxLength": VALUE_CHARACTERS_MAX},
    "description": "Fields and their new values. A text for a field of another type is read as JSON.",
}
_PARKED: Schema = {"type": "boolean", "description": "Take it up although it was parked."}


def _body(fields: dict[str, Schema], example: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "additionalProperties": False, "properties": {BY: BY_SHOWN, **fields}}
    content = {"application/json": {"schema": schema, "example": {BY: "anna", **example}}}
    return {"requestBody": {"required": True, "content": content}}


def build_replay_body(stream: Stream) -> dict[str, Any]:
    """Return the request body of a replay."""
    return _body({"set": _SET, "parked": _PARKED}, {"set": {stream.time: _TIME_MS}})


DISCARD_BODY = _body({}, {})
