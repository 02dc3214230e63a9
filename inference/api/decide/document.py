"""What the OpenAPI document shows of ``POST …/decide``: texts, schemas and examples, of any stream."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from weir.inference.api import examples, schema
from weir.inference.api.decide.answers import WHY, look_up_path
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.request import build_json_schema
from weir.schemas.stream import Stream

WAIT = "Milliseconds to wait for the decision; 0 publishes and answers. It beats the header Prefer."
PREFER = "As RFC 7240 has it: `wait=2` waits two seconds for the decision, `respond-async` does not wait."
WHAT_IF = "Whether an answer without a decision holds a what-if score as its stand-in. It is never the decision."
_TIME_MS = 1_767_268_800_000
_ERRORS = (
    *("id_reused", *WRONG_CONTENT, "invalid_request", "dead_letter"),
    *("not_published", "may_be_published", "busy", "refused"),
)


def answers(stream: Stream) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses."""
    return {
        200: examples.answer(
            "the stream's decision: on this event, or on the one that it repeats",
            schema.build_decision(stream),
            examples.build_decision(stream),
        ),
        202: examples.answer(
            "published, and not decided yet; `Location` has the decision later",
            build_pending(stream),
            build_pending_example(stream),
        ),
        **error_answers(*_ERRORS),
    }


def event_body(stream: Stream) -> dict[str, Any]:
    """Return the OpenAPI request body: an event with its time."""
    body = build_json_schema(stream)
    body["required"] = [*body["required"], *({stream.time} - set(body["required"]))]
    example = examples.build_event(stream) | {stream.time: _TIME_MS}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}}}


def build_pending(stream: Stream) -> dict[str, Any]:
    """Return the schema of an answer without a decision."""
    stand_in = deepcopy(schema.build_score(stream))
    del stand_in["properties"]["published"]
    stand_in["properties"]["stand_in"] = {"const": True}
    stand_in["required"] = list(stand_in["properties"])
    place = {"topic": {"type": "string"}, "partition": {"type": "integer"}, "offset": {"type": "integer"}}
    properties = {
        stream.id: {"type": "string"},
        "decided": {"const": False},
        "why": {"type": "string", "enum": list(WHY)},
        "message": {"type": "string"},
        "published": _object(place),
        "look_up": {"type": "string"},
        "what_if": {"anyOf": [{"type": "null"}, stand_in]},
    }
    return _object(properties)


def build_pending_example(stream: Stream) -> dict[str, Any]:
    """Return an answer without a decision."""
    event_id = examples.build_event(stream)[stream.id]
    return {
        "decided": False,
        "why": "timeout",
        "message": WHY["timeout"],
        "published": {"topic": stream.topics.events, "partition": 3, "offset": 10_452},
        "what_if": None,
        stream.id: event_id,
        "look_up": look_up_path("/v1", event_id),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(properties),
    }
