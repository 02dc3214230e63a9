"""The table of results: for people, for machines, and as the page under ``docs/results``."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.availability import InTime

PAGE = Path(__file__).parents[2] / "docs" / "results" / "faults.md"
BY_HAND = "## The guards\n"


@dataclass(frozen=True)
class Result:
    """One row; the names are the keys of the JSON form."""

    fault: str
    times: int
    records: int
    lost: int
    doubled: int
    state_differences: int
    recovery_s_p50: float | None
    recovery_s_max: float | None
    aborted_copies: int = 0
    exact_share: float | None = None
    in_time: InTime = field(default_factory=InTime)
    seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.doubled or self.state_differences or self.problems)


def summarize(recoveries: Sequence[float]) -> tuple[float | None, float | None]:
    """Median and maximum, rounded to hundredths of a second."""
    if not recoveries:
        return None, None
    return round(statistics.median(recoveries), 2), round(max(recoveries), 2)


def as_json(results: Sequence[Result]) -> str:
    return json.dumps([asdict(result) for result in results], indent=1)


def as_text(results: Sequence[Result]) -> str:
    """The table as Markdown, which is also how it is printed."""
    head = (
        "| fault | times | records | lost | doubled | state differences | aborted copies seen | compared exactly "
        "| recovery p50 s | recovery max s | decided within 1 s | seconds with a late one |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "".join(_line(result) for result in results)


def _line(result: Result) -> str:
    share, in_time = ("" if each is None else f"{each:.2%}" for each in (result.exact_share, result.in_time.share))
    recovery = ["" if value is None else f"{value:.2f}" for value in (result.recovery_s_p50, result.recovery_s_max)]
    cells = [
        result.fault, result.times, result.records, result.lost, result.doubled, result.state_differences,
        result.aborted_copies, share, *recovery, in_time, result.in_time.late_seconds,
    ]  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def write_page(found: Mapping[int, Sequence[Result]], *, command: str, seconds: float) -> None:
    """Write the page, a table per seed, with the command, the machine and the date that the figures come from.

    What is written by hand, from the guards on, stays.
    """
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    _, heading, by_hand = PAGE.read_text().partition(BY_HAND) if PAGE.exists() else ("", "", "")
    PAGE.write_text("\n".join(filter(None, [as_page(found, command=command, seconds=seconds), heading + by_hand])))


def as_page(found: Mapping[int, Sequence[Result]], *, command: str, seconds: float) -> str:
    """Return the page's text."""
    tables = "".join(_section(seed, results) for seed, results in found.items())
    return f"# Faults\n\n{describe_run(command, seconds)}\n\n{tables}{_LEGEND}"


def describe_run(command: str, seconds: float) -> str:
    """Return where figures come from: the command, the machine, the date and how long it took."""
    cores, system = os.cpu_count(), f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return (
        f"`{command}` on {cores} cores ({system}) with broker, Redis, registry and every worker on them, "
        f"{datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes."
    )


def _section(seed: int, results: Sequence[Result]) -> str:
    times, records = sum(result.times for result in results), sum(result.records for result in results)
    right = sum(result.is_right for result in results)
    return (
        f"## Seed {seed}\n\n{right} of {len(results)} faults were right; {times:,} times something was broken, "
        f"{records:,} records.\n\n{as_text(results)}\n"
    )


_LEGEND = """\
## How to read it

- Lost: input positions or feature rows without an output. Doubled: with more than one.
- State differences: partials in Redis that are not, bit for bit, what one uninterrupted fold of the log leaves, and
  values that differ from the oracle's.
- Recovery: from the end of the fault (or the death of the process) until the view moves on.
- Decided within 1 s: of the payments that were sent after the first decision, those whose decision came within a second
  after the sender had them, with all that was broken in between. The load is about 250 records a second.
- Compared exactly: share of feature and state values equal in every bit of their 32; the others (deviations, speeds,
  decayed counts) are within the error that the documents state.
"""
