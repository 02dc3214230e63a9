"""From a score to a probability, and to what the label may be. Pure.

A score orders rows; what it is worth differs from model to model. ``Calibration`` is what training measured of one on
rows that did not teach it: a monotone map, linear between its knots, and the scores between which a label is not ruled
out. The graph stays as it is, and so does what is decided by scores.

The prediction set is conformal by class: of the rows whose label comes out true, nine in ten have POSITIVE in their
set, and of the others nine in ten have NEGATIVE, as far as later rows are like those that it was measured on. Where
both are in it, the model does not know.

**Cost:** one search among at most ``KNOTS_MAX`` knots and two comparisons a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SETS: Final = ("NEITHER", "POSITIVE", "NEGATIVE", "BOTH")
"""What a prediction set may be; position 1 counts for POSITIVE and 2 for NEGATIVE, so that they add up."""
COVERAGE: Final = 0.9
"""Share of the rows of each class whose set is to hold it."""
KNOTS_MAX: Final = 128


@dataclass(frozen=True)
class Calibration:
    """What a score is worth; a field of the manifest.

    Attributes:
        version: of this form.
        scores: knots, rising, each in [0, 1].
        probabilities: at the knots, never falling, each in [0, 1].
        positive_from: score from which on the label may be true; 0 where no score rules it out.
        negative_to: score up to which it may be false; 1 where no score rules it out.

    Raises:
        ValueError: it is no such map.

    >>> half = Calibration(1, (0.0, 1.0), (0.0, 0.5), positive_from=0.2, negative_to=0.6)
    >>> half.compute_probabilities(np.array([0.0, 0.5, 1.0])).tolist()
    [0.0, 0.25, 0.5]
    >>> [SETS[each] for each in half.compute_sets(np.array([0.1, 0.4, 0.9]))]
    ['NEGATIVE', 'BOTH', 'POSITIVE']
    """

    version: Literal[1]
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    positive_from: float
    negative_to: float

    def __post_init__(self) -> None:
        """Check what was read."""
        if not (len(self.scores) == len(self.probabilities) and 2 <= len(self.scores) <= KNOTS_MAX):
            raise ValueError(
                f"expected 2 to {KNOTS_MAX} knots, each with a probability, found {len(self.scores)} scores and "
                f"{len(self.probabilities)} probabilities"
            )
        edges = (self.positive_from, self.negative_to)
        if not all(0.0 <= each <= 1.0 for each in (*self.scores, *self.probabilities, *edges)):  # NaN is not either
            raise ValueError("expected knots, probabilities and edges in [0, 1], found another number")
        if not _rises(self.scores, strictly=True):
            raise ValueError("expected scores of knots that rise, found some that do not")
        if not _rises(self.probabilities, strictly=False):
            raise ValueError("expected probabilities of knots that never fall, found some that do")

    def compute_probabilities(self, scores: npt.NDArray[np.floating[Any]]) -> Floats:
        """Return P(label is true) per row, in float32's steps as scores are, shape (rows,); NaN where the score is."""
        found: Floats = np.interp(scores, *self._knots)
        return found.astype(np.float32).astype(np.float64)

    def compute_sets(self, scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int8]:
        """Return what the label may be, int8, positions in ``SETS``, shape (rows,); 0 where there is no score."""
        # as float64, because NumPy would round the edge to the type of float32 scores
        given = scores.astype(np.float64)
        positive = (given >= self.positive_from).view(np.int8)
        negative = (given <= self.negative_to).view(np.int8)
        return positive + (negative << 1)

    @cached_property
    def _knots(self) -> tuple[Floats, Floats]:
        return np.array(self.scores, np.float64), np.array(self.probabilities, np.float64)


def _rises(values: Sequence[float], *, strictly: bool) -> bool:
    return all(one < other or (one == other and not strictly) for one, other in pairwise(values))
