"""Rolling folds of time: what teaches a trial, and what judges it.

    start                                              validation ends       test
      |        teaches        | gap |  judges  |                   . maturity |
      |             teaches              | gap |  judges  |        .          |
      |                  teaches                    | gap |  judges|          |
                                    ^ labels as known here teach this fold

Each fold stands where a model would be trained: what teaches it are events that are old enough by then, with their
labels as known by then. Its later events judge it, with their labels as known when the test begins. The gap is the
maturity of labels, or the hold of label risk where that is longer. The test interval is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream
from weir.training.dataset import Examples
from weir.training.labels import UNKNOWN, number_keys
from weir.training.models import Labels, Weights
from weir.training.parts import FRAUDS_MIN, read_labels, weigh_inside
from weir.training.search.config import Config
from weir.training.search.spaces import STACK
from weir.training.split import Interval, Split
from weir.training.weights import Flags

Positions = npt.NDArray[np.int64]
Rolls = Sequence[tuple[Positions, Positions]]
"""Folds within what teaches, as positions in it: those that teach, and later ones."""
_FIRST_SHARE = 0.5
"""Of the time without the gap: what teaches the first fold. The rest is shared by the intervals that judge."""
_JUDGES_MS_MIN = DAY_MS
"""Less than a day would miss hours that matter."""
_ROLLS = 2
"""Each is a fit more of every base model."""


@dataclass(frozen=True)
class Fold:
    """Positions of the examples that teach and of those that judge, and their labels as known at their moments.

    Attributes:
        rolls: of what teaches, for a stack; empty where none is searched.
        taught_weights: how many events each that teaches stands for; None where all stand for themselves alone.
        truth_weights: the same of those that judge.
    """

    teaches: Positions
    taught: Labels
    judges: Positions
    truth: Labels
    rolls: Rolls = ()
    taught_weights: Weights | None = None
    truth_weights: Weights | None = None


def plan_folds(split: Split, count: int, gap_ms: int) -> list[tuple[Interval, Interval]]:
    """Return what teaches and what judges, the oldest fold first.

    Raises:
        Refused: there is too little time for so many.
    """
    whole = Interval(split.train.from_ms, split.validation.to_ms)
    said = "folds: expected {} days or more before the test, found {}; bring a longer history, or lower folds or "
    return _roll(whole, count, gap_ms, said + "--maturity-days")


def build_rolls(times_ms: npt.NDArray[np.int64], positive: Labels, stream: Stream) -> Rolls:
    """Return folds within what teaches, whose labels are known as at one moment: no maturity lies between them.

    The gap is the hold of label risk, as between what teaches a run and what chooses its thresholds.

    Args:
        times_ms: of the events that teach, in order.
        positive: 0 or 1 for each.
        stream: whose events they are.

    Raises:
        Refused: there is too little time, or too few frauds.
    """
    whole, without = Interval(int(times_ms[0]), int(times_ms[-1]) + 1), "or leave stack out of contenders"
    said = "stack: expected {} days or more that teach, found {}; bring a longer history, " + without
    planned = _roll(whole, _ROLLS, stream.label_hold_ms, said)
    rolls = [(np.flatnonzero(a.mask(times_ms)), np.flatnonzero(b.mask(times_ms))) for a, b in planned]
    frauds = min(int(positive[teaches].sum()) for teaches, _ in rolls)
    frauds = min(frauds, sum(int(positive[judges].sum()) for _, judges in rolls))
    if frauds < FRAUDS_MIN:
        raise Refused(f"stack: expected {FRAUDS_MIN} or more known frauds in each part of what teaches, found "
                      f"{frauds}; bring a longer history, {without}")  # fmt: skip
    return rolls


def _roll(whole: Interval, count: int, gap_ms: int, said: str) -> list[tuple[Interval, Interval]]:
    """Return so many folds of an interval; refused in those words where it is too short."""
    length_ms = whole.to_ms - whole.from_ms
    judges_ms = int((length_ms - gap_ms) * (1 - _FIRST_SHARE)) // count
    if judges_ms < _JUDGES_MS_MIN:
        needed = (gap_ms + count * _JUDGES_MS_MIN / (1 - _FIRST_SHARE)) / DAY_MS
        raise Refused(said.format(f"{needed:.0f}", f"{length_ms / DAY_MS:.1f}"))
    begins = [whole.to_ms - judges_ms * (count - fold) for fold in range(count)]
    return [(Interval(whole.from_ms, each - gap_ms), Interval(each, each + judges_ms)) for each in begins]


def build_folds(
    examples: Examples, labels: pa.Table, split: Split, config: Config, stream: Stream, maturity_ms: int
) -> list[Fold]:
    """Return the folds of a history.

    Args:
        examples: all of the history, in event-time order.
        labels: every label of it.
        split: of the run; nothing from its test on is looked at.
        config: how many folds, and whether keys are kept apart.
        stream: whose events they are.
        maturity_ms: how old an event must be for its label to count.

    Raises:
        Refused: there is too little time, or too few known frauds in a fold.
    """
    planned = plan_folds(split, config.folds, max(maturity_ms, stream.label_hold_ms))
    at_cut = read_labels(examples, labels, stream, cut_ms=split.cut_ms)
    groups = _draw_groups(examples, config) if config.keys_apart else None
    folds = []
    for number, (teaches, judges) in enumerate(planned):
        at_begin = read_labels(examples, labels, stream, cut_ms=judges.from_ms)
        learnt, judged = teaches.mask(examples.event_time_ms), judges.mask(examples.event_time_ms)
        if groups is not None:
            learnt, judged = learnt & (groups != number), judged & (groups == number)
        taught, truth = _take_labelled(examples, at_begin, learnt), _take_labelled(examples, at_cut, judged)
        fold = Fold(*taught[:2], *truth[:2], taught_weights=taught[2], truth_weights=truth[2])
        _check_frauds(fold, number + 1, stream)
        if STACK in config.spaces:
            fold = replace(fold, rolls=build_rolls(examples.event_time_ms[fold.teaches], fold.taught, stream))
        folds.append(fold)
    return folds


def _take_labelled(
    examples: Examples, read: tuple[Labels, Flags], inside: Flags
) -> tuple[Positions, Labels, Weights | None]:
    """Return the labelled ones among some examples: where they are, their labels, and their weights."""
    known = read[0]
    positions = np.flatnonzero(inside & (known != UNKNOWN))
    return positions, known[positions], weigh_inside(examples, read, inside)[0]


def _draw_groups(examples: Examples, config: Config) -> Positions:
    """Return which fold each example's key may judge."""
    keys = number_keys(examples.keys)
    drawn = np.random.default_rng(config.seed).permutation(int(keys.max()) + 1) % config.folds
    of_each: Positions = drawn[keys].astype(np.int64)
    return of_each


def _check_frauds(fold: Fold, number: int, stream: Stream) -> None:
    for what, labels in (("teach", fold.taught), ("judge", fold.truth)):
        if (frauds := int(labels.sum())) < FRAUDS_MIN:
            raise Refused(
                f"fold {number}: expected {FRAUDS_MIN} or more known frauds that {what} it, found {frauds}; lower "
                f"folds, set keys_apart to false, or bring a longer history or one of more {stream.key.name}s"
            )
