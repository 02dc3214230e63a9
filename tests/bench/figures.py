"""What is measured, what was aimed at, and when a measurement counts. Pure.

One rule stands before all others: a figure that rests on no event is a failure, never a number.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


class NothingMeasured(AssertionError):
    """A scenario ended without having done the work that its figure would speak of."""


@dataclass(frozen=True)
class Sample:
    """One measured value.

    Attributes:
        key: as in ``bench.json``.
        value: in the unit that the key ends in.
        events: how many records, requests or values it rests on.
        notes: what else belongs to it, such as the share that a slow contender got done.
    """

    key: str
    value: float
    events: int
    notes: Mapping[str, float | int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.events <= 0 or not self.value > 0:
            raise NothingMeasured(f"{self.key}: expected work done, found {self.value} from {self.events} events")


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes:
        what: in words.
        key: of the figure, or of the numerator of a ratio.
        bound: what it is held to; None for a figure without a target.
        over: key of the denominator; the ratio is taken within each round.
        at_most: True where less is better.
    """

    what: str
    key: str
    bound: float | None
    over: str = ""
    at_most: bool = False

    @property
    def name(self) -> str:
        """Return ``key`` or ``key/over``."""
        return f"{self.key}/{self.over}" if self.over else self.key


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of all are not above (nearest rank).

    >>> percentile([4.0, 1.0, 3.0, 2.0], 50)
    2.0
    """
    if not values:
        raise NothingMeasured("expected values, found none")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def rate(times_ms: Sequence[float], *, expected: int | None = None) -> float:
    """Return events per second after the first batch, whose own work began before its append time.

    Args:
        times_ms: when each output was appended, in any order.
        expected: how many there must be; None where a contender may be stopped early.

    Raises:
        NothingMeasured: another number than expected, or all in one batch.
    """
    if expected is not None and len(times_ms) != expected:
        raise NothingMeasured(f"expected {expected} outputs, found {len(times_ms)}")
    if not len(times_ms) or min(times_ms) == max(times_ms):
        raise NothingMeasured(f"expected several batches, found {len(times_ms)} outputs at one time")
    first, last = min(times_ms), max(times_ms)
    return sum(time > first for time in times_ms) / (last - first) * 1_000


def visible_rate(seen: Sequence[tuple[float, int]]) -> float:
    """Return records per second that became visible to a read_committed consumer, from the first ones to the last.

    A system that commits every 5 s is measured over whole cycles of 5 s that way: by append times, the work of its last
    checkpoint would not count, and a short run would flatter it.

    Args:
        seen: at ascending times in seconds, how many records were visible.

    Raises:
        NothingMeasured: they became visible all at once, or never.
    """
    steps = [step for before, step in zip([(0.0, 0), *seen], seen, strict=False) if step[1] > before[1]]
    if len(steps) < 2:
        raise NothingMeasured(f"expected records to become visible in several steps, found {len(steps)}")
    (first_at, first), (last_at, last) = steps[0], steps[-1]
    return (last - first) / (last_at - first_at)


Rounds = Sequence[Mapping[str, float]]
"""Per round, the value of each key that was measured in it."""


def values_of(rounds: Rounds, target: Target) -> list[float]:
    """Return a figure's value per round; of a ratio, both taken in the same round."""
    wanted = [target.key, target.over] if target.over else [target.key]
    whole = [each for each in rounds if all(key in each for key in wanted)]
    return [each[target.key] / (each[target.over] if target.over else 1.0) for each in whole]


def medians(rounds: Rounds) -> dict[str, float]:
    """Return the median over the rounds of every key, in the order in which they were first seen."""
    keys = dict.fromkeys(key for each in rounds for key in each)
    return {key: statistics.median(each[key] for each in rounds if key in each) for key in keys}


@dataclass(frozen=True)
class Verdict:
    """A target with what was found; ``met`` is None without a bound or a measurement."""

    target: Target
    values: tuple[float, ...]

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def met(self) -> bool | None:
        if self.target.bound is None or self.median is None:
            return None
        return self.median <= self.target.bound if self.target.at_most else self.median >= self.target.bound


def judge(targets: Iterable[Target], rounds: Rounds) -> list[Verdict]:
    """Return each target with its values."""
    return [Verdict(target, tuple(values_of(rounds, target))) for target in targets]
