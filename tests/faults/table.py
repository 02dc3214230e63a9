"""The table of results: for people, for machines, and as the page under ``docs/results``."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "results" / "faults.md"


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
        "| recovery p50 s | recovery max s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "".join(_line(result) for result in results)


def _line(result: Result) -> str:
    share = "" if result.exact_share is None else f"{result.exact_share:.2%}"
    recovery = ["" if value is None else f"{value:.2f}" for value in (result.recovery_s_p50, result.recovery_s_max)]
    cells = [
        result.fault, result.times, result.records, result.lost, result.doubled, result.state_differences,
        result.aborted_copies, share, *recovery,
    ]  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def write_page(results: Sequence[Result], *, command: str, seed: int, seconds: float) -> None:
    """Write the page, with the command, the machine and the date that the figures come from."""
    cores, system = os.cpu_count(), f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    kills = sum(result.times for result in results)
    text = (
        "# Faults\n\n"
        f"`{command}`, seed {seed}, on {cores} cores ({system}) with broker, Redis, registry and every worker on "
        f"them, {datetime.now(UTC):%Y-%m-%d}: {len(results)} faults, {kills} times something was broken, "
        f"{sum(result.records for result in results)} records, {seconds / 60:.1f} minutes.\n\n"
        f"{as_text(results)}\n"
        "Lost: input positions or feature rows without an output. Doubled: with more than one. State differences: "
        "partials in Redis that are not, bit for bit, what one uninterrupted fold of the log leaves, and values that "
        "differ from the oracle's. Recovery: from the end of the fault (or the death of the process) until the view "
        "moves on. Compared exactly: share of feature and state values equal in every bit of their 32; the others "
        "(deviations, speeds, decayed counts) are within the error that the documents state.\n"
    )
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
