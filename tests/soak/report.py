"""A run as a page and a picture. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.soak.plot import draw
from tests.soak.probe import Sample
from tests.soak.verdict import JUDGED, Finding

SERVERS = ("kafka", "redis")


@dataclass(frozen=True)
class Run:
    """One run; latencies are (p50, p99) in ms by minute."""

    command: str
    machine: str
    date: str
    rate: int
    sent: int
    outputs: int
    looked_up: int
    look_up_errors: Sequence[str]
    samples: Sequence[Sample]
    latency: Mapping[int, tuple[float, float]]
    findings: Sequence[Finding]

    @property
    def right(self) -> bool:
        """True when nothing climbed, nothing was lost and something was done."""
        whole = self.outputs == self.sent > 0 and not self.look_up_errors
        return whole and all(finding.right for finding in self.findings)


def render_page(run: Run, picture: str) -> str:
    """Return the page in Markdown."""
    minutes = run.samples[-1].seconds / 60
    lines = [
        "# Soak",
        "",
        f"`{run.command}`, {run.machine}, {run.date}: {minutes:.0f} minutes at {run.rate:,} payments a second.",
        f"{run.sent:,} payments were sent, {run.outputs:,} decisions and dead letters came out.",
        f"The API answered {run.looked_up:,} look-ups, {len(run.look_up_errors):,} of them with an error.",
        *(f"The first error: `{error}`." for error in run.look_up_errors[:1]),
        f"**{'Nothing climbed.' if run.right else 'Not right: see the verdict.'}**",
        "",
        f"![memory, handles, latency, lag and Redis over the run]({picture})",
        "",
        "Rise: how far the least-squares line through the second half of the run goes up over that half.",
        "",
        "| what | mean | rise | allowed | |",
        "|---|---:|---:|---:|---|",
        *(_row(finding) for finding in run.findings),
        "",
        "Latency by minute of sending, of one decision in twenty:",
        "from the time of the payment to the broker's time of the committed decision.",
        "",
        "Then what the machine did in that minute: cores busy (with everything on it, the load's own sender too),",
        "cores that its host gave to others, what went to its disks,",
        "and for how much of the minute Redis rewrote its append-only file.",
        "",
        "| minute | p50 ms | p99 ms | largest lag of process | cores busy | stolen | MB/s to disk | rewriting |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_render_minute(minute, run) for minute in run.latency),
        "",
        *_explain_redis(run),
    ]
    return "\n".join(lines) + "\n"


def render_picture(run: Run) -> str:
    """Return the run's charts as SVG."""
    at = [sample.seconds / 60 for sample in run.samples]

    def of(names: Sequence[str], field: str) -> dict[str, tuple[list[float], list[float]]]:
        return {name: (at, [getattr(sample.usage[name], field) for sample in run.samples]) for name in names}

    minutes = [float(minute) for minute in run.latency]
    stages = run.samples[0].lag_records
    return draw(
        {
            "resident memory, MB": of((*JUDGED, *SERVERS), "memory_mb"),
            "open handles": of(JUDGED, "handles"),
            "sent to committed, ms": {
                "p50": (minutes, [p50 for p50, _ in run.latency.values()]),
                "p99": (minutes, [p99 for _, p99 in run.latency.values()]),
            },
            "lag, records": {stage: (at, [sample.lag_records[stage] for sample in run.samples]) for stage in stages},
            "Redis memory, MB": {"used": (at, [sample.redis.memory_mb for sample in run.samples])},
            "Redis keys, thousands": {"keys": (at, [sample.redis.keys / 1_000 for sample in run.samples])},
        }
    )


def _row(finding: Finding) -> str:
    said = "right" if finding.right else "**climbs**"
    unit = f" {finding.unit}" if finding.unit else ""
    return f"| {finding.what} | {finding.mean:,.1f}{unit} | {finding.rise:+,.1f} | {finding.allowed:,.1f} | {said} |"


def _render_minute(minute: int, run: Run) -> str:
    p50, p99 = run.latency[minute]
    # the first sample of the next minute ends this one's counters
    begin, *rest = [sample for sample in run.samples if 60 * minute <= sample.seconds <= 60 * (minute + 1) + 5]
    if not rest:
        return f"| {minute} | {p50:.0f} | {p99:.0f} | | | | | |"
    samples, end = [begin, *rest], rest[-1]
    seconds, before, after = end.seconds - begin.seconds, begin.machine, end.machine
    lag = max(sample.lag_records["process"] for sample in samples)
    rewriting = sum(sample.redis.rewriting for sample in samples) / len(samples)
    return (
        f"| {minute} | {p50:.0f} | {p99:.0f} | {lag:,} | {(after.busy_seconds - before.busy_seconds) / seconds:.2f} "
        f"| {(after.stolen_seconds - before.stolen_seconds) / seconds:.2f} "
        f"| {(after.written_mb - before.written_mb) / seconds:.0f} | {rewriting:.0%} |"
    )


def _explain_redis(run: Run) -> list[str]:
    first, last = run.samples[0], run.samples[-1]
    keys, grown_mb = last.redis.keys - first.redis.keys, last.redis.memory_mb - first.redis.memory_mb
    each = f"{grown_mb * 1024**2 / keys:,.0f} bytes for each new one" if keys > 0 else "no new ones"
    before = f"{first.redis.keys:,} keys and {first.redis.memory_mb:,.0f} MB"
    after = f"{last.redis.keys:,} and {last.redis.memory_mb:,.0f} MB"
    return [
        "Redis is not judged: it grows by design, and what it grows by is bounded elsewhere.",
        f"It went from {before} to {after}, {each}.",
        "Every decision has an entry in the index for as long as `scorer.decision_ttl_days` says,",
        "and every entity that was seen has a partial per partition until its TTL;",
        "a partial grows until its ring and its panes are full.",
        f"Its last fork kept it from answering for {last.redis.fork_ms:,.0f} ms;",
        f"{last.redis.delayed_fsyncs - first.redis.delayed_fsyncs:,} of its writes waited for the disk.",
    ]
