"""The page of evidence of one retraining, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from weir.inference.model_card import build_table
from weir.inference.published.gate import Gate

_SAID: Final = ("contender", "ended_early")
"""Of a trial's parameters, what its name and its folds say."""


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
        if trials := step.get("trials"):
            parts.append(_build_trials(trials))
    return "\n\n".join(parts) + "\n"


def _build_trials(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the trials of a search as a table, by the names that they have in MLflow."""
    lines = ["| trial | PR-AUC | folds | parameters |", "|---|---:|---:|---|"]
    for each in trials:
        given = {name: value for name, value in each["parameters"].items() if name not in _SAID}
        parameters = ", ".join(f"{name} {value:.6g}" for name, value in given.items())
        folds = f"{len(each['metrics']) - 1}{', ended early' if each['parameters']['ended_early'] else ''}"
        lines.append(f"| {each['trial']} | {each['metrics']['pr_auc']:.4f} | {folds} | {parameters} |")
    return "\n".join(lines)


def _format(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
