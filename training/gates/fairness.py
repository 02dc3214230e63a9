"""How differently a model treats groups of events. Pure.

- Demographic parity difference: by how much the share of events that are flagged differs between two groups.
- Equal opportunity difference: the same among legitimate events. What is hoped for is to be approved, so the chance of
  the honest is that of not being flagged (Hardt et al., *Equality of Opportunity in Supervised Learning*, 2016).

Small groups differ by chance. So each pair of groups has an interval, by the adjusted shares of Agresti and Coull
(1998), and for as many pairs as there are (Bonferroni), and the pair whose interval is farthest from 0 is what counts:
for groups of any size, without a row that is left out.

The figures are means of groups, in two lines of NumPy. Fairlearn has the same two, and neither intervals nor a way to
treat small groups.

**Cost:** a pass over the rows for each declared group, and the square of the number of its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from weir.inference.published.gate import Gate

VALUES_MAX: Final = 200
"""Of one field; events of rarer ones are counted together."""
_ERROR: Final = 0.025
"""That some pair of a field differs so much by chance alone."""
_ADDED: Final = 2
"""Flagged and other rows that are added to a group, so that an empty share has a width."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spread:
    """The two groups that differ most certainly.

    Attributes:
        value: difference of their shares; 0 where there is one group.
        low: lower end of its interval.
        more: the group with the larger share.
        less: that with the smaller one.
    """

    value: float = 0.0
    low: float = 0.0
    more: str = ""
    less: str = ""

    def __str__(self) -> str:
        if not self.more:
            return "one group"
        return f"{self.value:.2%}, surely {max(0.0, self.low):.2%}: {self.more} over {self.less}"


def compare_groups(flagged: Flags, groups: Any) -> Spread:
    """Return how far the shares of groups differ.

    Args:
        flagged: shape (rows,).
        groups: Arrow text, length rows.
    """
    names, rows, hits = _count(flagged, groups)
    if len(names) < 2:
        return Spread()
    shares = hits / rows
    adjusted, of = (hits + _ADDED) / (rows + 2 * _ADDED), rows + 2 * _ADDED
    errors = adjusted * (1 - adjusted) / of
    pairs = len(names) * (len(names) - 1) / 2
    z = NormalDist().inv_cdf(1 - _ERROR / pairs)
    low = adjusted[:, None] - adjusted[None, :] - z * np.sqrt(errors[:, None] + errors[None, :])
    np.fill_diagonal(low, -np.inf)
    more, less = np.unravel_index(int(np.argmax(low)), low.shape)
    return Spread(float(shares[more] - shares[less]), float(low[more, less]), names[more], names[less])


def judge_group(name: str, ours: Spread, theirs: Spread | None, *, measure: str, bound: float) -> Gate:
    """Return one gate of a group: within the bound, or as fair as the champion.

    Args:
        name: of the group, as it is declared.
        ours: of the challenger.
        theirs: of the champion, where there is one.
        measure: such as ``demographic parity``.
        bound: of the difference.
    """
    limit = max(bound, theirs.value if theirs else 0.0)
    return Gate(f"{measure}, {name}", ours.low <= limit, str(ours), f"at most {limit:.2%} apart beyond noise")


def judge_groups(
    positive: npt.NDArray[np.int8], groups: Any, ours: Flags, theirs: Flags | None, bounds: tuple[float, float]
) -> Iterator[Gate]:
    """Yield both gates of each declared group.

    Args:
        positive: 0 or 1, shape (rows,).
        groups: by what is declared, Arrow text of that length.
        ours: what the challenger flags.
        theirs: what the champion does.
        bounds: of demographic parity, and of equal opportunity.
    """
    legitimate = positive == 0
    for name, of_rows in groups.items():
        for measure, rows, bound in (
            ("demographic parity", np.ones(len(positive), np.bool_), bounds[0]),
            ("equal opportunity", legitimate, bounds[1]),
        ):
            chosen = of_rows.filter(rows)
            champion = None if theirs is None else compare_groups(theirs[rows], chosen)
            yield judge_group(name, compare_groups(ours[rows], chosen), champion, measure=measure, bound=bound)


def _count(flagged: Flags, groups: Any) -> tuple[list[str], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the groups, how many rows each has, and how many of them are flagged; rare ones are one group."""
    encoded = groups.dictionary_encode()
    codes, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    rows = np.bincount(codes, minlength=len(names)).astype(np.float64)
    hits = np.bincount(codes, weights=flagged.astype(np.float64), minlength=len(names)).astype(np.float64)
    if len(names) <= VALUES_MAX:
        return names, rows, hits
    order = np.argsort(-rows, kind="stable")
    kept, rare = order[: VALUES_MAX - 1], order[VALUES_MAX - 1 :]
    told = [*(names[place] for place in kept), "(others)"]
    return told, np.append(rows[kept], rows[rare].sum()), np.append(hits[kept], hits[rare].sum())
