"""What the OpenAPI document shows of lists that are published."""

from __future__ import annotations

from typing import Any

from weir.inference.api.rules.document import (
    ACT,
    FORCE,
    PROPOSAL,
    TRIAL,
    TRIAL_RUNS,
    TRIED_SHOWN,
    VERSION,
    WHY,
    build_body,
    build_list,
    build_object,
)
from weir.inference.api.schema import Schema
from weir.inference.core.lists import SIDES, TEXT_MAX
from weir.inference.published.lists_change import LISTS_ACTIONS
from weir.inference.published.lists_desk import CHANGED_MAX
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

UNTIL_MS_MAX = 4_102_444_800_000
"""2100-01-01: what ends later does not end."""
_TIME_MS = 1_767_268_800_000
_TEXT: Schema = {"type": "string"}
_NULL_OR_TEXT: Schema = {"type": ["string", "null"]}
_WHOLE: Schema = {"type": "integer"}
_SIDE: Schema = {"type": "string", "enum": list(SIDES), "description": "The list."}
_COUNT = build_object({"side": _SIDE, "entity": _TEXT, "count": _WHOLE})
_ENTRY = build_object(
    {
        "side": _SIDE,
        "entity": _TEXT,
        "entry": _TEXT,
        "reason": _TEXT,
        "source": _TEXT,
        "until_ms": {"type": ["integer", "null"], "description": "It does not count from then on; null for never."},
    }
)
LISTS = build_object(
    {
        "version": _TEXT,
        "in_force": {"type": "boolean"},
        "published": {"type": "boolean", "description": "False where the lists are those of the lists file."},
        "counts": build_list(_COUNT),
        "entries": build_list(_ENTRY),
        "more": {"type": "boolean", "description": "Whether others fit too, which are not shown."},
        "history": build_list(ACT),
    }
)
DONE = build_object(
    {
        "version": _NULL_OR_TEXT,
        "action": _NULL_OR_TEXT,
        "proposal": PROPOSAL,
        "changed": {"type": "integer", "description": "How many of the entries are others than before."},
        "trial": TRIAL,
    },
    "version", "action", "trial",
)  # fmt: skip
DONE_SHOWN: dict[str, Any] = {
    "version": "185f439486ac",
    "action": "change",
    "changed": 2,
    "trial": TRIED_SHOWN,
}
TRYING_SHOWN: dict[str, Any] = {"version": None, "action": None, "trial": TRIAL_RUNS}
ROLLBACK_BODY = build_body(
    {"version": VERSION, "why": WHY}, {"version": "none", "why": "they were not the ones"}, "version", "why"
)


def build_shown(stream: Stream) -> dict[str, Any]:
    """Return an example of the lists of a stream."""
    entity = stream.key.name
    named = {"side": "block", "entity": entity}
    entry = {"entry": f"{entity}-17", "reason": "chargebacks in May", "source": "scheme file", "until_ms": None}
    act = {"version": "185f439486ac", "action": "change", "at_ms": _TIME_MS, "who": "anna", "why": "seen today"}
    return {
        "version": "185f439486ac",
        "in_force": True,
        "published": True,
        "counts": [named | {"count": 1}],
        "entries": [named | entry],
        "more": False,
        "history": [act | {"state": "in force"}],
    }


def build_change(stream: Stream) -> dict[str, Any]:
    """Return what the document shows of the body of a change."""
    entity = stream.key.name
    entry: Schema = {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX}
    note: Schema = {"type": "string", "maxLength": TEXT_MAX}
    fields: dict[str, Schema] = {
        "action": {"type": "string", "enum": list(LISTS_ACTIONS)},
        "side": _SIDE,
        "entity": {"type": "string", "enum": list(stream.id_field_of)},
        "entries": {"type": "array", "items": entry, "minItems": 1, "maxItems": CHANGED_MAX},
        "reason": {**note, "description": "Of added entries, for who reads a decision."},
        "source": {**note, "description": "Likewise: where it is known from."},
        "until_ms": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": UNTIL_MS_MAX,
            "description": "Likewise: records that are appended from then on are not meant, UTC epoch ms.",
        },
        "why": WHY,
        "force": FORCE,
    }
    example = {"action": "add", "side": "block", "entity": entity, "entries": [f"{entity}-17", f"{entity}-18"],
               "reason": "chargebacks in May", "source": "scheme file", "why": "seen today"}  # fmt: skip
    return build_body(fields, example, "action", "side", "entity", "entries", "why")
