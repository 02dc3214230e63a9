"""Errors of rows as a person can read them: the first few of each kind, the others counted, and how far a run is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from weir.infra.user_files.checker import Outcome
from weir.schemas.errors import PoisonRecord, describe_to_command
from weir.schemas.printable import escape

SHOWN_OF_A_KIND = 5
"""Enough to see what is wrong; ten thousand more lines of one kind say no more."""
PROGRESS_SECONDS = 5.0
Kind = tuple[str, str]


class Tally:
    """Writes errors and progress, one line each.

    Args:
        name: the file.
        write: takes a line.
        clock: seconds that never run backwards.
    """

    def __init__(self, name: str, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._out = write
        self._clock = clock
        self._counts: Counter[Kind] = Counter()
        self._last: dict[Kind, int] = {}
        self._told_at = clock()

    def _write(self, line: str) -> None:
        self._out(f"{escape(line)}\n")

    def report(self, number: int, error: PoisonRecord) -> None:
        """Take one bad row."""
        kind = (error.reason, error.field)
        self._counts[kind] += 1
        self._last[kind] = number
        if self._counts[kind] <= SHOWN_OF_A_KIND:
            self._write(f"{self._name}:{number}: {error.reason}: {describe_to_command(error)}")

    def follow(self, outcome: Outcome, doing: str) -> None:
        """Say how far a long run is, now and then."""
        if self._clock() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = self._clock()
            good = f", {outcome.good:,} good, {outcome.bad:,} bad" if outcome.good or outcome.bad else ""
            self._write(f"{self._name}: {doing} up to line {outcome.lines:,}{good}")

    def close(self) -> None:
        """Count what was not shown."""
        for (reason, field), count in self._counts.items():
            if count > SHOWN_OF_A_KIND:
                where = f" at $.{field}" if field else ""
                more, last = count - SHOWN_OF_A_KIND, self._last[reason, field]
                self._write(f"{self._name}: {reason}{where}: {more:,} more, the last on line {last}")
