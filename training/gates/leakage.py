"""Whether a model knows what it cannot know when it decides. Pure.

- One input alone: none tells fraud from the rest as well as a good model does. One that does was filled in later.
- Label in an input: none is the label, with or without some noise, or is missing exactly where the label says so.
- Time order: what taught it was over when it was made.
- Own figures: on later rows it is about as good as on the interval that it was judged on when it was trained. What
  leaked into its history, such as a value of the future, is not there when it decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.inference.core.vector import Matrix
from weir.inference.published.gate import Gate
from weir.schemas.gate_bounds import GateBounds
from weir.training.gates.figures import Interval, Labels

OWN_FIGURES: Final = "leakage, own figures"
LABEL_SHARE: Final = 0.99
"""Of fraud and of the rest that one threshold on an input tells apart: more than any honest input."""
ROWS_MAX: Final = 100_000
"""Legitimate rows that are looked at; fraud is rare, and all of it is."""


@dataclass(frozen=True)
class InputLeak:
    """The inputs that tell most.

    Attributes:
        auc: ROC-AUC of one input alone, in the better direction.
        by_auc: its name.
        told: of fraud and of the rest, the share that one threshold tells apart, less what it mistakes.
        by_told: the name of that input.
    """

    auc: float
    by_auc: str
    told: float
    by_told: str


@dataclass(frozen=True)
class Taught:
    """When a model was made, and from what.

    Attributes:
        until_ms: event time of the first row that did not teach it, UTC epoch ms.
        created_ms: UTC epoch ms.
    """

    until_ms: int
    created_ms: int


def measure_inputs(features: Matrix, names: tuple[str, ...], positive: Labels) -> InputLeak:
    """Return which inputs tell most alone; a missing value counts as the smallest and as the largest.

    Args:
        features: float32, shape (rows, len(names)).
        names: of the inputs.
        positive: 0 or 1, shape (rows,), with some of both.
    """
    rows = bound_rows(positive)
    told = [_separate(column, positive[rows]) for column in features[rows].T]
    best = int(np.argmax([auc for auc, _ in told]))
    clearest = int(np.argmax([distance for _, distance in told]))
    return InputLeak(told[best][0], names[best], told[clearest][1], names[clearest])


def judge_inputs(found: InputLeak | str, bounds: GateBounds) -> list[Gate]:
    """Return the gates of single inputs."""
    named = ("leakage, one input", "leakage, label in an input")
    if isinstance(found, str):
        return [Gate(name, False, f"not measured: {found}", "labelled rows") for name in named]
    alone = f"ROC-AUC {found.auc:.3f} by {found.by_auc} alone"
    told = f"{found.by_told} tells {found.told:.1%} of fraud from the rest"
    return [
        Gate(named[0], found.auc <= bounds.input_auc, alone, f"at most {bounds.input_auc:.3f}"),
        Gate(named[1], found.told < LABEL_SHARE, told, f"below {LABEL_SHARE:.0%}"),
    ]


def judge_time_order(found: Taught | str) -> Gate:
    """Return the gate of what taught a model and when it was made."""
    name, wanted = "leakage, time order", "taught by what was over when it was made"
    if isinstance(found, str):
        return Gate(name, False, f"not measured: {found}", wanted)
    text = f"taught until {_format(found.until_ms)}, made {_format(found.created_ms)}"
    return Gate(name, found.until_ms <= found.created_ms, text, wanted)


def judge_own_figures(own: float, later: Interval, bounds: GateBounds) -> Gate:
    """Return the gate of PR-AUC on later rows next to that of the model's own test interval.

    Args:
        own: as the manifest has it.
        later: PR-AUC on later rows, with the ends of its draws.
        bounds: of the project.
    """
    points = 100 * (own - later.high)
    text = f"PR-AUC {later.value:.3f} ({later.low:.3f} to {later.high:.3f}), when it was trained {own:.3f}"
    wanted = f"at most {bounds.own_points:g} points below, beyond noise"
    return Gate(OWN_FIGURES, points <= bounds.own_points, text, wanted)


def bound_rows(positive: Labels) -> npt.NDArray[np.int64]:
    """Return the positions of rows that are looked at: all fraud, and enough of the rest."""
    legitimate = np.flatnonzero(positive == 0)
    every = max(1, -(-len(legitimate) // ROWS_MAX))
    return np.sort(np.concatenate([legitimate[::every], np.flatnonzero(positive == 1)]))


def _separate(values: npt.NDArray[np.float32], positive: Labels) -> tuple[float, float]:
    """Return the ROC-AUC of a column, and the largest distance of the two classes' cumulative shares."""
    found = [rank_input(np.where(np.isnan(values), at, values), positive) for at in (-np.inf, np.inf)]
    return max(max(area, 1 - area) for area, _ in found), max(distance for _, distance in found)


def rank_input(values: npt.NDArray[np.float32], positive: Labels) -> tuple[float, float]:
    """Return the ROC-AUC of a column, and the largest distance of the two classes' cumulative shares.

    Args:
        values: shape (rows,), without NaN.
        positive: 0 or 1, shape (rows,), with some of both.

    >>> rank_input(np.array([1, 2, 3, 4], np.float32), np.array([0, 0, 1, 1], np.int8))
    (1.0, 1.0)
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    fraud, rest = (np.append(0, np.cumsum(each)[ends] / each.sum()) for each in (positive[order], 1 - positive[order]))
    below = float(np.sum(np.diff(rest) * (fraud[1:] + fraud[:-1]) / 2))  # legitimate rows above a fraud
    return 1 - below, float(np.abs(fraud - rest).max())


def _format(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d")
