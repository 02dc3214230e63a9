"""Who attacks: one who tries at random, and one who learns. Pure, seeded.

The one who learns is Thompson sampling with a linear model (Agrawal and Goyal, ICML 2013): of each tactic it believes
a normal distribution of the gain of a card, draws from it, and takes the tactic that looks best in the draw. So it
tries what it does not know, and stays with what pays. Tactics share choices: what an amount brings at one pace says
something of it at another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from weir.training.redteam.tactics import TACTICS, describe_tactics

_PRIOR_USD: Final = 300.0
"""How much a choice may bring or cost, as a standard deviation: about a card's worth."""
_NOISE_MIN_USD: Final = 20.0


class Attacker(Protocol):
    """Chooses tactics, and hears what they brought."""

    def choose(self, count: int) -> list[int]:
        """Return positions in ``TACTICS``, one a card."""
        ...

    def learn(self, chosen: Sequence[int], gains_usd: npt.NDArray[np.float64]) -> None:
        """Hear what each card brought, less what it cost."""
        ...


class RandomAttacker:
    """Takes every tactic alike, and learns nothing."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self._rng = np.random.default_rng((seed, 1))

    def choose(self, count: int) -> list[int]:
        """Return positions in ``TACTICS``, one a card."""
        chosen: list[int] = self._rng.integers(0, len(TACTICS), count).tolist()
        return chosen

    def learn(self, chosen: Sequence[int], gains_usd: npt.NDArray[np.float64]) -> None:
        """Forget it."""


class AdaptiveAttacker:
    """Learns from each round."""

    def __init__(self, seed: int) -> None:
        """Begin without knowledge."""
        self._rng = np.random.default_rng((seed, 2))
        self._tactics = describe_tactics()
        self._seen: list[int] = []
        self._gains: list[float] = []

    def choose(self, count: int) -> list[int]:
        """Return positions in ``TACTICS``, one a card, each of a draw of its own."""
        seen = self._tactics[self._seen]
        gains = np.array(self._gains)
        noise = max(_NOISE_MIN_USD, float(gains.std()) if len(gains) else 0.0)
        precision = np.eye(self._tactics.shape[1]) / _PRIOR_USD**2 + seen.T @ seen / noise**2
        mean = np.linalg.solve(precision, seen.T @ gains / noise**2)
        root = np.linalg.cholesky(np.linalg.inv(precision))
        drawn = mean + self._rng.normal(size=(count, len(mean))) @ root.T
        best: list[int] = np.argmax(drawn @ self._tactics.T, axis=1).tolist()
        return best

    def learn(self, chosen: Sequence[int], gains_usd: npt.NDArray[np.float64]) -> None:
        """Remember what each card brought."""
        self._seen += chosen
        self._gains += gains_usd.tolist()
