"""How much of what was due was decided in time, while a run broke things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BOUND_MS = 1_000


@dataclass(frozen=True)
class InTime:
    """Payments that were due a decision, and those that had it within the bound.

    Attributes:
        late_seconds: in so many seconds some payment was late.
        span_seconds: from the first payment that was due to the last one.
    """

    due: int = 0
    decided: int = 0
    late_seconds: int = 0
    span_seconds: float = 0.0

    @property
    def share(self) -> float | None:
        return self.decided / self.due if self.due else None


def measure(times: Sequence[tuple[int, int]], *, bound_ms: int = BOUND_MS) -> InTime:
    """Compare when payments were sent with when they were decided.

    What was sent before the first decision is not due: the load begins before the first worker does.

    Args:
        times: of each decided payment, when it was sent and when it was decided.
        bound_ms: from the one to the other.

    Returns:
        The counts, and in how many seconds, by when it was sent, some payment was late.

    >>> measure([(0, 900), (950, 1_000), (1_200, 9_000), (1_300, 2_300), (60_000, 60_050)])
    InTime(due=4, decided=3, late_seconds=1, span_seconds=59.05)
    """
    first = min((decided for _, decided in times), default=0)
    due = [(sent, decided) for sent, decided in times if sent >= first]
    late = [sent for sent, decided in due if decided - sent > bound_ms]
    times_sent = [sent for sent, _ in due]
    return InTime(
        due=len(due),
        decided=len(due) - len(late),
        late_seconds=len({at // 1_000 for at in late}),
        span_seconds=(max(times_sent) - min(times_sent)) / 1_000 if times_sent else 0.0,
    )
