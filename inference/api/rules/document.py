"""What the OpenAPI document shows of rules that are published."""

from __future__ import annotations

from typing import Any

from weir.inference.api.change_body import BY, BY_SHOWN
from weir.inference.api.schema import Schema
from weir.inference.published.act import NONE, TEXT_BYTES_MAX

TEXT_CHARACTERS_MAX = 600_000
"""Of a text in a request, whose body has at most a megabyte; `weir rules publish` takes longer ones."""
WHY_CHARACTERS_MAX = 1_000
VERSION_CHARACTERS_MAX = 64
_TIME_MS = 1_767_268_800_000
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NULL_OR_TEXT: Schema = {"type": ["string", "null"]}
assert TEXT_CHARACTERS_MAX <= TEXT_BYTES_MAX, "what is taken here can be published"


def build_object(properties: dict[str, Schema], *required: str) -> Schema:
    """Return the schema of an object; everything in it is required where nothing is named."""
    named = list(required or properties)
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": named}


def build_list(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


_RULE = build_object(dict.fromkeys(("name", "then", "mode", "code", "why", "owner", "when"), _TEXT))
ACT = build_object(
    {
        "version": _TEXT,
        "action": {"type": "string", "enum": ["publish", "change", "rollback"]},
        "at_ms": _WHOLE,
        "who": _TEXT,
        "why": _TEXT,
        "state": {"type": "string", "description": "`in force`, why it cannot be used, or nothing."},
    }
)
TRIAL: Schema = {
    "description": "What the past says of it; null where it was not asked.",
    "anyOf": [
        build_object(
            {
                "state": {"type": "string", "enum": ["running", "done"]},
                "note": {"type": "string", "description": "Why it was not tried, which refuses nothing."},
                "failed": build_list(build_object({"gate": _TEXT, "found": _TEXT})),
                "figures": {
                    "type": ["object", "null"],
                    "description": "How many decisions would be others, by outcome.",
                },
            }
        ),
        {"type": "null"},
    ],
}
RULES = build_object(
    {
        "version": _TEXT,
        "in_force": {"type": "boolean"},
        "published": {"type": "boolean", "description": "False where the rules are those that the stream declares."},
        "text": _TEXT,
        "rules": build_list(_RULE),
        "history": build_list(ACT),
    }
)
_FAULT = build_object({"line": _WHOLE, "column": _WHOLE, "part": _TEXT, "fault": _TEXT})
CHECKED = build_object(
    {
        "faults": build_list(_FAULT),
        "version": _NULL_OR_TEXT,
        "rules": build_list(_RULE),
        "diff": build_list(_TEXT),
        "trial": TRIAL,
    }
)
PROPOSAL: Schema = {
    **_TEXT,
    "description": "The id of what was proposed, where `action` is `propose`: another person has to approve it.",
}
DONE = build_object(
    {"version": _NULL_OR_TEXT, "action": _NULL_OR_TEXT, "proposal": PROPOSAL, "trial": TRIAL},
    "version", "action", "trial",
)  # fmt: skip
TAKEN_BACK = build_object({"version": _TEXT, "action": _TEXT})

_SHOWN = {
    "name": "burst",
    "then": "REVIEW",
    "mode": "live",
    "code": "BURST",
    "why": "many in a minute",
    "owner": "risk",
    "when": "score >= 0.9",
}
_FIGURES = {
    "judged": 18_204,
    "decided": {"APPROVE": 17_900, "REVIEW": 204, "DECLINE": 100},
    "would_be": {"APPROVE": 17_880, "REVIEW": 224, "DECLINE": 100},
    "declined_points": 0.0,
    "flips": {"APPROVE \u2192 REVIEW": 20},
    "notes": [],
    "good_hurt_percent": None,
}
TRIED_SHOWN = {"state": "done", "note": "", "failed": [], "figures": _FIGURES}
RULES_SHOWN: dict[str, Any] = {
    "version": "6b988f2e",
    "in_force": True,
    "published": True,
    "text": "rules:\n- {name: burst, why: many in a minute, owner: risk, when: score >= 0.9, then: REVIEW}\n",
    "rules": [_SHOWN],
    "history": [
        {
            "version": "6b988f2e",
            "action": "publish",
            "at_ms": _TIME_MS,
            "who": "anna",
            "why": "a wave since Monday",
            "state": "in force",
        }
    ],
}
CHECKED_SHOWN: dict[str, Any] = {
    "faults": [], "version": "6b988f2e", "rules": [_SHOWN], "diff": ["--- declared", "+++ 6b988f2e"],
    "trial": TRIED_SHOWN,
}  # fmt: skip
DONE_SHOWN: dict[str, Any] = {"version": "6b988f2e", "action": "publish", "trial": TRIED_SHOWN}
TRIAL_RUNS: dict[str, Any] = {"state": "running", "note": "", "failed": [], "figures": None}
TRYING_SHOWN: dict[str, Any] = {"version": None, "action": None, "trial": TRIAL_RUNS}
TAKEN_BACK_SHOWN: dict[str, Any] = {"version": NONE, "action": "rollback"}

_RULES_TEXT: Schema = {"type": "string", "maxLength": TEXT_CHARACTERS_MAX, "description": "Of a rules file."}
WHY: Schema = {"type": "string", "minLength": 1, "maxLength": WHY_CHARACTERS_MAX}
FORCE: Schema = {**WHY, "description": "Why, though a gate is not passed."}
VERSION: Schema = {
    "type": "string",
    "minLength": 4,
    "maxLength": VERSION_CHARACTERS_MAX,
    "description": "Or its beginning; `none` for what is in force where nothing is published.",
}


def build_body(fields: dict[str, Schema], example: dict[str, Any], *required: str) -> dict[str, Any]:
    """Return what the document shows of the body of a change: its fields, and who asks for it."""
    schema = build_object({BY: BY_SHOWN, **fields}, *required)
    content = {"application/json": {"schema": schema, "example": {BY: "anna", **example}}}
    return {"requestBody": {"required": True, "content": content}}


CHECK_BODY = build_body(
    {"text": _RULES_TEXT, "try": {"type": "boolean", "description": "On the past too."}},
    {"text": RULES_SHOWN["text"], "try": True},
    "text",
)
PUBLISH_BODY = build_body(
    {"text": _RULES_TEXT, "why": WHY, "force": FORCE},
    {"text": RULES_SHOWN["text"], "why": "a wave since Monday"},
    "text",
    "why",
)
ROLLBACK_BODY = build_body(
    {"version": VERSION, "why": WHY}, {"version": "none", "why": "too many reviews"}, "version", "why"
)
