"""What a change does, in figures. Pure.

An event is *stopped* when it is declined or sent to review. Of what is known of events:

==================  ===================================================================
fraud caught        fraud that is stopped
fraud let through   fraud that is approved
good hurt           good events that are declined
precision           of what is stopped, the share that is fraud
recall              of fraud, the share that is stopped
false-positive rate of good events, the share that is stopped
==================  ===================================================================

Intervals are of a bootstrap by key: keys are drawn with all their events, because the events of one card are no
independent cases. Keys with equal counts are drawn together, by one multinomial draw, which is the same and needs no
memory of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.archive.whatif.labels import FRAUD, GOOD, YOUNG, Hashes, Verdicts
from weir.inference.core.deciding import APPROVE, DECLINE, OUTCOMES, Outcomes

ROUNDS: Final = 1_000
SEED: Final = 1
CONFIDENCE: Final = 0.95
_PENDING_MAX: Final = 1_000_000
"""Rows that are waiting to be added up by key: 100 MB."""
Counts = npt.NDArray[np.int64]

FRAUD_SEEN, GOOD_SEEN, CAUGHT, GOOD_STOPPED, HURT = range(5)
"""Columns of counts, of one side."""
_SIDE: Final = 5


@dataclass(frozen=True)
class Side:
    """Figures of what was decided, or would be; a share of nothing is not a number.

    Attributes:
        caught: fraud that is stopped.
        let_through: fraud that is approved.
        hurt: good events that are declined.
    """

    caught: int
    let_through: int
    hurt: int
    precision: float
    recall: float
    false_positive_rate: float


@dataclass(frozen=True)
class Interval:
    """Where a figure lies in 95 % of draws; not a number where most of them give none."""

    low: float
    high: float


SHARES: Final = ("precision", "recall", "false_positive_rate")
Intervals = dict[str, Interval]


@dataclass
class Tally:
    """Adds up what was decided and what would be, part by part."""

    flips: dict[str, Counts] = field(default_factory=dict)
    money: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 3)))
    verdicts: dict[int, int] = field(default_factory=dict)
    _keys: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    _counts: Counts = field(default_factory=lambda: np.empty((0, 2 * _SIDE), np.int64))
    _pending: list[tuple[Hashes, Counts]] = field(default_factory=list)

    def add(
        self,
        day: str,
        recorded: Outcomes,
        candidate: Outcomes,
        verdicts: Verdicts,
        keys: Hashes | None,
        stakes: npt.NDArray[np.float64] | None,
    ) -> None:
        """Add some rows of a day.

        Args:
            day: as it is shown.
            recorded: what was decided, positions in ``OUTCOMES``.
            candidate: what would be.
            verdicts: what is known of them.
            keys: of the events; None where nothing is known of any.
            stakes: what is at stake in base minor units; None where the stream has no money.
        """
        pairs = _count_each(recorded * np.uint8(3) + candidate, 9).reshape(3, 3)
        self.flips[day] = self.flips.get(day, np.zeros((3, 3), np.int64)) + pairs
        for verdict, count in enumerate(_count_each(verdicts - YOUNG, FRAUD - YOUNG + 1).tolist(), YOUNG):
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + count
        known = verdicts >= GOOD
        if keys is None or not known.any():
            return
        fraud, sides = verdicts[known] == FRAUD, (recorded[known], candidate[known])
        self._pending.append(_sum_by_key(keys[known], np.hstack([_count(fraud, side) for side in sides])))
        if sum(len(each) for each, _ in self._pending) > _PENDING_MAX:
            self._merge()
        if stakes is not None:
            self.money += np.array([_add_money(fraud, side, stakes[known]) for side in sides])

    @property
    def total(self) -> Counts:
        """Decisions by what was decided, rows, and what would be, columns."""
        found: Counts = np.sum([np.zeros((3, 3), np.int64), *self.flips.values()], axis=0)
        return found

    def sides(self) -> tuple[Side, Side]:
        """Return the figures of what was decided and of what would be."""
        self._merge()
        recorded, candidate = np.split(self._counts.sum(axis=0), 2)
        return _build_side(recorded), _build_side(candidate)

    def intervals(self) -> tuple[Intervals, Intervals, Intervals]:
        """Return the intervals of both sides' shares, and of their differences."""
        self._merge()
        kinds, of_kind = np.unique(self._counts, axis=0, return_counts=True)
        if not len(kinds):
            nothing = {name: Interval(float("nan"), float("nan")) for name in SHARES}
            return nothing, nothing, nothing
        chance = np.random.default_rng(SEED)
        drawn = chance.multinomial(of_kind.sum(), of_kind / of_kind.sum(), size=ROUNDS) @ kinds
        recorded, candidate = (_shares(each) for each in np.split(drawn, 2, axis=1))
        return _bound(recorded), _bound(candidate), _bound(candidate - recorded)

    def _merge(self) -> None:
        if self._pending:
            keys = np.concatenate([self._keys, *(each for each, _ in self._pending)])
            counts = np.concatenate([self._counts, *(each for _, each in self._pending)])
            self._keys, self._counts = _sum_by_key(keys, counts)
            self._pending = []


def points_declined(total: Counts) -> float:
    """Return by how many percentage points more is declined.

    >>> points_declined(np.array([[98, 0, 1], [0, 0, 0], [0, 0, 1]]))
    1.0
    """
    rows = int(total.sum())
    return 100.0 * float(total[:, DECLINE].sum() - total[DECLINE].sum()) / rows if rows else 0.0


def percent_more_hurt(recorded: Side, candidate: Side) -> float:
    """Return by how many percent more good events are declined; endless where none was."""
    more = candidate.hurt - recorded.hurt
    return 100.0 * more / recorded.hurt if recorded.hurt else float("inf") if more else 0.0


def name_flip(code: int) -> str:
    """Return what a place in a table of decisions is called.

    >>> name_flip(2)
    'APPROVE → DECLINE'
    """
    return f"{OUTCOMES[code // 3]} → {OUTCOMES[code % 3]}"


def _count_each(codes: Outcomes | Verdicts, count: int) -> Counts:
    """Return how often each of a few small numbers comes; ``bincount``, which widens them, takes ten times longer."""
    return np.array([np.count_nonzero(codes == code) for code in range(count)], np.int64)


def _count(fraud: npt.NDArray[np.bool_], outcomes: Outcomes) -> Counts:
    stopped = outcomes != APPROVE
    columns = (fraud, ~fraud, fraud & stopped, ~fraud & stopped, ~fraud & (outcomes == DECLINE))
    return np.stack(columns, axis=1).astype(np.int64)


def _add_money(
    fraud: npt.NDArray[np.bool_], outcomes: Outcomes, stakes: npt.NDArray[np.float64]
) -> tuple[float, float, float]:
    stopped = outcomes != APPROVE
    sums = (np.nansum(stakes[each]) for each in (fraud & stopped, fraud & ~stopped, ~fraud & (outcomes == DECLINE)))
    caught, let_through, hurt = map(float, sums)
    return caught, let_through, hurt


def _sum_by_key(keys: Hashes, counts: Counts) -> tuple[Hashes, Counts]:
    order = np.argsort(keys, kind="stable")
    found, first = np.unique(keys[order], return_index=True)
    return found, np.add.reduceat(counts[order], first, axis=0) if len(found) else counts


def _build_side(counts: Counts) -> Side:
    precision, recall, false_positive_rate = _shares(counts[np.newaxis])[0].tolist()
    caught, let_through = int(counts[CAUGHT]), int(counts[FRAUD_SEEN] - counts[CAUGHT])
    return Side(caught, let_through, int(counts[HURT]), precision, recall, false_positive_rate)


def _shares(counts: Counts) -> npt.NDArray[np.float64]:
    """Return precision, recall and false-positive rate of some counts, shape (n, 3)."""
    of = (counts[:, CAUGHT] + counts[:, GOOD_STOPPED], counts[:, FRAUD_SEEN], counts[:, GOOD_SEEN])
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = zip((CAUGHT, CAUGHT, GOOD_STOPPED), of, strict=True)
        return np.stack([counts[:, part] / whole.astype(np.float64) for part, whole in pairs], axis=1)


def _bound(drawn: npt.NDArray[np.float64]) -> Intervals:
    tail = (1.0 - CONFIDENCE) / 2.0
    found = {}
    for position, name in enumerate(SHARES):
        column = drawn[:, position]
        known = column[~np.isnan(column)]
        if 2 * len(known) < len(column):
            known = np.array([np.nan])
        low, high = np.quantile(known, (tail, 1.0 - tail)).tolist()
        found[name] = Interval(low, high)
    return found
