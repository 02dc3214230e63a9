"""How much a model's decisions change when its inputs change a little, or are missing.

- Small changes: every input by up to one percent, at random and in both directions. What is decided must not hang on
  the last digits of an amount.
- Missing inputs: all those of one entity at once, as for an id that was never seen or a view that lost it. The model
  must not flag the honest for what is not known of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.inference.core.vector import Matrix
from weir.inference.published.gate import Gate
from weir.schemas.gate_bounds import GateBounds
from weir.schemas.stream import Stream
from weir.training.gates.figures import Floats, Labels
from weir.training.thresholds import Thresholds

ROWS_MAX: Final = 20_000
"""Scored once for the changes, and once for each entity; a share of 0.5 % is then known to a twentieth of a point."""
_CHANGE: Final = 0.01
_SEED: Final = 20_260_102


@dataclass(frozen=True)
class Stability:
    """How steady a model is.

    Attributes:
        changed: share of rows that are decided otherwise after small changes.
        flagged_more: by how many percentage points more legitimate rows are flagged, by the entity that is missing.
    """

    changed: float
    flagged_more: Mapping[str, float]

    @property
    def worst(self) -> tuple[str, float]:
        """Return the entity whose absence flags most, and by how much."""
        return max(self.flagged_more.items(), key=lambda each: each[1], default=("none", 0.0))


def shake(features: Matrix) -> Matrix:
    """Return rows whose every value is up to one percent smaller or larger."""
    random = np.random.default_rng(_SEED)
    factors = 1 + _CHANGE * random.uniform(-1, 1, features.shape)
    return (features * factors).astype(np.float32)


def leave_out(features: Matrix, names: Sequence[str], stream: Stream) -> Iterator[tuple[str, Matrix]]:
    """Yield each entity that some column is of, and the rows without its columns."""
    entity_of = {feature.name: feature.entity for feature in stream.all_features}
    for entity in dict.fromkeys(entity_of[name] for name in names):
        without = features.copy()
        without[:, [entity_of[name] == entity for name in names]] = np.nan
        yield entity, without


def pick_rows(count: int) -> npt.NDArray[np.int64]:
    """Return the positions of rows that are tried: all, or as many as are enough, spread over the interval."""
    return np.unique(np.linspace(0, count - 1, min(count, ROWS_MAX)).astype(np.int64))


def compare_decisions(
    positive: Labels, cut: Thresholds, scores: Floats, shaken: Floats, without: Mapping[str, Floats]
) -> Stability:
    """Return how steady the decisions are.

    Args:
        positive: 0 or 1, shape (rows,).
        cut: by which the model decides.
        scores: of the rows as they are.
        shaken: after small changes.
        without: with the inputs of an entity missing, by its name.
    """
    legitimate = positive == 0
    flagged = float((scores[legitimate] >= cut.review).mean())
    more = {name: 100 * (float((each[legitimate] >= cut.review).mean()) - flagged) for name, each in without.items()}
    return Stability(float((_decide(scores, cut) != _decide(shaken, cut)).mean()), more)


def judge_stability(ours: Stability, theirs: Stability | None, bounds: GateBounds) -> Iterator[Gate]:
    """Yield both gates; as steady as the champion is enough."""
    limit = max(bounds.changed_share, theirs.changed if theirs else 0.0)
    found = f"{ours.changed:.3%} decided otherwise when inputs change by 1 %"
    yield Gate("stability, small changes", ours.changed <= limit, found, f"at most {limit:.3%}")
    entity, points = ours.worst
    most = max(bounds.missing_points, theirs.worst[1] if theirs else 0.0)
    found = f"{points:+.2f} points of legitimate events are flagged without the inputs of {entity}"
    yield Gate("stability, missing inputs", points <= most, found, f"at most {most:+.2f} points")


def _decide(scores: Floats, cut: Thresholds) -> npt.NDArray[np.int64]:
    return (scores >= cut.review).astype(np.int64) + (scores >= cut.decline)
