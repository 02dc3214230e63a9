"""What two versions of a number differ by, over the same events. Pure.

PSI is the population stability index over the deciles of the old values, missing ones being a bin of their own: by
common usage below 0.1 says little, and from 0.25 on the two are different populations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float32]
QUANTILES: Final = (0.5, 0.9, 0.99, 1.0)
_BINS: Final = 10
_SHARE_MIN: Final = 1e-4
"""Stands for the share of a bin that nothing is in: the logarithm of nothing is no number."""


@dataclass(frozen=True)
class Compared:
    """Two columns of one length, missing values being NaN.

    Attributes:
        equal: share of the rows in which both are the same number, or both are missing.
        missing: shares of the rows, old and new.
        differences: quantiles of the absolute difference over the rows that have both; none where no row has both.
        psi: see the module; None without rows.
    """

    equal: float
    missing: tuple[float, float]
    differences: tuple[float, ...]
    psi: float | None

    @property
    def is_same(self) -> bool:
        """True when no row differs."""
        return self.equal == 1.0


def compare(old: Column, new: Column) -> Compared:
    """Return what two columns differ by.

    Args:
        old: float32, shape (rows,).
        new: float32, shape (rows,), of the same events.
    """
    if not len(old):
        return Compared(1.0, (0.0, 0.0), (), None)
    no_old, no_new = np.isnan(old), np.isnan(new)
    same = (old == new) | (no_old & no_new)
    both = ~no_old & ~no_new
    apart = np.abs(new[both].astype(np.float64) - old[both])
    quantiles = tuple(map(float, np.quantile(apart, QUANTILES))) if len(apart) else ()
    return Compared(float(same.mean()), (float(no_old.mean()), float(no_new.mean())), quantiles, compute_psi(old, new))


def compute_psi(old: Column, new: Column) -> float:
    """Return the population stability index of new values against old ones, neither of them empty.

    >>> same = np.arange(100, dtype=np.float32)
    >>> compute_psi(same, same), round(compute_psi(same, same + 50), 1)
    (0.0, 4.3)
    """
    known = old[~np.isnan(old)]
    deciles = np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]) if len(known) else np.empty(0)
    edges = np.unique(deciles).astype(np.float64)
    was, now = (np.maximum(_shares(each, edges), _SHARE_MIN) for each in (old, new))
    return float(np.sum((now - was) * np.log(now / was)))


def _shares(values: Column, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the share of values in each bin, and that of missing ones."""
    missing = np.isnan(values)
    places = np.searchsorted(edges, values[~missing], side="left")
    counts = np.append(np.bincount(places, minlength=len(edges) + 1), missing.sum())
    shares: npt.NDArray[np.float64] = counts / len(values)
    return shares
