"""Splits a history by time into what teaches, what chooses thresholds and what judges.

    first                                                              last
      |warm-up|     train     |gap| validation |maturity|   test   |maturity|
                                                        ^ cut               ^ end
      labels known by the cut teach and choose thresholds; labels known by the end judge the test

The cut is where the test begins, so nothing learnt during the test interval reaches the model. Fraud is reported
late: an event younger than the maturity at the moment its label is read would be known fraud or not known at all,
which is a wrong sample, so such events are left out. The gap between train and validation is the label hold: label
risk of the two never looks at the same days. The warm-up is left out because windows are still filling there, which
never happens in a running stream.

The last part of the validation interval may be set apart for calibration (``training/parts.py``). It has the labels of
the cut too, and what it is for looks at nothing before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream

MATURITY_MS = 14 * DAY_MS
"""By then about three quarters of frauds are reported; waiting for the rest would cost months of history."""
WARMUP_SHARE = 0.125
"""At most as long as the stream's longest window: nothing looks back further."""
TRAIN_SHARE, VALIDATION_SHARE = 0.6, 0.2
CALIBRATION_SHARE = 0.4
"""Of the validation interval, where it is set apart."""
USABLE_MS_MIN = 5 * DAY_MS
"""A test of less than a day would miss hours that matter."""


@dataclass(frozen=True)
class Interval:
    """Event times ``[from_ms, to_ms)``, UTC epoch milliseconds."""

    from_ms: int
    to_ms: int

    def mask(self, event_time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which events lie inside, bool, shape (n,)."""
        inside: npt.NDArray[np.bool_] = (event_time_ms >= self.from_ms) & (event_time_ms < self.to_ms)
        return inside


@dataclass(frozen=True)
class Split:
    """The intervals and the two moments at which labels are read; ``calibration`` where it has one of its own."""

    train: Interval
    validation: Interval
    test: Interval
    cut_ms: int
    end_ms: int
    calibration: Interval | None = None

    @property
    def intervals(self) -> dict[str, Interval]:
        """Those that there are, by name, in the order of time."""
        own = {} if self.calibration is None else {"calibration": self.calibration}
        return {"train": self.train, "validation": self.validation, **own, "test": self.test}

    def set_calibration_apart(self) -> Split:
        """Return a split whose calibration has the last part of the validation interval."""
        whole = self.validation
        cut_ms = whole.to_ms - int((whole.to_ms - whole.from_ms) * CALIBRATION_SHARE)
        return replace(self, validation=Interval(whole.from_ms, cut_ms), calibration=Interval(cut_ms, whole.to_ms))


def plan_split(stream: Stream, *, first_ms: int, last_ms: int, end_ms: int, maturity_ms: int = MATURITY_MS) -> Split:
    """Lay the intervals over a history.

    Args:
        stream: says how long its windows are, and by how much label risk is held back.
        first_ms: oldest event time.
        last_ms: newest event time.
        end_ms: the moment at which the history is read; labels after it do not exist yet.
        maturity_ms: how old an event must be for its label to count.

    Raises:
        Refused: too little history is left for three intervals; the message says how much is needed.
    """
    hold_ms, longest_ms = stream.label_hold_ms, max(stream.windows_ms.values(), default=0)
    start_ms = first_ms + min(longest_ms, int((last_ms - first_ms) * WARMUP_SHARE))
    mature_ms = min(last_ms + 1, end_ms - maturity_ms + 1)
    gaps_ms = maturity_ms + hold_ms
    usable_ms = mature_ms - start_ms - gaps_ms
    if usable_ms < USABLE_MS_MIN:
        needed_ms = (USABLE_MS_MIN + gaps_ms + maturity_ms) / (1 - WARMUP_SHARE)
        found_days, needed_days = (end_ms - first_ms) / DAY_MS, needed_ms / DAY_MS
        raise Refused(
            f"history: expected {needed_days:.0f} days or more, found {found_days:.1f}; "
            "bring a longer one, or lower --maturity-days"
        )
    train = Interval(start_ms, start_ms + int(usable_ms * TRAIN_SHARE))
    validation_from_ms = train.to_ms + hold_ms
    validation = Interval(validation_from_ms, validation_from_ms + int(usable_ms * VALIDATION_SHARE))
    test = Interval(validation.to_ms + maturity_ms, mature_ms)
    return Split(train, validation, test, cut_ms=test.from_ms, end_ms=end_ms)
