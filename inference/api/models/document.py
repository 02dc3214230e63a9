"""What the OpenAPI document shows of models."""

from __future__ import annotations

from typing import Any

from weir.inference.api.rules.document import ACT, VERSION, WHY, build_body, build_list, build_object
from weir.inference.api.schema import Schema
from weir.schemas.currencies import BASE_CURRENCY
from weir.schemas.stream import Stream

DAYS, DAYS_MAX = 90, 366
NAME_CHARACTERS_MAX = 200
_TIME_MS = 1_767_268_800_000
_DAY_MS = 86_400_000
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_SHARE: Schema = {"type": ["number", "null"]}
_YES: Schema = {"type": "boolean"}
_CUT = build_object({"review": _NUMBER, "decline": _NUMBER})
_ROLE: dict[str, Schema] = {
    "role": {"type": "string", "enum": ["champion", "canary", "shadow"]},
    "share": {**_SHARE, "description": "Of the keys that it decides for; null for a model that only scores."},
}
_BRIEF: dict[str, Schema] = {
    "name": _TEXT,
    "version": _TEXT,
    "content": {"type": "string", "description": "SHA-256 of its manifest, which names that of the model."},
    "created_time_ms": _WHOLE,
    "training_interval_ms": {
        "type": ["array", "null"],
        "items": _WHOLE,
        "description": "Event times of what taught it, from and to; null where its manifest does not say.",
    },
    "thresholds": {**_CUT, "description": "By which it decides, or would: the published ones, else its own."},
    "metrics": {"type": ["object", "null"], "description": "As its manifest has them, from its training."},
    "gates_passed": _WHOLE,
    "gates_failed": {**build_list(_TEXT), "description": "Of the last run of the gates that its card has."},
}
ROLE = build_object(_ROLE | _BRIEF)
MODEL = build_object(
    _BRIEF
    | {
        "roles": build_list(build_object(_ROLE)),
        "manifest": {"type": "object"},
        "features": build_list(_TEXT),
        "card": {"type": ["string", "null"], "description": "Markdown, without the gates; null where it has none."},
        "gates_run": {"type": "string", "description": "When the gates were run, and against what; empty for never."},
        "gates": build_list(build_object({"name": _TEXT, "passed": _YES, "found": _TEXT, "wanted": _TEXT})),
        "drift": {"type": ["object", "null"], "description": "What `weir monitor` found last on this host, or null."},
    }
)
HISTORY = build_object({"history": build_list(build_object({"role": _ROLE["role"]} | ACT["properties"]))})
DONE = build_object({"version": _TEXT, "action": _TEXT, "role": _ROLE["role"]})
DONE_SHOWN: dict[str, Any] = {"version": "20251201T120000", "action": "rollback", "role": "champion"}
ROLLBACK_BODY = build_body(
    {"role": _ROLE["role"], "version": VERSION, "why": WHY},
    {"role": "champion", "version": "20260101T120000", "why": "too many reviews"},
    "role", "version", "why",
)  # fmt: skip
_POINT = build_object(
    {
        "threshold": _NUMBER,
        "flagged": {**_WHOLE, "description": "Scored events with at least this score."},
        "flagged_share": _SHARE,
        "fraud_caught": _WHOLE,
        "fraud_let_through": _WHOLE,
        "good_flagged": _WHOLE,
        "precision": _SHARE,
        "recall": _SHARE,
        "false_positive_rate": _SHARE,
        "money_caught": _NUMBER,
        "money_let_through": _NUMBER,
        "money_of_good": _NUMBER,
    }
)
THRESHOLDS = build_object(
    {
        "name": _TEXT,
        "version": _TEXT,
        "thresholds": {**_CUT, "description": "By which it decides, or would."},
        "from_ms": {**_WHOLE, "description": "Append time of decisions, UTC epoch ms."},
        "to_ms": {**_WHOLE, "description": "The first append time of none."},
        "events": {**_WHOLE, "description": "That it scored, and that are old enough for their labels."},
        "young": {**_WHOLE, "description": "That it scored, and that are too young: they are in no figure."},
        "decided": {**_WHOLE, "description": "Of them, those that it decided."},
        "shadow": {**_WHOLE, "description": "And those that it scored as a shadow."},
        "unscored": {**_WHOLE, "description": "Events that it decided without a score."},
        "known": {**_WHOLE, "description": "Scored events of which the outcome is known."},
        "frauds": {**_WHOLE, "description": "Of them fraud."},
        "currency": {"type": ["string", "null"], "description": "Of money, in minor units; null for a stream without."},
        "is_cut_short": {**_YES, "description": "Whether reading all days would take too long, so `from_ms` is later."},
        "note": {"type": "string", "description": "Why there are no points; empty where there are."},
        "points": {**build_list(_POINT), "description": "What each threshold does, the lowest first."},
    }
)
HISTORY_SHOWN: dict[str, Any] = {
    "history": [
        {
            "role": "champion",
            "version": "20260101T120000",
            "action": "publish",
            "at_ms": _TIME_MS,
            "who": "anna",
            "why": "more trees",
            "state": "in force",
        }
    ]
}
_POINT_SHOWN: dict[str, Any] = {
    "threshold": 0.3,
    "flagged": 1_240,
    "flagged_share": 0.0124,
    "fraud_caught": 310,
    "fraud_let_through": 90,
    "good_flagged": 150,
    "precision": 0.674,
    "recall": 0.775,
    "false_positive_rate": 0.0031,
    "money_caught": 7_412_300.0,
    "money_let_through": 1_201_150.0,
    "money_of_good": 812_000.0,
}
THRESHOLDS_SHOWN: dict[str, Any] = {
    "name": "fraud",
    "version": "20260101T120000",
    "thresholds": {"review": 0.3, "decline": 0.8},
    "from_ms": _TIME_MS - 90 * _DAY_MS,
    "to_ms": _TIME_MS,
    "events": 100_000,
    "young": 14_200,
    "decided": 100_000,
    "shadow": 0,
    "unscored": 0,
    "known": 48_400,
    "frauds": 400,
    "currency": BASE_CURRENCY,
    "is_cut_short": False,
    "note": "",
    "points": [_POINT_SHOWN],
}


def build_models_shown(stream: Stream) -> dict[str, Any]:
    """Return an example of the models in force."""
    model = build_shown(stream)
    brief = {name: model[name] for name in _BRIEF}
    named = {name: model[name] for name in ("name", "version", "created_time_ms", "thresholds")}
    return {
        "champion": named | {"feature_count": len(stream.feature_names)},
        "roles": [{"role": "champion", "share": 1.0} | brief],
        "rules_version": "6b988f2e",
        "rules": [
            {
                "name": "burst",
                "decision": "REVIEW",
                "mode": "live",
                "code": "BURST",
                "why": "many in a minute",
                "conditions": ["score >= 0.9"],
            }
        ],
        "bundles": [{name: model[name] for name in ("name", "version", "created_time_ms")}],
    }


def build_shown(stream: Stream) -> dict[str, Any]:
    """Return an example of a model of a stream."""
    cut, features = {"review": 0.3, "decline": 0.8}, list(stream.feature_names[:2])
    gate = {"name": "PR-AUC", "passed": True, "found": "0.712 against 0.690", "wanted": "not below the champion's"}
    return {
        "name": "fraud",
        "version": "20260101T120000",
        "content": "5f" * 32,
        "created_time_ms": _TIME_MS,
        "training_interval_ms": [_TIME_MS - 120 * _DAY_MS, _TIME_MS - 40 * _DAY_MS],
        "thresholds": cut,
        "metrics": {"test": {"lightgbm": {"pr_auc": 0.712}}},
        "gates_passed": 1,
        "gates_failed": [],
        "roles": [{"role": "champion", "share": 1.0}],
        "manifest": {"name": "fraud", "version": "20260101T120000", "thresholds": cut},
        "features": features,
        "card": "# fraud 20260101T120000",
        "gates_run": "Run on 2026-01-01 12:00 UTC, against the champion 20251201T120000.",
        "gates": [gate],
        "drift": None,
    }
