"""What a gate before publishing says: of a model, or of rules, lists and thresholds by a trial on the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weir.inference.published.act import Kind


@dataclass(frozen=True)
class Gate:
    """One gate.

    Attributes:
        passed: what was not measured is not.
        found: the number, or why there is none.
        wanted: in words.
    """

    name: str
    passed: bool
    found: str
    wanted: str


@dataclass(frozen=True)
class Trial:
    """What a trial on the past came to.

    Attributes:
        note: why it could not be made, which refuses nothing; empty where it was made.
        failed: names of the gates that are not passed, each with what was found.
        figures: what it would have changed.
    """

    note: str = ""
    failed: tuple[tuple[str, str], ...] = ()
    figures: dict[str, Any] | None = None


def show_trial(trial: Trial | None) -> dict[str, Any]:
    """Return what a trial came to as answers show it; without one, that it runs."""
    if trial is None:
        return {"state": "running", "note": "", "failed": [], "figures": None}
    return {
        "state": "done",
        "note": trial.note,
        "failed": [{"gate": name, "found": found} for name, found in trial.failed],
        "figures": trial.figures,
    }


TryText = Callable[[str, Kind, str, str], Trial]
"""Tries what is to be published of a stream, by its name; it may wait, and raises ``WeirError`` where it breaks off.

Of rules it is given two texts: what is tried, and the one in force. Of lists it is given the JSON text of a change, and
the hash of the content that it changes.
"""
