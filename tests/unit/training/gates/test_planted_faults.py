"""Models with one fault each: every gate stops its own, and passes the model without one.

The world is one whose truth is known: fraud is drawn from a probability that three inputs say, and the honest model
says just that. So it is calibrated, and nothing knows more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from weir.schemas.streams.payments import payments
from weir.training.gates import measure
from weir.training.gates.judge import Measured, Reproduced, judge
from weir.training.gates.leakage import Taught
from weir.training.thresholds import Thresholds

NAMES = payments.feature_names
CUT = Thresholds(review=0.4, decline=0.8)
BURST, AMOUNT, NEW, SPARE = (
    NAMES.index(name)
    for name in ("card_event_count_1h", "card_amount_zscore_30d", "customer_event_age_30d", "ip_event_age_30d")
)
Score = Callable[[np.ndarray], np.ndarray]


def honest(rows: np.ndarray) -> np.ndarray:
    """Return the probability of fraud."""
    burst, amount, new = (np.nan_to_num(rows[:, at].astype(np.float64)) for at in (BURST, AMOUNT, NEW))
    return 1 / (1 + np.exp(9 - 0.9 * burst - 1.4 * amount - 0.8 * new))


@dataclass
class _Model:
    """A bundle, as far as it is measured."""

    score: Score
    cut: Thresholds = CUT
    names: tuple[str, ...] = NAMES
    version: str = "planted"
    calibration: None = None

    @property
    def manifest(self) -> Any:
        return SimpleNamespace(thresholds=self.cut, version=self.version)

    @property
    def reference(self) -> np.ndarray:
        return np.zeros(len(self.names))


@dataclass(frozen=True)
class _World:
    """What is judged, and by which rows."""

    rows: measure.LaterRows
    score: Score = honest
    cut: Thresholds = CUT
    microseconds: float = 3.0
    own_pr_auc: float = 0.4
    taught: Taught = field(default_factory=lambda: Taught(until_ms=1, created_ms=2))
    parity: float = 1e-7
    reproduced: float = 0.0
    has_champion: bool = True

    def failed(self) -> set[str]:
        """Return the gates that are not passed."""
        champion: Any = _Model(honest) if self.has_champion else None
        later = measure.measure_later(self.rows, payments, _Model(self.score, self.cut), champion)  # type: ignore[arg-type]
        measured = Measured(
            later=later,
            parity=self.parity,
            own_pr_auc=self.own_pr_auc,
            microseconds=(self.microseconds, 3.0),
            taught=self.taught,
            reproduced=Reproduced(1_000, self.reproduced),
        )
        return {gate.name for gate in judge(measured, tuple(payments.groups)) if not gate.passed}


def _draw(count: int = 20_000) -> _World:
    random = np.random.default_rng(8)
    features = np.full((count, len(NAMES)), np.nan, np.float32)
    features[:, BURST] = random.poisson(1.5, count)
    features[:, AMOUNT] = random.normal(0, 1.5, count)
    features[:, NEW] = random.exponential(1.0, count)
    features[:, SPARE] = random.random(count)
    positive = (random.random(count) < honest(features)).astype(np.int8)
    groups = {
        "country": pa.array(random.choice(["DE", "FR", "GB"], count)),
        "channel": pa.array(random.choice(["POS", "ECOM"], count)),
    }
    return _World(measure.LaterRows(features, positive, 0, 1, groups))


WORLD = _draw()
POSITIVE = WORLD.rows.positive


def _with_input(values: np.ndarray) -> measure.LaterRows:
    features = WORLD.rows.features.copy()
    features[:, SPARE] = values
    return replace(WORLD.rows, features=features)


def _in_france(also: np.ndarray) -> Mapping[str, Any]:
    country = np.where(also, "FR", np.array(["DE", "GB"])[np.arange(len(also)) % 2])
    return {**WORLD.rows.groups, "country": pa.array(country)}


def _by_digits(rows: np.ndarray) -> np.ndarray:
    """Say something else for some rows, by digits of the amount that mean nothing."""
    scores = honest(rows)
    odd = (np.nan_to_num(rows[:, AMOUNT]) * 1e5).astype(np.int64) % 2 == 1
    return np.where(odd & (scores > 0.25) & (scores < 0.55), 0.8 - scores, scores)


def _by_presence(rows: np.ndarray) -> np.ndarray:
    """Take a customer of whom nothing is known for a fraudster."""
    return np.where(np.isnan(rows[:, NEW]), 0.9, honest(rows))


def _noisy(rows: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).permutation(honest(rows))


def _late_label() -> _World:
    """An input that is there where fraud was reported, as a column of chargebacks is."""
    return replace(WORLD, rows=_with_input(np.where(POSITIVE == 1, 1.0, np.nan)))


def _too_good() -> _World:
    """An input that knows nearly all of what will be reported."""
    noise = np.random.default_rng(2).normal(0, 1, len(POSITIVE))
    return replace(WORLD, rows=_with_input(3.2 * POSITIVE + noise))


def _unlike_shares() -> _World:
    """All that is flagged is of one country, and rightly so: the shares differ, and the honest are treated alike."""
    fraud_like = honest(WORLD.rows.features) >= CUT.review
    legitimate = np.random.default_rng(3).random(len(POSITIVE)) < 0.01
    return replace(
        WORLD,
        has_champion=False,
        rows=replace(WORLD.rows, groups=_in_france(np.where(POSITIVE == 1, fraud_like, legitimate))),
    )


def _unlike_chances() -> _World:
    """The honest of one country are flagged more often."""
    flagged = honest(WORLD.rows.features) >= CUT.review
    also = (POSITIVE == 0) & flagged | (np.random.default_rng(3).random(len(POSITIVE)) < 0.1)
    return replace(WORLD, has_champion=False, rows=replace(WORLD.rows, groups=_in_france(also)))


FAULTS: dict[str, tuple[Callable[[], _World], set[str]]] = {
    "label in an input": (_late_label, {"leakage, label in an input", "leakage, one input"}),
    "an input that is too good": (_too_good, {"leakage, one input"}),
    "a value of the future in its history": (lambda: replace(WORLD, own_pr_auc=0.97), {"leakage, own figures"}),
    "taught by what was not over": (lambda: replace(WORLD, taught=Taught(3, 2)), {"leakage, time order"}),
    "groups flagged unlike": (_unlike_shares, {"demographic parity, country"}),
    "the honest of groups flagged unlike": (_unlike_chances, {"equal opportunity, country"}),
    "decides by meaningless digits": (
        lambda: replace(WORLD, score=_by_digits),
        {"stability, small changes", "PR-AUC", "calibration, Brier", "false positives, review"},
    ),
    "flags what is not known": (lambda: replace(WORLD, score=_by_presence), {"stability, missing inputs"}),
    "slow": (lambda: replace(WORLD, microseconds=40.0), {"latency"}),
    "scores that are no probabilities": (
        lambda: replace(WORLD, score=lambda rows: honest(rows) ** 0.6, cut=Thresholds(0.4**0.6, 0.8**0.6)),
        {"calibration, Brier", "calibration, ECE"},
    ),
    "reviews more of the honest": (lambda: replace(WORLD, cut=Thresholds(0.25, 0.8)), {"false positives, review"}),
    "declines more of the honest": (lambda: replace(WORLD, cut=Thresholds(0.4, 0.5)), {"false positives, decline"}),
    "an export that is not the model": (lambda: replace(WORLD, parity=0.57), {"parity"}),
    "a champion that is not reproduced": (lambda: replace(WORLD, reproduced=0.01), {"reproduction"}),
}


def test_the_honest_model_passes_every_gate() -> None:
    assert WORLD.failed() == set()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_by_its_own_gates_and_no_other(name: str) -> None:
    build, gates = FAULTS[name]
    assert build().failed() == gates


def test_a_champion_that_treats_groups_as_unlike_is_no_reason_to_stop_the_next_one() -> None:
    assert replace(_unlike_shares(), has_champion=True).failed() == set()


def test_a_model_that_ranks_by_chance_is_stopped_by_its_ranking() -> None:
    failed = replace(WORLD, score=_noisy).failed()
    assert {"PR-AUC", "leakage, own figures", "calibration, Brier"} <= failed
