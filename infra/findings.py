"""What a check of something that we rely on says: how it stands, what was found, and the command that puts it right.

A start, ``/readyz``, ``weir doctor``, the metrics and the alerts all speak of findings, so that the same fault has the
same words everywhere. Who looks at what: ``infra/invariants.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from weir.schemas.errors import Refused

Level = Literal["ok", "warn", "fail"]
_RANK: dict[Level, int] = {"ok": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        check: its stable name, a label of metrics.
        level: ``fail`` breaks a promise now, ``warn`` will if nobody does anything.
        found: one line: what was expected and found, or how it stands.
        fix: the command or step that puts it right; empty when nothing has to be.
        of_some: concerns some of a process's streams; the others are served.
    """

    check: str
    level: Level
    found: str
    fix: str = ""
    of_some: bool = False

    @property
    def well(self) -> bool:
        """Whether nothing has to be done."""
        return self.level == "ok"

    def __str__(self) -> str:
        """Return the line that a log or a refusal shows.

        >>> str(Finding("redis_memory", "fail", "redis is full", "give it more"))
        'redis is full; give it more'
        """
        return f"{self.found}; {self.fix}" if self.fix else self.found


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level there is.

    >>> worst([Finding("a", "ok", ""), Finding("b", "warn", "")])
    'warn'
    """
    return max((finding.level for finding in findings), key=_RANK.__getitem__, default="ok")


def refuse(findings: Iterable[Finding]) -> None:
    """Refuse a start on the first finding that breaks a promise.

    Raises:
        Refused: with what was found and the command that puts it right.
    """
    for finding in findings:
        if finding.level == "fail":
            raise Refused(str(finding))
