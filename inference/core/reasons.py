"""Why a row was not approved: occlusion through the model itself.

For a row, each group of features (one reason code) is replaced by what is typical (the manifest's ``reference``), and
the row is scored again. What the score loses is what the group contributed; the three largest losses are the
reasons. It needs nothing but the model's own score, so it explains any ONNX model, and explains the graph that decided
rather than a relative of it.

**Cost:** explained rows x groups (about 40) scores, in one call; only rows that were not approved, at most
``EXPLAINED_ROWS_MAX`` a batch: 256 x 40 rows at 4 us are 40 ms. What is beyond gets ``MODEL_SCORE``, which an
attack that declines thousands a second does not need explained one by one. Interactions within pairs of groups stay
invisible: when each alone is enough for the score, removing one loses nothing, and ``MODEL_SCORE`` is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.core.reason_codes import CODE_OF_FEATURE, MODEL_SCORE, format_value
from inference.core.vector import Matrix

EXPLAINED_ROWS_MAX = 256
REASONS_MAX = 3
_LEAST_DROP = 0.005
"""A group that moves the score by less than half a percentage point is no reason."""

Score = Callable[[Matrix], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Reason:
    """One line of an explanation: a stable code, and the numbers behind it. Never an id."""

    code: str
    detail: str


@dataclass(frozen=True)
class Groups:
    """Columns of a model that share a reason code."""

    names: tuple[str, ...]
    codes: tuple[str, ...]
    columns: tuple[npt.NDArray[np.int64], ...]


def build_groups(names: Sequence[str]) -> Groups:
    """Group a model's features by reason code; a feature without one is its own group under its upper-cased name."""
    by_code: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        by_code.setdefault(CODE_OF_FEATURE.get(name, name.upper()), []).append(index)
    columns = tuple(np.array(found, dtype=np.int64) for found in by_code.values())
    return Groups(tuple(names), tuple(by_code), columns)


def explain(
    features: Matrix, scores: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], groups: Groups, score: Score
) -> list[list[Reason]]:
    """Return the reasons of each row, the weightiest first, never empty.

    Args:
        features: float32, shape (rows, n_features): the rows to explain.
        scores: float32, shape (rows,): what the model said about them.
        reference: float32, shape (n_features,): typical values, NaN where missing is typical.
        groups: of the model's columns.
        score: the model.
    """
    explained = min(features.shape[0], EXPLAINED_ROWS_MAX)
    drops = _compute_drops(features[:explained], scores[:explained], reference, groups, score)
    reasons = [_top_reasons(features[row], scores[row], drops[row], reference, groups) for row in range(explained)]
    return reasons + [[_by_score(scores[row])] for row in range(explained, features.shape[0])]


def _compute_drops(
    features: Matrix, scores: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], groups: Groups, score: Score
) -> npt.NDArray[np.float32]:
    """Return what each row's score loses without each group; float32, shape (rows, groups)."""
    rows, count = features.shape[0], len(groups.codes)
    if rows == 0:
        return np.empty((0, count), dtype=np.float32)
    occluded = np.repeat(features[:, None, :], count, axis=1)
    for group, columns in enumerate(groups.columns):
        occluded[:, group, columns] = reference[columns]
    again = score(occluded.reshape(rows * count, -1)).reshape(rows, count)
    drops: npt.NDArray[np.float32] = np.nan_to_num(scores[:, None] - again, nan=0.0)
    return drops


def _top_reasons(
    row: npt.NDArray[np.float32],
    score: np.float32,
    drops: npt.NDArray[np.float32],
    reference: npt.NDArray[np.float32],
    groups: Groups,
) -> list[Reason]:
    # a stable sort: equal drops keep the declared order, so a repeat explains the same
    order = np.argsort(-drops, kind="stable")[:REASONS_MAX]
    found = [
        Reason(groups.codes[group], _describe(row, reference, groups, int(group)))
        for group in order
        if drops[group] >= _LEAST_DROP
    ]
    return found or [_by_score(score)]


def _describe(row: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], groups: Groups, group: int) -> str:
    """Name the group's feature that is furthest from typical, relative to it."""
    columns = groups.columns[group]
    values, typical = row[columns].astype(np.float64), reference[columns].astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance = np.abs(values - typical) / (np.abs(typical) + 1.0)
    # present where missing is typical, or the reverse, counts as one time the typical value
    distance = np.where(np.isnan(values) != np.isnan(typical), 1.0, np.nan_to_num(distance, nan=0.0))
    column = int(columns[int(np.argmax(distance))])
    found, usual = format_value(float(row[column])), format_value(float(reference[column]))
    return f"{groups.names[column]} = {found} (typical {usual})"


def _by_score(score: np.float32) -> Reason:
    return Reason(MODEL_SCORE, f"score {score:.3f}")
