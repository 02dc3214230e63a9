"""The training matrix, filled by ``training/history.py`` or ``training/topics.py``; no feature is computed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.schemas.features import FEATURE_NAMES

LABEL_COLUMNS = ("transaction_id", "card_id", "merchant_id", "device_id", "event_time_ms", "label_time_ms", "is_fraud")
_AMOUNT = FEATURE_NAMES.index("transaction_amount")


@dataclass(frozen=True)
class Examples:
    """Transactions as a model sees them, in event-time order.

    Attributes:
        features: float32, shape (n, len(FEATURE_NAMES)), columns in ``FEATURE_NAMES`` order, NaN for missing.
        event_time_ms: int64, shape (n,).
        keys: Arrow text, length n, from ``weir.training.labels.build_keys``.
    """

    features: npt.NDArray[np.float32]
    event_time_ms: npt.NDArray[np.int64]
    keys: Any

    def __len__(self) -> int:
        return len(self.event_time_ms)

    @property
    def amounts(self) -> npt.NDArray[np.float64]:
        """What is at stake in base minor units, float64, shape (n,): of a refund, what is given back."""
        return np.abs(self.features[:, _AMOUNT].astype(np.float64))

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Examples:
        """Return the examples of a mask or of positions."""
        positions = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Examples(self.features[positions], self.event_time_ms[positions], self.keys.take(pa.array(positions)))


def concatenate(parts: list[Examples]) -> Examples:
    """Join examples and put them in event-time order; equal times keep the given order."""
    times = np.concatenate([part.event_time_ms for part in parts])
    features = np.concatenate([part.features for part in parts])
    keys = pa.concat_arrays([part.keys for part in parts])
    joined = Examples(features, times, keys)
    if bool(np.all(times[1:] >= times[:-1])):
        return joined
    return joined.take(np.argsort(times, kind="stable"))
