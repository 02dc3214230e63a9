"""Whether a model that decides has become worse: its newest mature days against its first ones. Pure.

The figures are those of ``weir quality``, of the decisions of the one model. They are not held against its model card:
that is about labelled rows of a history, and in production rules decide as well, and what is declined may get no label.

Days vary, by chance and by nature, so they are compared by Welch's t: with 14 days and 7, and a bound of 3.5, a steady
model is found worse in some 2 of 1,000 weeks and figures. A decay below ``DROP_MIN`` is none, however sure it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.training.quality.estimate import DayQuality

FIRST_DAYS: Final = 14
NEWEST_DAYS: Final = 7
MATURE_MIN: Final = 0.8
"""Of the labels to come of what was approved, the share that a day has when it is mature."""
T_MIN: Final = 3.5
DROP_MIN: Final = 0.05
FIGURES: Final = ("precision", "recall")
Values = npt.NDArray[np.float64]


def find_decay(days: Sequence[DayQuality]) -> tuple[list[str], list[str]]:
    """Return what became worse, each in words with its numbers, and what was found otherwise.

    Args:
        days: of the decisions of one model, in any order.
    """
    worse, told = list[str](), list[str]()
    for name in FIGURES:
        values = list(_list_mature(days, name))
        if len(values) < FIRST_DAYS + NEWEST_DAYS:
            told.append(f"decay: {name} cannot be told: expected {FIRST_DAYS + NEWEST_DAYS} mature days of the model, "
                        f"found {len(values)}")  # fmt: skip
            continue
        first, newest = np.array(values[:FIRST_DAYS]), np.array(values[-NEWEST_DAYS:])
        t, drop = _compute_t(first, newest), float(first.mean() - newest.mean())
        text = (
            f"decay: {name} {newest.mean():.1%} in the newest {NEWEST_DAYS} mature days, {first.mean():.1%} in the "
            f"first {FIRST_DAYS} of the model (t {t:.1f}, from {T_MIN} on it is worse)"
        )
        (worse if t >= T_MIN and drop >= DROP_MIN else told).append(text)
    return worse, told


def _list_mature(days: Sequence[DayQuality], name: str) -> Iterator[float]:
    """Yield the figure of each mature day, oldest first."""
    for day in sorted(days, key=lambda each: each.day):
        value = float(getattr(day, name).value)
        if day.complete >= MATURE_MIN and not math.isnan(value):
            yield value


def _compute_t(first: Values, newest: Values) -> float:
    """Return Welch's t of how much lower the newest values are."""
    error = math.sqrt(first.var(ddof=1) / len(first) + newest.var(ddof=1) / len(newest))
    drop = float(first.mean() - newest.mean())
    return drop / error if error else math.copysign(math.inf, drop) if drop else 0.0
