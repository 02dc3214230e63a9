"""Whether anything climbs: straight lines through the second half of a run, against stated tolerances. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.soak.probe import Sample

JUDGED = ("processor", "scorer", "index", "api")
"""Our processes. The broker's heap, and Redis, whose state grows with entities, are shown and not judged."""
MEMORY_MB_MAX, MEMORY_SHARE_MAX = 16.0, 0.05
"""A process may hold this much more at the end of the second half than at its beginning, whichever is larger."""
HANDLES_MAX = THREADS_MAX = 2.0
P99_MS_MAX, P99_SHARE_MAX = 25.0, 0.25
LAG_SECONDS_MAX = 1.0


@dataclass(frozen=True)
class Finding:
    """One line of the verdict: how much something rose over the second half, and how much it may."""

    what: str
    unit: str
    mean: float
    rise: float
    allowed: float

    @property
    def right(self) -> bool:
        """True when it did not climb."""
        return self.rise <= self.allowed


def find_rise(at: Sequence[float], values: Sequence[float]) -> float:
    """Return how far the least-squares line through the points rises from the first to the last.

    >>> round(find_rise([0, 1, 2, 3], [5, 6, 7, 8]), 6)
    3.0
    """
    if len(at) < 3:
        raise ValueError(f"expected at least 3 points, found {len(at)}; run for longer")
    slope = float(np.polyfit(np.asarray(at, float), np.asarray(values, float), 1)[0])
    return slope * (at[-1] - at[0])


def judge(samples: Sequence[Sample], p99_ms: Mapping[float, float], *, rate: int) -> list[Finding]:
    """Judge the second half of a run.

    Args:
        samples: in order of time.
        p99_ms: by the second of the run at which its period begins.
        rate: records sent a second.

    Raises:
        ValueError: the run was too short for a line.
    """
    half = samples[-1].seconds / 2
    later = [sample for sample in samples if sample.seconds >= half]
    at = [sample.seconds for sample in later]
    findings = []
    for name in JUDGED:
        usages = [sample.usage[name] for sample in later]
        memory = [usage.memory_mb for usage in usages]
        findings += [
            _finding(f"{name} memory", "MB", at, memory, max(MEMORY_MB_MAX, MEMORY_SHARE_MAX * float(np.mean(memory)))),
            _finding(f"{name} handles", "", at, [usage.handles for usage in usages], HANDLES_MAX),
            _finding(f"{name} threads", "", at, [usage.threads for usage in usages], THREADS_MAX),
        ]
    for stage in later[0].lag_records:
        lag = [sample.lag_records[stage] for sample in later]
        findings.append(_finding(f"lag of {stage}", "records", at, lag, LAG_SECONDS_MAX * rate))
    begins = [begin for begin in p99_ms if begin >= half]
    p99 = [p99_ms[begin] for begin in begins]
    allowed = max(P99_MS_MAX, P99_SHARE_MAX * float(np.mean(p99))) if p99 else 0.0
    return [*findings, _finding("p99 from sent to committed", "ms", begins, p99, allowed)]


def _finding(what: str, unit: str, at: Sequence[float], values: Sequence[float], allowed: float) -> Finding:
    return Finding(what, unit, float(np.mean(values)) if values else 0.0, find_rise(at, values), allowed)
