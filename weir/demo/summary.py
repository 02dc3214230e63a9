"""What a demo of the payments says at its end: decisions held against the simulator's truth."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from rich.console import Console

from weir.demo.watch import DECISIONS_MAX, Tally, show_amount
from weir.monitoring.terminal import build_table
from weir.schemas.durations import SECOND_MS
from weir.schemas.printable import escape
from weir.schemas.stream import Stream

_AROUND_MS: Final = 10 * SECOND_MS
"""A payment is appended some time after its own."""


def read_truth(path: Path) -> list[dict[str, Any]]:
    """Return the newest rows of the simulator's truth, as many as decisions are kept."""
    if not path.exists():
        return []
    table = pq.read_table(path)
    rows: list[dict[str, Any]] = table.slice(max(0, table.num_rows - DECISIONS_MAX)).to_pylist()
    return rows


def print_quality(console: Console, truth: list[dict[str, Any]], tally: Tally) -> None:
    """Print precision and recall of what was stopped (REVIEW or DECLINE) against the simulator's truth."""
    stream, decided = tally.stream, tally.by_id
    verdict = stream.labels.verdict if stream.labels else ""
    known = [(row[verdict], decided[row[stream.id]]) for row in truth if row[stream.id] in decided]
    fraud = sum(fraudulent for fraudulent, _ in known)
    for title, outcomes in (("declined", {"DECLINE"}), ("stopped (declined or reviewed)", {"DECLINE", "REVIEW"})):
        stopped = [fraudulent for fraudulent, row in known if row["decision"] in outcomes]
        if stopped and fraud:
            console.print(
                f"{title}: precision {sum(stopped) / len(stopped):.2f}, recall {sum(stopped) / fraud:.2f} "
                f"({sum(stopped)} of {fraud} frauds, {len(stopped) - sum(stopped)} false alarms)"
            )


def print_sequence(console: Console, truth: list[dict[str, Any]], tally: Tally) -> None:
    """Show one card-testing run whose decisions turn from APPROVE to DECLINE."""
    stream, decided = tally.stream, tally.by_id
    actors: dict[str, list[dict[str, Any]]] = {}
    for row in truth:
        if "testing" in row["scenario"] and row[stream.id] in decided:
            actors.setdefault(row["actor_id"], []).append(decided[row[stream.id]])
    sequences = [sorted(rows, key=lambda row: int(row[stream.time])) for rows in actors.values()]
    turned = [rows for rows in sequences if _turns(rows)]
    if not turned:
        console.print("no card-testing run turned from APPROVE to DECLINE in this time; a longer DURATION shows one")
        return
    rows = max(turned, key=len)
    columns = ("seconds", "amount", "score", "decision", "why")
    cells = [_cells(stream, row, rows[0][stream.time]) for row in rows]
    console.print(build_table(columns, cells, title="one card-testing run", box=False))
    for line in _describe_walk(stream, rows):
        console.print(line, soft_wrap=True, markup=False)


def _describe_walk(stream: Stream, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the commands that show the run's card as it was, from the archive."""
    whose = escape(shlex.quote(rows[0][stream.key.field]))
    times = (rows[0][stream.time] - _AROUND_MS, rows[-1][stream.time] + _AROUND_MS)
    first, last = (datetime.fromtimestamp(each // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for each in times)
    return (
        "the same card through time, from the archive",
        "  .venv/bin/weir up && .venv/bin/weir archive --until-caught-up",
        f"  .venv/bin/weir inspect {stream.key.name} {whose} --at {first} --until {last}",
    )


def _cells(stream: Stream, row: dict[str, Any], start_ms: int) -> tuple[str, ...]:
    return (
        f"{(row[stream.time] - start_ms) / 1_000:.1f}",
        show_amount(stream, row),
        "-" if row["score"] is None else f"{row['score']:.3f}",
        row["decision"],
        ", ".join(reason["code"] for reason in row["reasons"]),
    )


def _turns(rows: list[dict[str, Any]]) -> bool:
    """True when the first payment of a run was approved and a later one declined."""
    outcomes = [row["decision"] for row in rows]
    return outcomes[0] == "APPROVE" and "DECLINE" in outcomes
