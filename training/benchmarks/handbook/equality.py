"""How far the features that the stream computes are from the Handbook's definitions, feature by feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from weir.training.benchmarks.handbook.definitions import WINDOWS_S, compute_features, compute_risk
from weir.training.benchmarks.handbook.replay import Matrix
from weir.training.benchmarks.handbook.simulator import Floats, Payments
from weir.training.benchmarks.handbook.stream import PUBLISHED

_ROUNDING: Final = 1e-6
"""Of a value's size: the stream's features are float32."""


@dataclass(frozen=True)
class Difference:
    """One feature, held to its definition.

    Attributes:
        equal: rows where both are equal, up to the rounding of float32.
        equal_by_panes: rows that equal the definition over whole panes; all rows for a feature without panes.
        p99: the difference that 99 % of rows do not exceed.
        largest: the largest difference.
    """

    name: str
    published: str
    rows: int
    equal: int
    equal_by_panes: int
    p99: float
    largest: float


def compare(payments: Payments, features: Matrix) -> list[Difference]:
    """Compare each of the 15 features with its definition; a missing label risk is the Handbook's 0."""
    defined = compute_features(payments)
    panes = {f"terminal_label_risk_{window}": compute_risk(payments, window) for window in WINDOWS_S}
    found = np.nan_to_num(features[:, : len(PUBLISHED)]).astype(np.float64) / [_unit(name) for name in PUBLISHED]
    return [
        _compare(names, found[:, column], defined[:, column], panes.get(names[0], defined[:, column]))
        for column, names in enumerate(PUBLISHED.items())
    ]


def _unit(name: str) -> int:
    """Return what divides a feature: the stream's means are of whole cents, the Handbook's of its currency's unit."""
    return 100 if "_amount_mean_" in name else 1


def _compare(names: tuple[str, str], found: Floats, defined: Floats, by_panes: Floats) -> Difference:
    apart = np.abs(found - defined)
    return Difference(
        *names,
        rows=len(found),
        equal=_count_equal(found, defined),
        equal_by_panes=_count_equal(found, by_panes),
        p99=float(np.quantile(apart, 0.99)),
        largest=float(apart.max()),
    )


def _count_equal(found: Floats, expected: Floats) -> int:
    return int((np.abs(found - expected) <= _ROUNDING * np.maximum(1.0, np.abs(expected))).sum())
