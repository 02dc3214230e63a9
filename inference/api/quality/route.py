"""The path of precision, recall and money lost by day, as ``weir quality`` found them last on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.error_document import error_answers
from weir.inference.api.rules.document import build_list, build_object
from weir.inference.api.schema import Schema
from weir.inference.model_card import QUALITY_FILE
from weir.schemas.currencies import BASE_CURRENCY

FIGURES = ("precision", "recall", "money_lost")
_NONE = "expected figures on the API's host, found none; `weir quality` finds them"
_WHOLE: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_INTERVAL: Schema = {
    "description": "With the ends of its 95 % interval; null while it is too early.",
    "anyOf": [build_object(dict.fromkeys(("estimate", "low", "high"), _NUMBER)), {"type": "null"}],
}
_DAY = build_object(
    {
        "day": {"type": "string", "description": "UTC, of the decisions."},
        "decided": _WHOLE,
        "stopped": {**_WHOLE, "description": "Sent to review or declined."},
        "known_fraud": _WHOLE,
        "labels_complete": {"type": ["number", "null"], "description": "The share of labels that has come."},
        **dict.fromkeys(FIGURES, _INTERVAL),
    }
)
QUALITY = build_object(
    {
        "now_ms": {**_WHOLE, "description": "Of the newest record that was looked at."},
        "horizon_days": {**_NUMBER, "description": "Fraud is what is labelled as such within them."},
        "counts_declined": {**_FLAG, "description": "Whether what was declined counts."},
        "counts_let_through": {**_FLAG, "description": "Whether it counts by what was let through."},
        "currency": {"type": "string", "description": "Money is in its minor units."},
        "days": build_list(_DAY),
    }
)
SHOWN: dict[str, Any] = {
    "now_ms": 1_767_268_800_000,
    "horizon_days": 60.0,
    "counts_declined": False,
    "counts_let_through": False,
    "currency": BASE_CURRENCY,
    "days": [
        {
            "day": "2025-12-01",
            "decided": 20_000,
            "stopped": 420,
            "known_fraud": 261,
            "labels_complete": 0.8,
            "precision": {"estimate": 0.57, "low": 0.49, "high": 0.64},
            "recall": {"estimate": 0.66, "low": 0.58, "high": 0.74},
            "money_lost": {"estimate": 1_963_479.0, "low": 1_331_976.0, "high": 2_706_632.0},
        }
    ],
}


def add_quality(router: APIRouter, path: str, models_dir: Path) -> None:
    """Add the path.

    Args:
        router: of the stream.
        path: of the figures.
        models_dir: of the stream, where they are kept.
    """

    @router.get(
        path,
        responses={
            200: examples.answer("the newest day first", QUALITY, SHOWN),
            **error_answers("no_quality"),
        },
        summary="Precision, recall and money lost by day, while labels are late",
        openapi_extra=needs(Scope.READ),
    )
    async def get_quality() -> Response:
        found = await run_in_threadpool(read_quality, models_dir)
        if found is None:
            return answer_error(404, "no_quality", _NONE)
        return answer_json(found)


def read_quality(models_dir: Path) -> dict[str, Any] | None:
    """Return what was found last; None where nothing was, or what is there cannot be read."""
    try:
        found = orjson.loads((models_dir / QUALITY_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return found | {"currency": BASE_CURRENCY} if isinstance(found, dict) else None
