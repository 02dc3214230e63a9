"""Counts decisions by day and keeps what an estimate needs of them: those that were stopped, and labelled fraud. Pure.

**Cost:** 24 counters a day and outcome; 20 bytes for each decision that is stopped, 40 for each fraud.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.inference.core.deciding import APPROVE, DECLINE, OUTCOMES, Outcomes
from weir.schemas.durations import DAY_MS, HOUR_MS

HOURS: Final = 24
SAMPLED: Final = len(OUTCOMES)
"""The kind of an event that the model declines and that might be let through, whether it was or not; the other kinds
are the outcomes."""
KINDS: Final = len(OUTCOMES) + 1
NO_LABEL: Final = -1
Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Decisions:
    """Decisions as columns of one length.

    Attributes:
        decided_ms: UTC epoch ms.
        outcomes: positions in ``OUTCOMES``.
        keys: a number that stands for the key.
        fraud_ms: when it became known that it is fraud, ``NO_LABEL`` where that is not known.
        labelled: whether there is any verdict, fraud or not.
        stakes: base minor units, NaN for none; only those of fraud are read.
        propensities: the share of such events that is let through, NaN for events that never are.
    """

    decided_ms: Ints
    outcomes: Outcomes
    keys: Keys
    fraud_ms: Ints
    labelled: npt.NDArray[np.bool_]
    stakes: npt.NDArray[np.float64]
    propensities: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.decided_ms)

    def take(self, rows: npt.NDArray[np.bool_]) -> Decisions:
        """Return some of the rows."""
        return Decisions(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @property
    def kinds(self) -> Outcomes:
        """What was decided, or would have been if nothing were let through: an outcome, or ``SAMPLED``."""
        return np.where(np.isnan(self.propensities), self.outcomes, np.uint8(SAMPLED))

    @property
    def let_through(self) -> npt.NDArray[np.bool_]:
        """Which were let through."""
        found: npt.NDArray[np.bool_] = ~np.isnan(self.propensities) & (self.outcomes != DECLINE)
        return found

    @property
    def days(self) -> Ints:
        """UTC days since the epoch."""
        found: Ints = self.decided_ms // DAY_MS
        return found

    @property
    def delays_ms(self) -> Ints:
        """From the decision to the label of fraud; a label that came first counts as at once."""
        found: Ints = np.maximum(0, self.fraud_ms - self.decided_ms)
        return found


class Tally:
    """Decisions until a time, counted as they come, in parts of any size."""

    def __init__(self, *, now_ms: int, maturity_ms: int) -> None:
        """Begin with none.

        Args:
            now_ms: labels of later are unknown.
            maturity_ms: how old a decision is when it has a label, if it ever gets one.
        """
        self.now_ms, self.maturity_ms = now_ms, maturity_ms
        self._hours: dict[int, Ints] = defaultdict(lambda: np.zeros((KINDS, HOURS), np.int64))
        self._stopped: list[Decisions] = []
        self._frauds: list[Decisions] = []
        self._declined, self._declined_labelled = 0, 0

    def add(self, decisions: Decisions) -> None:
        """Count decisions."""
        hours = decisions.decided_ms // HOUR_MS
        kinds = decisions.kinds
        for cell, count in zip(*np.unique(hours * KINDS + kinds, return_counts=True), strict=True):
            hour, kind = divmod(int(cell), KINDS)
            self._hours[hour // HOURS][kind, hour % HOURS] += count
        self._stopped.append(decisions.take(kinds != APPROVE))
        is_known = (decisions.fraud_ms >= 0) & (decisions.fraud_ms <= self.now_ms)
        self._frauds.append(decisions.take(is_known))
        old = (decisions.outcomes == DECLINE) & (decisions.decided_ms <= self.now_ms - self.maturity_ms)
        self._declined += int(old.sum())
        self._declined_labelled += int((old & decisions.labelled).sum())

    @property
    def days(self) -> list[int]:
        """The days that have decisions, newest first, as days since the epoch."""
        return sorted(self._hours, reverse=True)

    def hours(self, day: int) -> Ints:
        """Return how many decisions there were, shape (kinds, hours of the day)."""
        return self._hours[day]

    @property
    def stopped(self) -> Decisions:
        """What was sent to review or declined, or would have been if it were not let through."""
        return _join(self._stopped)

    @property
    def frauds(self) -> Decisions:
        """What is labelled as fraud by now."""
        return _join(self._frauds)

    @property
    def declined_labelled(self) -> float:
        """The share of old enough declined decisions that has any verdict; 0 where there are none."""
        return self._declined_labelled / self._declined if self._declined else 0.0


def _join(parts: list[Decisions]) -> Decisions:
    return Decisions(**{each.name: np.concatenate([getattr(part, each.name) for part in parts])
                        for each in fields(Decisions)})  # fmt: skip
