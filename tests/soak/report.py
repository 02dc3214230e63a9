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
    look_up_errors: int
    samples: Sequence[Sample]
    latency: Mapping[int, tuple[float, float]]
    findings: Sequence[Finding]

    @property
    def right(self) -> bool:
        """True when nothing climbed, nothing was lost and something was done."""
        whole = self.outputs == self.sent > 0 and self.look_up_errors == 0
        return whole and all(finding.right for finding in self.findings)


def render_page(run: Run, picture: str) -> str:
    """Return the page in Markdown."""
    minutes = run.samples[-1].seconds / 60
    lines = [
        "# Soak",
        "",
        f"`{run.command}`, {run.machine}, {run.date}: {minutes:.0f} minutes at {run.rate:,} payments a second.",
        f"{run.sent:,} payments were sent, {run.outputs:,} decisions and dead letters came out.",
        f"The API answered {run.looked_up:,} look-ups, {run.look_up_errors:,} of them with an error.",
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
        "| minute | p50 ms | p99 ms |",
        "|---:|---:|---:|",
        *(f"| {minute} | {p50:.0f} | {p99:.0f} |" for minute, (p50, p99) in run.latency.items()),
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
            "Redis memory, MB": {"used": (at, [sample.redis_mb for sample in run.samples])},
            "Redis keys, thousands": {"keys": (at, [sample.redis_keys / 1_000 for sample in run.samples])},
        }
    )


def _row(finding: Finding) -> str:
    said = "right" if finding.right else "**climbs**"
    unit = f" {finding.unit}" if finding.unit else ""
    return f"| {finding.what} | {finding.mean:,.1f}{unit} | {finding.rise:+,.1f} | {finding.allowed:,.1f} | {said} |"


def _explain_redis(run: Run) -> list[str]:
    first, last = run.samples[0], run.samples[-1]
    keys, grown_mb = last.redis_keys - first.redis_keys, last.redis_mb - first.redis_mb
    each = f"{grown_mb * 1024**2 / keys:,.0f} bytes for each new one" if keys > 0 else "no new ones"
    before = f"{first.redis_keys:,} keys and {first.redis_mb:,.0f} MB"
    after = f"{last.redis_keys:,} and {last.redis_mb:,.0f} MB"
    return [
        "Redis is not judged: it grows by design, and what it grows by is bounded elsewhere.",
        f"It went from {before} to {after}, {each}.",
        "Every decision has an entry in the index for as long as `scorer.decision_ttl_days` says,",
        "and every entity that was seen has a partial per partition until its TTL;",
        "a partial grows until its ring and its panes are full.",
    ]
