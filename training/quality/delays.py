"""How long fraud takes to be labelled, from what is labelled so far. Pure.

Of a young event only a quick label can have come, so the delays that are seen are truncated on the right: taken as they
are, they say that labels are quick. The estimator of Lynden-Bell (*Monthly Notices of the RAS* 155, 1971) for truncated
data turns time around, as Lagakos, Barraj and De Gruttola (*Biometrika* 75, 1988) and Kalbfleisch and Lawless (*JASA*
84, 1989) do for the reporting delays of AIDS. Of the labels that had time to come with a delay of ``x``, and came by
then, the share that came at ``x`` is the reverse-time hazard ``n(x) / m(x)``, and

    F(t) = product of 1 - n(x) / m(x) over the delays x > t

is the share of labels that have come by ``t``, of those that come within the *horizon*. Nothing is said of later ones.

The variance is the infinitesimal jackknife's, over keys: the frauds of one card are found together.

**Cost:** a sort of the labels, then for each time that is asked for a pass over them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class DelayCurve:
    """The distribution of delays up to a horizon."""

    def __init__(self, delays_ms: Ints, elapsed_ms: Ints, keys: npt.NDArray[np.uint64], *, horizon_ms: int) -> None:
        """Estimate it.

        Args:
            delays_ms: of the labels that have come, from the decision on.
            elapsed_ms: how long ago each decision was; never below its delay.
            keys: of the events.
            horizon_ms: labels that took longer are left out.
        """
        kept = delays_ms <= horizon_ms
        self._delays, self._elapsed = delays_ms[kept], np.minimum(elapsed_ms[kept], horizon_ms)
        self._keys: Ints = np.unique(keys[kept], return_inverse=True)[1].astype(np.int64)
        self._times, came = np.unique(self._delays, return_counts=True)
        self._came, self._at_risk = came, self._count_at_risk()
        shares = 1.0 - came / self._at_risk
        # behind the last time everything has come; before the first one nothing
        self._shares = np.append(np.cumprod(shares[::-1])[::-1], 1.0)
        left = np.maximum(self._at_risk - came, 1)
        self._step = 1.0 / left
        self._hazard_sums = np.append(0.0, np.cumsum(came / (self._at_risk * left)))

    def _count_at_risk(self) -> Ints:
        """Return how many labels had time to come with each delay, and came by then."""
        came_by = np.searchsorted(np.sort(self._delays), self._times, side="right")
        had_no_time = np.searchsorted(np.sort(self._elapsed), self._times, side="left")
        return (came_by - had_no_time).astype(np.int64)

    def share(self, elapsed_ms: npt.NDArray[np.int64] | Floats) -> Floats:
        """Return which share of the labels has come by so long after the decision."""
        return self._shares[np.searchsorted(self._times, elapsed_ms, side="right")]

    def error(self, elapsed_ms: float) -> float:
        """Return the standard error of the logarithm of the share at a time."""
        after = int(np.searchsorted(self._times, elapsed_ms, side="right"))
        place = np.searchsorted(self._times, self._delays, side="left")
        came_later = place >= after
        until = self._hazard_sums[np.searchsorted(self._times, self._elapsed, side="right")]
        since = self._hazard_sums[np.maximum(place, after)]
        influence = np.maximum(until - since, 0.0)
        influence[came_later] -= self._step[place[came_later]]
        by_key = np.bincount(self._keys, weights=influence)
        return float(np.sqrt(np.sum(by_key**2)))
