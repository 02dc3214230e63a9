"""What a gate before publishing says: of a model, or of rules, lists and thresholds by a trial on the past."""

from __future__ import annotations

from dataclasses import dataclass


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
