"""What the paths about what is around an event answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from weir.inference.api.examples import build_event
from weir.schemas.stream import Stream

Schema = dict[str, Any]
_STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_BOOLEAN: Schema = {"type": "boolean"}
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_TIME_MS = 1_767_268_800_000
_DAY_MS = 86_400_000


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_KEY = _object({"id": _STRING, "events": _INTEGER, "newest_ms": _INTEGER})
_ID = _object({"entity": _STRING, "id": _STRING, "number": _INTEGER, "keys": _list(_KEY)})
LINKS: Schema = _object(
    {
        "id": _STRING,
        "key": _STRING,
        "from_ms": _INTEGER,
        "to_ms": _INTEGER,
        "whole": _BOOLEAN,
        "ids": _list(_ID),
    }
)
_WINDOW = _object(
    {
        "feature": _STRING,
        "count": _INTEGER,
        **dict.fromkeys(("value", "low", "median", "high", "share_below"), _NUMBER_OR_NULL),
    }
)
NORMAL: Schema = _object(
    {
        "id": _STRING,
        "key": _STRING,
        "from_ms": {"type": ["integer", "null"]},
        "rows": _INTEGER,
        "too_few": _INTEGER,
        "windows": _list(_WINDOW),
    }
)


def build_links(stream: Stream) -> Schema:
    """Return the links of an event."""
    event = build_event(stream)
    others = [entity for entity in stream.entities if entity.name != stream.key.name and event.get(entity.field)]
    key = {"id": f"{stream.key.name}-2", "events": 3, "newest_ms": _TIME_MS - 60_000}
    ids = [{"entity": each.name, "id": str(event[each.field]), "number": 1, "keys": [key]} for each in others[:1]]
    span = {"from_ms": _TIME_MS - 30 * _DAY_MS, "to_ms": _TIME_MS, "whole": True}
    return {"id": event[stream.id], "key": event[stream.key.field], **span, "ids": ids}


def build_normal(stream: Stream) -> Schema:
    """Return the windows of an event's key against its own normal."""
    event = build_event(stream)
    named = [each.name for each in stream.all_features if each.window and each.entity == stream.key.name]
    numbers = {"value": 9.0, "count": 240, "low": 1.0, "median": 1.0, "high": 3.0, "share_below": 0.998}
    windows = [{"feature": name, **numbers} for name in named[:1]]
    span = {"from_ms": _TIME_MS - 80 * _DAY_MS, "rows": 240, "too_few": 20}
    return {"id": event[stream.id], "key": event[stream.key.field], **span, "windows": windows}
