"""The Handbook's 15 features by its own definitions, straight from the whole list of payments.

Nothing here is streamed and nothing is shared with the kernel: the two are compared with each other. A customer's
window is ``(t - w, t]``, its own payment included. What is known of a terminal is a window that ends seven days ago,
``(t - 7d - w, t - 7d]``: its payments, and the share of them that were fraud, 0 where there were none.

The kernel keeps label risk by panes of a thirtieth of the window, and looks at the whole panes that end at or before
``t - 7d``. ``compute_risk`` says by the same definition what that is, so a difference is either the panes or a fault.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from weir.training.benchmarks.handbook.simulator import DAY_S, START_MS, Floats, Ints, Payments

WINDOWS_S: Final = {"1d": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S}
_DELAY_S: Final = 7 * DAY_S
_PANES: Final = 30
_APART_S: Final = 1_000 * DAY_S
"""Sets the payments of one id apart from those of the next one: longer than any history and window."""
_NIGHT_HOURS: Final = 7


class _ByWhom:
    """Payments in the order of somebody's id and then of time, so that a window is a slice of them."""

    def __init__(self, whose: Ints, payments: Payments) -> None:
        self._order = np.argsort(whose, kind="stable")
        self._base = whose * _APART_S
        self._sorted = (self._base + payments.seconds)[self._order]
        self._rank = np.empty(len(whose), np.int64)
        self._rank[self._order] = np.arange(len(whose))

    def find(self, seconds: Ints, side: str = "right") -> Ints:
        """Return, by payment, how many come before a time of the same id (and all those of smaller ids)."""
        return np.searchsorted(self._sorted, self._base + seconds, side=side)  # type: ignore[call-overload,no-any-return]

    def after_own(self) -> Ints:
        """Return, by payment, the place after its own."""
        return self._rank + 1

    def total(self, values: npt.NDArray[np.integer], start: Ints, end: Ints) -> Ints:
        """Return, by payment, the sum of values in ``[start, end)``."""
        summed = np.concatenate([[0], np.cumsum(values[self._order], dtype=np.int64)])
        totals: Ints = summed[end] - summed[start]
        return totals


def compute_features(payments: Payments) -> Floats:
    """Return the 15 features of every payment, float64, shape (n, 15), in the Handbook's order."""
    days_since_monday = (payments.time_ms // 86_400_000 + 3) % 7  # 1970-01-01 was a Thursday
    hour = payments.seconds % DAY_S // 3_600
    stateless = [payments.amount_cents / 100, days_since_monday >= 5, hour < _NIGHT_HOURS]
    return np.stack([*stateless, *_of_customer(payments), *_of_terminal(payments)], axis=1).astype(np.float64)


def compute_risk(payments: Payments, window: str) -> Floats:
    """Return the label risk of a window of whole panes, by payment; 0 where nothing is labelled."""
    by = _ByWhom(payments.terminal, payments)
    pane_s = WINDOWS_S[window] // _PANES
    since_epoch = START_MS // 1_000
    end = (since_epoch + payments.seconds - _DELAY_S) // pane_s * pane_s - since_epoch
    return _risk(by, payments, by.find(end - WINDOWS_S[window], "left"), by.find(end, "left"))


def _of_customer(payments: Payments) -> list[Floats]:
    by = _ByWhom(payments.customer, payments)
    end = by.after_own()
    starts = [by.find(payments.seconds - window_s) for window_s in WINDOWS_S.values()]
    counts = [(end - start).astype(np.float64) for start in starts]
    sums = [by.total(payments.amount_cents, start, end) for start in starts]
    return [*counts, *(total / count / 100 for total, count in zip(sums, counts, strict=True))]


def _of_terminal(payments: Payments) -> list[Floats]:
    by = _ByWhom(payments.terminal, payments)
    end = by.find(payments.seconds - _DELAY_S)
    starts = [by.find(payments.seconds - _DELAY_S - window_s) for window_s in WINDOWS_S.values()]
    counts = [(end - start).astype(np.float64) for start in starts]
    return [*counts, *(_risk(by, payments, start, end) for start in starts)]


def _risk(by: _ByWhom, payments: Payments, start: Ints, end: Ints) -> Floats:
    share: Floats = by.total(payments.fraud, start, end) / np.maximum(end - start, 1)
    return share
