"""What an attacker can choose for each stolen card. Pure.

The shape of an attack (who pays with what, how often) is its scenario, as published ones are; the rest is a tactic.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

AMOUNTS_USD: Final = (15.0, 60.0, 200.0, 600.0, 1_800.0)
GAPS_SECONDS: Final = (10.0, 300.0, 3_000.0)
"""Between two payments of a card: a script, a person, a patient one."""
GOODS: Final = ("digital", "resold", "shops", "cash")
"""Kinds of merchant, each of one channel: two online, at a terminal, and at a machine."""
HOURS: Final = ("day", "night")
"""Of the card's owner."""


@dataclass(frozen=True)
class Tactic:
    """One choice of each."""

    amount_usd: float
    gap_seconds: float
    goods: str
    hour: str


TACTICS: Final = tuple(Tactic(*each) for each in product(AMOUNTS_USD, GAPS_SECONDS, GOODS, HOURS))


def describe_tactics() -> npt.NDArray[np.float64]:
    """Return what a linear model sees of each tactic: its choices, and pairs of the amount with pace and goods.

    >>> describe_tactics().shape
    (120, 49)
    """
    amounts, gaps, goods, hours = (
        np.array([[value == each for each in levels] for value in values], np.float64)
        for levels, values in (
            (AMOUNTS_USD, [tactic.amount_usd for tactic in TACTICS]),
            (GAPS_SECONDS, [tactic.gap_seconds for tactic in TACTICS]),
            (GOODS, [tactic.goods for tactic in TACTICS]),
            (HOURS, [tactic.hour for tactic in TACTICS]),
        )
    )
    pairs = [(amounts[:, :, np.newaxis] * other[:, np.newaxis]).reshape(len(TACTICS), -1) for other in (gaps, goods)]
    return np.concatenate([amounts, gaps, goods, hours, *pairs], axis=1)
