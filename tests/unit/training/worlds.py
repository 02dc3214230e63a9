"""Small made-up training matrices: fraud needs two windows at once, so that no single column gives it away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from tests.payments import DAY_MS, FEATURE_NAMES
from weir.schemas.streams.payments import payments
from weir.training.dataset import Examples
from weir.training.labels import build_keys

START_MS = 1_700_000_000_000
BURST = FEATURE_NAMES.index("card_event_count_5m")
NEW_DEVICE = FEATURE_NAMES.index("card_device_new_30d")
AMOUNT = FEATURE_NAMES.index("transaction_amount")


def build_matrix(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features with missing values, and which rows are fraud."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, len(FEATURE_NAMES))).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    features[:, BURST] = rng.integers(1, 6, rows)
    features[:, NEW_DEVICE] = rng.integers(0, 2, rows)
    features[:, AMOUNT] = rng.integers(100, 50_000, rows)
    is_fraud = ((features[:, BURST] >= 5) & (features[:, NEW_DEVICE] == 1)) & (rng.random(rows) < 0.6)
    return features, is_fraud


def make_sound(examples: Examples) -> Examples:
    """Return examples whose columns hold what they are declared to: whole counts, shares, and nothing below 0."""
    return replace(examples, features=make_sound_matrix(examples.features))


def make_sound_matrix(given: np.ndarray) -> np.ndarray:
    """Return the same of the columns alone."""
    features = np.abs(given)
    for at, feature in enumerate(payments.all_features):
        if feature.aggregate in {"count", "distinct", "new"}:
            features[:, at] = np.floor(features[:, at])
        if feature.aggregate in {"new", "ratio", "risk"}:
            features[:, at] = np.minimum(features[:, at], 1.0)
    return features


def build_world(rows: int = 6_000, days: int = 90, seed: int = 5) -> tuple[Examples, pa.Table, np.ndarray]:
    """Return examples over some days, a label for each, known three days after the event, and the truth."""
    features, is_fraud = build_matrix(rows, seed)
    times = (START_MS + np.linspace(0, days * DAY_MS, rows, endpoint=False)).astype(np.int64)
    ids = [f"t{i}" for i in range(rows)]
    cards = [f"card_{i % 50}" for i in range(rows)]
    examples = Examples(features, times, build_keys(pa.table({"card_id": cards, "transaction_id": ids}), payments))
    labels = pa.table(
        {
            "transaction_id": ids,
            "card_id": cards,
            "event_time_ms": times,
            "label_time_ms": times + 3 * DAY_MS,
            "is_fraud": is_fraud,
        }
    )
    return examples, labels, is_fraud
