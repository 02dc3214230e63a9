"""What the OpenAPI document shows of proposals."""

from __future__ import annotations

from typing import Any

from weir.inference.api.rules.document import TRIAL, TRIED_SHOWN, build_body, build_list, build_object
from weir.inference.api.schema import Schema
from weir.inference.published.proposals.settling import SETTLED_WHY_MAX

ID_DIGITS_MIN, ID_DIGITS_MAX = 4, 32
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NULL_OR_TEXT: Schema = {"type": ["string", "null"]}
_STATES = ["waiting", "outdated", "approved", "rejected", "expired"]
_PROPOSAL = build_object(
    {
        "id": _TEXT,
        "version": _TEXT,
        "action": {"type": "string", "enum": ["publish", "change"]},
        "state": {
            "type": "string",
            "enum": _STATES,
            "description": "`outdated`: what it was proposed for is no longer in force, so it cannot be approved.",
        },
        "at_ms": _WHOLE,
        "until_ms": {**_WHOLE, "description": "It can no longer be approved from then on."},
        "who": _TEXT,
        "why": _TEXT,
        "trial": TRIAL,
        "diff": {**build_list(_TEXT), "description": "What it would change, while it waits."},
        "settled_by": {**_NULL_OR_TEXT, "description": "Who approved or rejected it."},
        "settled_why": _NULL_OR_TEXT,
        "settled_ms": {"type": ["integer", "null"]},
    }
)
PROPOSALS = build_object({"proposals": build_list(_PROPOSAL)})
SETTLED = build_object({"version": _TEXT, "action": _TEXT, "proposal": _TEXT})
WHY_BODY = build_body(
    {"why": {"type": "string", "minLength": 1, "maxLength": SETTLED_WHY_MAX}}, {"why": "it is the scheme's list"}, "why"
)
_ID = "3f2a77c01b9e4d0c8a5f6e1d2c3b4a59"
PROPOSALS_SHOWN: dict[str, Any] = {
    "proposals": [
        {
            "id": _ID,
            "version": "6b988f2e",
            "action": "publish",
            "state": "waiting",
            "at_ms": 1_767_268_800_000,
            "until_ms": 1_767_873_600_000,
            "who": "anna",
            "why": "a wave since Monday",
            "trial": TRIED_SHOWN,
            "diff": ["--- declared", "+++ 6b988f2e"],
            "settled_by": None,
            "settled_why": None,
            "settled_ms": None,
        }
    ]
}
SETTLED_SHOWN: dict[str, dict[str, Any]] = {
    "approve": {"version": "6b988f2e", "action": "publish", "proposal": _ID},
    "reject": {"version": "6b988f2e", "action": "reject", "proposal": _ID},
}
