"""The labelled rows of each interval, with each label as it was known at the moment it is read for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.schemas.errors import Refused
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments
from weir.training import thresholds as pricing
from weir.training.dataset import Examples
from weir.training.labels import UNKNOWN, find_looked_at, join_labels, labels_of, number_keys
from weir.training.models import Labels, Matrix
from weir.training.split import Interval, Split, plan_split
from weir.training.weights import Flags, Weighing, Weights, weigh

FRAUDS_MIN = 10
"""Fewer known frauds in an interval and its figures, or its thresholds, are noise."""
FRAUDS_APART_MIN = 100
"""Known frauds in each of two parts of the validation interval, so that calibration has one of its own."""


@dataclass(frozen=True)
class Part:
    """The labelled rows of one interval.

    Attributes:
        features: float32, shape (n, n_features).
        positive: 0 or 1, shape (n,): what the stream's labels found true, which is fraud or what stands for it.
        stakes: base minor units, shape (n,); 0 without money.
        event_time_ms: int64, shape (n,).
        transactions: how many events the interval holds, unlabelled ones too.
        keys: int64, shape (n,): a number for each key, such as a card.
        weights: how many events each row stands for, shape (n,); None where all stand for themselves alone.
        weighing: what the weights follow from.
    """

    features: Matrix
    positive: Labels
    stakes: Any
    event_time_ms: npt.NDArray[np.int64]
    transactions: int
    keys: npt.NDArray[np.int64]
    weights: Weights | None = None
    weighing: Weighing = field(default_factory=Weighing)

    @property
    def pair(self) -> tuple[Matrix, Labels]:
        """Features and labels, as models are fitted on them."""
        return self.features, self.positive

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the interval, of them labelled, of them fraud."""
        return {"transactions": self.transactions, "known": len(self.positive), "fraud": int(self.positive.sum())}


def build_parts(
    examples: Examples, labels: pa.Table, maturity_ms: int, stream: Stream = payments
) -> tuple[Split, dict[str, Part]]:
    """Split examples by time and label each interval as known at its moment.

    Raises:
        Refused: the history is too short, or an interval holds fewer than ``FRAUDS_MIN`` known frauds.
    """
    times = examples.event_time_ms
    end_ms = max(int(times[-1]), _newest_label_ms(labels, labels_of(stream).time))
    first_ms, last_ms = int(times[0]), int(times[-1])
    split = plan_split(stream, first_ms=first_ms, last_ms=last_ms, end_ms=end_ms, maturity_ms=maturity_ms)
    at_cut = read_labels(examples, labels, stream, cut_ms=split.cut_ms)
    at_end = read_labels(examples, labels, stream, cut_ms=split.end_ms)
    moments = {"train": (split.train, at_cut), "validation": (split.validation, at_cut), "test": (split.test, at_end)}
    parts = {
        name: _build_part(examples, read, interval.mask(times), stream) for name, (interval, read) in moments.items()
    }
    for name, part in parts.items():
        if part.counts["fraud"] < FRAUDS_MIN:
            found = f"expected {FRAUDS_MIN} or more known frauds in the {name} interval, found {part.counts['fraud']}"
            raise Refused(f"history: {found}; bring a longer history, or one of more {stream.key.name}s")
    return split, parts


def set_calibration_apart(split: Split, parts: dict[str, Part], examples: Examples) -> tuple[Split, dict[str, Part]]:
    """Return a split and its parts with one more, ``calibration``, that nothing else is chosen by.

    It is the last part of the validation interval. Where that would leave either with fewer than ``FRAUDS_APART_MIN``
    known frauds, the split stays as it is, and ``calibration`` is the validation part.
    """
    whole, apart = parts["validation"], split.set_calibration_apart()
    assert apart.calibration is not None
    own = {
        name: _keep_rows(whole, interval, examples)
        for name, interval in (("validation", apart.validation), ("calibration", apart.calibration))
    }
    if min(part.counts["fraud"] for part in own.values()) < FRAUDS_APART_MIN:
        return split, {**parts, "calibration": whole}
    return apart, {**parts, **own}


def _keep_rows(part: Part, interval: Interval, examples: Examples) -> Part:
    rows = interval.mask(part.event_time_ms)
    transactions = int(interval.mask(examples.event_time_ms).sum())
    times, keys = part.event_time_ms[rows], part.keys[rows]
    weights = None if part.weights is None else part.weights[rows]
    kept = part.features[rows], part.positive[rows], part.stakes[rows], times, transactions, keys
    return Part(*kept, weights, part.weighing)


def read_labels(examples: Examples, labels: pa.Table, stream: Stream, *, cut_ms: int) -> tuple[Labels, Flags]:
    """Return the label of each example as known at a cut, and which of them an analyst had looked at."""
    known = join_labels(examples.keys, labels, stream, cut_ms=cut_ms)
    return known, find_looked_at(examples.keys, labels, stream, cut_ms=cut_ms)


def weigh_inside(examples: Examples, read: tuple[Labels, Flags], inside: Flags) -> tuple[Weights | None, Weighing]:
    """Return the weights of the labelled examples among some, and what they follow from."""
    known, looked_at = read
    decided = None if examples.decided is None else examples.decided.take(np.flatnonzero(inside))
    return weigh(known[inside], looked_at[inside], decided)


def _build_part(examples: Examples, read: tuple[Labels, Flags], inside: Flags, stream: Stream) -> Part:
    known = read[0]
    rows = inside & (known != UNKNOWN)
    taken = examples.take(rows)
    stakes = pricing.read_stakes(stream, taken.features)
    keys = number_keys(taken.keys)
    weights, weighing = weigh_inside(examples, read, inside)
    found = taken.features, known[rows], stakes, taken.event_time_ms, int(inside.sum()), keys
    return Part(*found, weights, weighing)


def _newest_label_ms(labels: pa.Table, time: str) -> int:
    return int(labels[time].to_numpy().max()) if labels.num_rows else 0
