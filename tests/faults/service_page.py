"""The part of ``docs/results/service.md`` that says how available the service was while faults came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.faults.availability import InTime
from tests.faults.table import Result, describe_run

PAGE = Path(__file__).parents[2] / "docs" / "results" / "service.md"
HEADING = "### Counted in the drills\n"
OF_SERVICE = {
    "kill-random": "a processor is killed",
    "kill-scorer": "a scorer is killed",
    "broker-kill": "a broker is killed, the only one",
    "broker-away": "a broker cannot be reached for a while",
    "redis-kill": "Redis is killed with its last second",
    "flushall": "Redis is wiped",
    "redis-failover-lagging": "a replica that lags takes over",
    "redis-cluster-failover": "a master of a cluster is killed",
    "decoder-killed": "a record kills its decoder",
}
"""Faults that come by themselves to a service that is run well; the others are mistakes, or attacks on the protocol."""
DAYS = (1, 7, 30)
_DAY_SECONDS = 86_400


def late_seconds_each(counted: InTime, times: int) -> float:
    """Return how many seconds of the stream one fault makes late: the share of late payments, as time.

    >>> round(late_seconds_each(InTime(due=1_000, decided=990, span_seconds=500.0), times=2), 6)
    2.5
    """
    return (1 - (counted.share or 0.0)) * counted.span_seconds / times


def as_section(found: Mapping[int, Sequence[Result]], *, command: str, seconds: float) -> str:
    """Return the section: a row for each fault that comes by itself, over all seeds."""
    due = [row for rows in found.values() for row in rows if row.in_time.due and row.times]
    lines = [_line(fault, [row for row in due if row.fault == fault]) for fault in OF_SERVICE]
    head = (
        "| fault | times | seconds of stream | due | decided within 1 s | share | late seconds a fault "
        "| one a day | one a week | one a month |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    every = _add_up(due)
    share = f"{every.share:.2%}" if every.share is not None else "none"
    whole = (
        f"In all {len(due)} drills together, those of mistakes and of attacks on the protocol too, {every.due:,} "
        f"payments were due and {every.decided:,} of them, {share}, were decided within a second.\n"
    )
    return f"{HEADING}\n{describe_run(command, seconds)}\n\n{head}{''.join(lines)}\n{whole}"


def _add_up(rows: Iterable[Result]) -> InTime:
    counts = [row.in_time for row in rows]
    return InTime(
        due=sum(each.due for each in counts),
        decided=sum(each.decided for each in counts),
        span_seconds=sum(each.span_seconds for each in counts),
    )


def _line(fault: str, rows: Sequence[Result]) -> str:
    if not rows:
        return ""
    whole, times = _add_up(rows), sum(row.times for row in rows)
    late = f"{late_seconds_each(whole, times):.2f}"
    shares = [f"{1 - float(late) / (days * _DAY_SECONDS):.4%}" for days in DAYS]
    cells = [
        f"{OF_SERVICE[fault]}, `{fault}`", times, f"{whole.span_seconds:.0f}", f"{whole.due:,}", f"{whole.decided:,}",
        f"{whole.share or 0:.2%}", late, *shares,
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |\n"


def write_section(found: Mapping[int, Sequence[Result]], *, command: str, seconds: float) -> None:
    """Write the section in place of the one that is there; it is the page's last."""
    text, heading, _ = PAGE.read_text().partition(HEADING)
    assert heading, f"expected {HEADING.strip()!r} in {PAGE}"
    PAGE.write_text(text + as_section(found, command=command, seconds=seconds))
