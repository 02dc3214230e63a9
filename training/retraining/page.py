"""The page of evidence of one retraining, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from weir.inference.model_card import build_table
from weir.inference.published.gate import Gate


def build_page(document: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        document: as ``Run.as_document`` returns it.
    """
    parts = [
        f"# Retraining of {document['stream']}, {document['id']}",
        f"Model: {document['version'] or 'none yet'}. Outcome: {document['outcome'] or 'it runs, or was stopped'}.",
        "## Why\n\n" + "\n".join(f"- {each}" for each in document["why"]),
        "## Steps",
    ]
    for step in document["steps"]:
        parts.append(f"### {step['step']}: {'passed' if step['passed'] else 'not passed'}")
        parts.append(f"{_format(step['at_ms'])}: {step['found']}")
        if step["gates"]:
            gates = [Gate(g["gate"], g["passed"], g["found"], g["wanted"]) for g in step["gates"]]
            parts.append(build_table(gates))
    return "\n\n".join(parts) + "\n"


def _format(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
