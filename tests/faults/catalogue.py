"""Where faults are entered by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.lab import Fault, Lab, Plan


@dataclass(frozen=True)
class Entry:
    """One fault: what is done to which deployment.

    Attributes:
        judged: whether the judge looks at the end; refusals have nothing to be judged.
    """

    name: str
    how: str
    run: Fault
    plan: Plan
    judged: bool = True


CATALOGUE: dict[str, Entry] = {}


def fault(name: str, how: str, plan: Plan | None = None, *, judged: bool = True) -> Callable[[Fault], Fault]:
    """Enter a function as the fault of that name."""

    def enter(run: Fault) -> Fault:
        CATALOGUE[name] = Entry(name, how, run, plan or Plan(), judged)
        return run

    return enter


__all__ = ["CATALOGUE", "Entry", "Lab", "Plan", "fault"]
