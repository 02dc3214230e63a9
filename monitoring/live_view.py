"""The terminal view of a running pipeline: a snapshot in, a rich renderable out. It reads nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from weir.monitoring.terminal import cell

DECISION_STYLES = {"APPROVE": "green", "REVIEW": "yellow", "DECLINE": "bold red"}
_WIDTH_MAX, _WIDTH_WIDE = 150, 136
"""Columns: more are left empty; fewer than the second give the reasons a line of their own."""
_ROWS_OF_THE_REST = 13
"""Rows of the view without the list of declines."""
_ROWS_OF_ONE = 2
_REASONS_SHOWN = 4
_SPARK = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class ShownEvent:
    """One line of the list of latest events: why it was declined, or some features where nothing decides."""

    clock: str
    event_id: str
    amount: str
    score: str
    reasons: list[str]


@dataclass
class Snapshot:
    """What the view shows; rates are per second, latencies in milliseconds.

    Attributes:
        event: the stream's word for one.
        outcomes: decisions, or feature rows where nothing decides.
        decided: whether something decides.
        shows_all: whether ``latest`` holds all events, and not those alone that were declined.
        latency_ms: from sent to committed, by percentile.
        freshness_ms: likewise from sent to counted by the view, where it is looked at.
        reasons: how many dead letters of each.
        latest: the newest declines, or the newest events.
    """

    title: str = ""
    event: str = "event"
    decided: bool = True
    shows_all: bool = False
    elapsed_seconds: float = 0.0
    duration_seconds: float = 0.0
    events_in: int = 0
    outcomes: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    events_rate: float = 0.0
    outcomes_rate: float = 0.0
    rate_history: list[float] = field(default_factory=list)
    latency_ms: dict[str, float] = field(default_factory=dict)
    freshness_ms: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    lag_records: int = 0
    degraded: int = 0
    latest: list[ShownEvent] = field(default_factory=list)
    processes: dict[str, str] = field(default_factory=dict)

    @property
    def dead_letters(self) -> int:
        """How many there were."""
        return sum(self.reasons.values())


def render(snapshot: Snapshot, *, width: int = 118, height: int = 40) -> RenderableType:
    """Return the whole view.

    Args:
        snapshot: what to show.
        width: columns of the terminal.
        height: rows of the terminal; of the latest declines as many are shown as fit.
    """
    width = min(width, _WIDTH_MAX)
    latest = "latest, with some of their features" if not snapshot.decided else "latest declined"
    latest = "latest decided" if snapshot.decided and snapshot.shows_all else latest
    top = Table.grid(expand=True, padding=(0, 2))
    for ratio in (5, 4, 4):
        top.add_column(ratio=ratio)
    top.add_row(_flow(snapshot), _latency(snapshot), _decisions(snapshot) if snapshot.decided else _reasons(snapshot))
    return Group(
        Panel(top, title=cell(f"weir  {snapshot.title}"), subtitle=_clock(snapshot), width=width),
        Panel(_latest(snapshot, width, height - _ROWS_OF_THE_REST), title=latest, width=width),
        Text("  ".join(f"{name} {state}" for name, state in snapshot.processes.items()), style="dim"),
    )


def summary_line(snapshot: Snapshot) -> str:
    """Return the view in one line, for a log or a terminal that cannot be drawn on."""
    counts = ", ".join(f"{name} {snapshot.decisions.get(name, 0):,}" for name in DECISION_STYLES)
    if not snapshot.decided:
        counts = f"feature rows {snapshot.outcomes:,}"
    latency = "".join(f", {name} {snapshot.latency_ms[name]:.0f} ms" for name in ("p50", "p99") if snapshot.latency_ms)
    if snapshot.freshness_ms:
        latency += f", in Redis p99 {snapshot.freshness_ms['p99']:.0f} ms"
    return (
        f"{snapshot.elapsed_seconds:.0f} s: {snapshot.events_in:,} events in, {counts}, "
        f"dead letters {snapshot.dead_letters:,}, lag {snapshot.lag_records:,}{latency}"
    )


def sparkline(values: list[float], *, columns: int = 24) -> str:
    """Draw the last ``columns`` values as bars, the largest one full.

    >>> sparkline([0.0, 1.0])
    ' █'
    """
    recent = values[-columns:]
    top = max(recent, default=0.0) or 1.0
    return "".join(_SPARK[round(value / top * (len(_SPARK) - 1))] for value in recent)


def _clock(snapshot: Snapshot) -> str:
    end = f" / {snapshot.duration_seconds:.0f} s" if snapshot.duration_seconds else " s, until Ctrl-C"
    return f"{snapshot.elapsed_seconds:.0f}{end}"


def _flow(snapshot: Snapshot) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_row("events in", f"{snapshot.events_in:,}", f"{snapshot.events_rate:,.0f}/s")
    name = "decided" if snapshot.decided else "feature rows"
    table.add_row(name, f"{snapshot.outcomes:,}", f"{snapshot.outcomes_rate:,.0f}/s")
    table.add_row("lag", f"{snapshot.lag_records:,}", "")
    table.add_row("dead letters", f"{snapshot.dead_letters:,}", "")
    return Group(table, Text(sparkline(snapshot.rate_history), style="cyan", no_wrap=True))


def _latency(snapshot: Snapshot) -> Table:
    """Show how long it takes from sending, in milliseconds, to the decision in the log and to the windows in Redis."""
    table = Table.grid(padding=(0, 1))
    shown = {"log": snapshot.latency_ms} | ({"Redis": snapshot.freshness_ms} if snapshot.freshness_ms else {})
    table.add_row(*(Text(name, style="dim", no_wrap=True) for name in ("ms to", *(f"{name:>6}" for name in shown))))
    for name in ("p50", "p90", "p99", "max"):
        if name in snapshot.latency_ms:
            table.add_row(f"{name:>4}", *(f"{each[name]:6.0f}" for each in shown.values()))
    return table


def _decisions(snapshot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 1))
    total = sum(snapshot.decisions.values()) or 1
    for name, style in DECISION_STYLES.items():
        count = snapshot.decisions.get(name, 0)
        table.add_row(Text(name, style=style), f"{count:,}", f"{count / total:.2%}")
    table.add_row("degraded", f"{snapshot.degraded:,}", "")
    return table


def _reasons(snapshot: Snapshot) -> Table:
    """Show why there are dead letters, the most frequent reasons first."""
    table = Table.grid(padding=(0, 1))
    table.add_row(Text("dead letters by reason", style="dim"))
    for name, count in sorted(snapshot.reasons.items(), key=lambda each: -each[1])[:_REASONS_SHOWN]:
        table.add_row(cell(f"{name} {count:,}"))
    return table


def _latest(snapshot: Snapshot, width: int, rows: int) -> RenderableType:
    """Show the newest events; where a line is too short for the reasons they get one of their own."""
    if width >= _WIDTH_WIDE:
        return _latest_table(snapshot.event, snapshot.latest[: max(1, rows)])
    lines = []
    for row in snapshot.latest[: max(1, rows // _ROWS_OF_ONE)]:
        lines.append(cell(f"{row.clock}  {row.amount:>14}  {row.score:<5}  {row.event_id}"))
        lines.append(cell(f"          {', '.join(row.reasons)}", style="dim"))
    return Group(*lines)


def _latest_table(event: str, shown: list[ShownEvent]) -> Table:
    table = Table(expand=True, box=None, pad_edge=False)
    for name, width in (("time", 8), (event, 36), ("amount", 14), ("score", 5)):
        table.add_column(name, min_width=width, overflow="fold")
    table.add_column("why", overflow="fold")
    for row in shown:
        cells = (row.clock, row.event_id, row.amount, row.score, ", ".join(row.reasons))
        table.add_row(*map(cell, cells))
    return table
