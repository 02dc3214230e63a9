"""Precision, recall and money at each threshold, from scores of which the outcome is known. Pure.

An event is *flagged* at a threshold when its score is at least that. Scores are counted between the thresholds, so that
what a threshold flags is a sum from the top, and parts of any number are added up in the memory of the thresholds.

**Cost:** a binary search a score.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.archive.whatif.labels import FRAUD, GOOD, Verdicts

GRID: Final = tuple(
    sorted({*(step / 1_000 for step in range(51)), *(step / 100 for step in range(5, 96)),
            *(step / 1_000 for step in range(950, 1_001))})
)  # fmt: skip
"""Thresholds that are always looked at: in hundredths, and in thousandths at both ends, where most scores are."""
Floats = npt.NDArray[np.float64]
_ALL, _GOOD, _FRAUD = range(3)


@dataclass(frozen=True)
class Point:
    """What one threshold does; a share of nothing is not a number.

    Attributes:
        flagged: scored events, whether or not their outcome is known.
        flagged_share: of all scored events.
        fraud_caught: fraud that is flagged.
        fraud_let_through: fraud that is not.
        good_flagged: good events that are flagged.
        precision: of what is flagged and known, the share that is fraud.
        recall: of fraud, the share that is flagged.
        false_positive_rate: of good events, the share that is flagged.
        money_caught: at stake in the fraud that is flagged, base minor units.
        money_let_through: in the fraud that is not.
        money_of_good: in the good events that are flagged.
    """

    threshold: float
    flagged: int
    flagged_share: float
    fraud_caught: int
    fraud_let_through: int
    good_flagged: int
    precision: float
    recall: float
    false_positive_rate: float
    money_caught: float
    money_let_through: float
    money_of_good: float


class CurveTally:
    """Adds up scored events, part by part."""

    def __init__(self, thresholds: Collection[float]) -> None:
        """Begin with nothing; of thresholds that are one number as a score, 32 bits, the first counts."""
        by_score = {float(np.float32(each)): each for each in sorted(thresholds, reverse=True)}
        self._thresholds = [by_score[each] for each in sorted(by_score)]
        self._edges = np.array(sorted(by_score), np.float32)
        self._counts = np.zeros((3, len(self._edges) + 1), np.int64)
        self._money = np.zeros((3, len(self._edges) + 1))

    @property
    def events(self) -> int:
        """How many were scored."""
        return int(self._counts[_ALL].sum())

    @property
    def known(self) -> int:
        """Of how many the outcome is known."""
        return int(self._counts[[_GOOD, _FRAUD]].sum())

    @property
    def frauds(self) -> int:
        """How many of these are fraud."""
        return int(self._counts[_FRAUD].sum())

    def add(self, scores: npt.NDArray[np.float32], verdicts: Verdicts, stakes: Floats) -> None:
        """Add some events.

        Args:
            scores: each a number in [0, 1], shape (n,).
            verdicts: what is known of them, shape (n,).
            stakes: what is at stake, base minor units, shape (n,); what is not a number counts as nothing.
        """
        reached = np.searchsorted(self._edges, scores, side="right")
        size = len(self._edges) + 1
        self._counts[_ALL] += np.bincount(reached, minlength=size)
        for row, verdict in ((_GOOD, GOOD), (_FRAUD, FRAUD)):
            own = verdicts == verdict
            self._counts[row] += np.bincount(reached[own], minlength=size)
            self._money[row] += np.bincount(reached[own], weights=np.nan_to_num(stakes[own]), minlength=size)

    def points(self) -> list[Point]:
        """Return what each threshold does, the lowest first."""
        flagged, money = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1][:, 1:] for each in (self._counts, self._money))
        totals, money_of_fraud = self._counts.sum(axis=1), float(self._money[_FRAUD].sum())
        return [
            Point(
                threshold=threshold,
                flagged=int(counts[_ALL]),
                flagged_share=_share(counts[_ALL], totals[_ALL]),
                fraud_caught=int(counts[_FRAUD]),
                fraud_let_through=int(totals[_FRAUD] - counts[_FRAUD]),
                good_flagged=int(counts[_GOOD]),
                precision=_share(counts[_FRAUD], counts[_FRAUD] + counts[_GOOD]),
                recall=_share(counts[_FRAUD], totals[_FRAUD]),
                false_positive_rate=_share(counts[_GOOD], totals[_GOOD]),
                money_caught=float(sums[_FRAUD]),
                money_let_through=max(0.0, money_of_fraud - float(sums[_FRAUD])),
                money_of_good=float(sums[_GOOD]),
            )
            for threshold, counts, sums in zip(self._thresholds, flagged.T, money.T, strict=True)
        ]


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part) / float(whole) if whole else float("nan")
