"""Why a row was not approved: occlusion through the model itself.

For a row, each group of features (one reason code) is replaced by what is typical (the manifest's ``reference``), and
the row is scored again. What the score loses is what the group contributed; the three largest losses are the
reasons, each shown by the one feature of its group that loses most alone. It needs nothing but the model's own score,
so it explains any ONNX model, and explains the graph that decided rather than a relative of it.

**Cost:** two calls for a batch: explained rows x groups (about 40), then x the features of three groups (about 8); what
is typical already is not tried, as replacing it changes nothing. Only rows that were not approved, at most
``EXPLAINED_ROWS_MAX`` a batch: 256 x 46 rows at 5 us are 60 ms, and 9 MB while they last. What is beyond gets
``MODEL_SCORE``: an attack that declines thousands a second need not be explained one by one. Interactions within pairs
of groups stay invisible: when each alone is enough for the score, removing one loses nothing, and ``MODEL_SCORE`` is
the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weir.inference.core.reason_codes import MODEL_SCORE, build_missing_code, format_value
from weir.inference.core.vector import Matrix
from weir.schemas.stream import Stream

EXPLAINED_ROWS_MAX = 256
REASONS_MAX = 3
_LEAST_SHARE = 0.1
"""A group without which the score falls by less than a tenth is no reason. A share, not a number of points: fraud is
rare, so thresholds chosen by cost may lie below one percent.
"""
_NOTHING = 1e-6  # float32 noise of a score of 0 must not look like a reason

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
    members: npt.NDArray[np.bool_]
    """Shape (groups, features): the same as ``columns``, for whole batches."""
    missing: tuple[str, ...]
    """Per feature, the code where its absence is the reason."""


def build_groups(names: Sequence[str], stream: Stream) -> Groups:
    """Group a model's features by reason code; what the stream does not have is its own group, named in upper case."""
    by_code: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        by_code.setdefault(stream.reason_codes.get(name, name.upper()), []).append(index)
    columns = tuple(np.array(found, dtype=np.int64) for found in by_code.values())
    members = np.zeros((len(columns), len(names)), dtype=np.bool_)
    for group, found in enumerate(columns):
        members[group, found] = True
    entities = {feature.name: feature.entity for feature in stream.all_features}
    missing = tuple(build_missing_code(entities.get(name, name.split("_", 1)[0])) for name in names)
    return Groups(tuple(names), tuple(by_code), columns, members, missing)


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
    rows, said = features[:explained], scores[:explained]
    differs = (rows != reference) & ~(np.isnan(rows) & np.isnan(reference))
    top = _find_top(_drop_groups(rows, said, differs, reference, groups, score), said * _LEAST_SHARE)
    named = _name_columns(rows, said, differs, reference, groups, score, top)
    reasons = [
        [_describe(rows[row], reference, groups, group, named[row, group]) for group in found]
        for row, found in enumerate(top)
    ]
    reasons += [[] for _ in range(explained, features.shape[0])]
    return [found or [_by_score(scores[row])] for row, found in enumerate(reasons)]


def _drop_groups(
    features: Matrix,
    scores: npt.NDArray[np.float32],
    differs: npt.NDArray[np.bool_],
    reference: npt.NDArray[np.float32],
    groups: Groups,
    score: Score,
) -> npt.NDArray[np.float32]:
    """Return what each row's score loses without each group, shape (rows, groups)."""
    tried = differs @ groups.members.T  # of booleans: any column of the group
    rows, without = np.nonzero(tried)
    drops = np.zeros(tried.shape, dtype=np.float32)
    drops[rows, without] = _compute_drops(features[rows], scores[rows], groups.members[without], reference, score)
    return drops


def _compute_drops(
    features: Matrix,
    scores: npt.NDArray[np.float32],
    replaced: npt.NDArray[np.bool_],
    reference: npt.NDArray[np.float32],
    score: Score,
) -> npt.NDArray[np.float32]:
    """Return what each row's score loses when some of its columns become typical."""
    if not len(features):
        return np.empty(0, dtype=np.float32)
    drops: npt.NDArray[np.float32] = np.nan_to_num(scores - score(np.where(replaced, reference, features)), nan=0.0)
    return drops


def _find_top(drops: npt.NDArray[np.float32], least: npt.NDArray[np.float32]) -> list[list[int]]:
    """Return each row's weightiest groups of at least ``least`` each.

    Equal drops keep the declared order, so a repeat explains the same.
    """
    order = np.argsort(-drops, axis=1, kind="stable")[:, :REASONS_MAX].tolist()
    return [
        [group for group in found if drops[row, group] >= max(least[row], _NOTHING)] for row, found in enumerate(order)
    ]


def _name_columns(
    features: Matrix,
    scores: npt.NDArray[np.float32],
    differs: npt.NDArray[np.bool_],
    reference: npt.NDArray[np.float32],
    groups: Groups,
    score: Score,
    top: list[list[int]],
) -> dict[tuple[int, int], int]:
    """Return, per row and top group, the one column whose own replacement costs the score most."""
    places = [(row, group) for row, found in enumerate(top) for group in found]
    candidates = [groups.columns[group][differs[row, groups.columns[group]]].tolist() for row, group in places]
    # a column that alone differs needs no trial
    named = {place: found[0] for place, found in zip(places, candidates, strict=True) if len(found) == 1}
    trials = [
        (place, column) for place, found in zip(places, candidates, strict=True) if len(found) > 1 for column in found
    ]
    rows = np.array([row for (row, _), _ in trials], dtype=np.int64)
    replaced = np.zeros((len(trials), features.shape[1]), dtype=np.bool_)
    replaced[np.arange(len(trials)), [column for _, column in trials]] = True
    drops = _compute_drops(features[rows], scores[rows], replaced, reference, score)
    best: dict[tuple[int, int], float] = {}
    for (place, column), drop in zip(trials, drops.tolist(), strict=True):
        if place not in best or drop > best[place]:
            best[place], named[place] = drop, column
    return named


def _describe(
    row: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], groups: Groups, group: int, column: int
) -> Reason:
    name, value = groups.names[column], float(row[column])
    code = groups.missing[column] if math.isnan(value) else groups.codes[group]
    return Reason(code, f"{name} = {format_value(value)} (typical {format_value(float(reference[column]))})")


def _by_score(score: np.float32) -> Reason:
    return Reason(MODEL_SCORE, f"score {score:.3f}")
