"""The gates before a model decides: each is passed or not, with its number. Pure.

What cannot be measured is not passed, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from weir.inference.published.gate import Gate
from weir.schemas.gate_bounds import GateBounds
from weir.training.gates.adversarial import Attacked, judge_attacked
from weir.training.gates.fairness import judge_groups
from weir.training.gates.figures import (
    Floats,
    Interval,
    Labels,
    compare_means,
    compare_pr_auc,
    compute_ece,
    estimate_pr_auc,
)
from weir.training.gates.leakage import (
    OWN_FIGURES,
    InputLeak,
    Taught,
    judge_inputs,
    judge_own_figures,
    judge_time_order,
)
from weir.training.gates.stability import Stability, judge_stability
from weir.training.parity import DIFFERENCE_MAX
from weir.training.thresholds import FLAGGED_SHARE_MAX, Thresholds

SLOWER_MAX = 1.2
"""Times the champion's: a slower model is less throughput for everybody."""
SCORE_DIFFERENCE_MAX = 1e-6
"""Between a logged score and the one that is computed now from the logged vector."""


@dataclass(frozen=True)
class Scored:
    """A model on labelled rows that are later than what taught it.

    Attributes:
        scores: float64, shape (rows,).
        stability: how steady its decisions are.
        calibrated: probabilities by its own map, float64, shape (rows,); None where it has none.
    """

    scores: Floats
    thresholds: Thresholds
    stability: Stability
    calibrated: Floats | None = None

    @property
    def probabilities(self) -> Floats:
        """What its decisions say that a score is worth; the score where they say nothing."""
        return self.scores if self.calibrated is None else self.calibrated


@dataclass(frozen=True)
class Later:
    """Both models on the same interval.

    Attributes:
        positive: 0 or 1, shape (rows,).
        champion: None where nothing decides yet.
        leak: of the challenger's inputs.
        groups: which each row is in, by what the stream declares.
    """

    positive: Labels
    challenger: Scored
    champion: Scored | None
    leak: InputLeak
    groups: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reproduced:
    """Logged vectors scored again by the model that decided.

    Attributes:
        difference: the largest of a score.
    """

    rows: int
    difference: float


@dataclass(frozen=True)
class Measured:
    """All that is judged; text says why something was not measured.

    Attributes:
        later: both models on later rows.
        parity: largest difference to the trained model, as the manifest says it.
        own_pr_auc: of the test interval of its training; None where its manifest tells of none.
        microseconds: per row, of the challenger and of the champion.
        taught: what the challenger was taught by.
        reproduced: the champion on logged vectors; None where nothing decides yet.
        redteam: what attackers took past both; None for a stream that no attack is made for.
    """

    later: Later | str
    parity: float | None
    own_pr_auc: float | str | None
    microseconds: tuple[float, float | None]
    taught: Taught | str
    reproduced: Reproduced | str | None
    redteam: Attacked | None = None


def judge(measured: Measured, groups: tuple[str, ...] = (), bounds: GateBounds | None = None) -> list[Gate]:
    """Return every gate.

    Args:
        measured: of both models.
        groups: that the stream declares.
        bounds: of the project; by default those that are shipped.
    """
    bounds = bounds or GateBounds()
    later = measured.later
    return [
        *_judge_figures(later, bounds),
        *_judge_fairness(later, groups, bounds),
        *_judge_stability(later, bounds),
        *judge_inputs(later if isinstance(later, str) else later.leak, bounds),
        judge_time_order(measured.taught),
        _judge_own_figures(later, measured.own_pr_auc, bounds),
        *judge_attacked(measured.redteam, bounds),
        judge_latency(*measured.microseconds, bounds),
        _judge_parity(measured.parity),
        _judge_reproduced(measured.reproduced),
    ]


def judge_latency(ours: float, theirs: float | None, bounds: GateBounds) -> Gate:
    """Return the gate of a model's time per row, in microseconds, next to that of the champion."""
    limit = max(bounds.latency_us, SLOWER_MAX * (theirs or 0.0))
    return Gate("latency", ours <= limit, f"{ours:.1f} µs a row", f"at most {limit:.1f} µs")


def _judge_figures(later: Later | str, bounds: GateBounds) -> Iterator[Gate]:
    gates: dict[str, Callable[[Later], Gate]] = {
        "PR-AUC": _judge_ranking,
        "false positives, review": partial(_judge_false_positives, of="review"),
        "false positives, decline": partial(_judge_false_positives, of="decline"),
        "calibration, Brier": _judge_brier,
        "calibration, ECE": partial(_judge_ece, bound=bounds.ece),
    }
    for name, gate in gates.items():
        yield _not_measured(name, later) if isinstance(later, str) else gate(later)


def _judge_fairness(later: Later | str, groups: tuple[str, ...], bounds: GateBounds) -> Iterator[Gate]:
    if isinstance(later, str):
        for name in groups:
            yield _not_measured(f"demographic parity, {name}", later)
            yield _not_measured(f"equal opportunity, {name}", later)
        return
    flagged = [_flag(each, "review") > 0 for each in (later.challenger, later.champion) if each is not None]
    theirs = flagged[1] if later.champion else None
    own = bounds.demographic_parity, bounds.equal_opportunity
    yield from judge_groups(later.positive, later.groups, flagged[0], theirs, own)


def _judge_stability(later: Later | str, bounds: GateBounds) -> Iterator[Gate]:
    if isinstance(later, str):
        yield from (_not_measured(f"stability, {of}", later) for of in ("small changes", "missing inputs"))
        return
    theirs = later.champion.stability if later.champion else None
    yield from judge_stability(later.challenger.stability, theirs, bounds)


def _judge_own_figures(later: Later | str, own: float | str | None, bounds: GateBounds) -> Gate:
    """Return the gate; of a model from elsewhere it asks nothing and says so, and the model's dates are judged."""
    if own is None:
        return Gate(OWN_FIGURES, True, "does not apply: the manifest has no figures of a test interval",
                    "asked of models that have such figures, as `weir train` writes them")  # fmt: skip
    if isinstance(own, str) or isinstance(later, str):
        return _not_measured(OWN_FIGURES, own if isinstance(own, str) else str(later))
    return judge_own_figures(own, estimate_pr_auc(later.positive, later.challenger.scores), bounds)


def _judge_ranking(later: Later) -> Gate:
    name, share = "PR-AUC", float(later.positive.mean())
    if later.champion is None:
        chance = np.full(len(later.positive), share)
        found = compare_pr_auc(later.positive, later.challenger.scores, chance)
        return Gate(name, found.low > 0, _over(found, "chance"), "above chance: nothing decides yet")
    found = compare_pr_auc(later.positive, later.challenger.scores, later.champion.scores)
    return Gate(name, found.high >= 0, _over(found, "champion"), "not below the champion's beyond noise")


def _judge_false_positives(later: Later, *, of: str) -> Gate:
    legitimate = later.positive == 0
    rates = [_flag(each, of)[legitimate] for each in (later.challenger, later.champion) if each is not None]
    name = f"false positives, {of}"
    if later.champion is None:
        rate = float(rates[0].mean())
        return Gate(name, rate <= FLAGGED_SHARE_MAX, f"{rate:.2%}", f"at most {FLAGGED_SHARE_MAX:.1%}")
    found = compare_means(*rates)
    text = f"{rates[0].mean():.3%}, champion {rates[1].mean():.3%}"
    return Gate(name, found.low <= 0, text, "not above the champion's beyond noise")


def _judge_brier(later: Later) -> Gate:
    name, ours = "calibration, Brier", (later.challenger.probabilities - later.positive) ** 2
    if later.champion is None:
        share = float(later.positive.mean())
        found = float(ours.mean())
        return Gate(name, found <= share * (1 - share), f"{found:.5f}", "below that of the fraud share alone")
    found_both = compare_means(ours, (later.champion.probabilities - later.positive) ** 2)
    return Gate(name, found_both.low <= 0, _over(found_both, "champion"), "not above the champion's beyond noise")


def _judge_ece(later: Later, *, bound: float) -> Gate:
    found = compute_ece(later.positive, later.challenger.probabilities)
    limit = bound if later.champion is None else max(bound, compute_ece(later.positive, later.champion.probabilities))
    return Gate("calibration, ECE", found <= limit, f"{found:.4f}", f"at most {limit:.4f}")


def _judge_parity(found: float | None) -> Gate:
    wanted = f"at most {DIFFERENCE_MAX:g} from the trained model"
    if found is None:
        return Gate("parity", False, "not measured: the manifest has no parity_max_abs_diff", wanted)
    return Gate("parity", found <= DIFFERENCE_MAX, f"{found:.2g}", wanted)


def _judge_reproduced(found: Reproduced | str | None) -> Gate:
    wanted = f"the champion's logged scores to {SCORE_DIFFERENCE_MAX:g}"
    if found is None:
        return Gate("reproduction", True, "does not apply: nothing decides yet, so there is no champion", wanted)
    if isinstance(found, str):
        return Gate("reproduction", False, f"not measured: {found}", wanted)
    text = f"{found.rows:,} rows, at most {found.difference:.2g} apart"
    return Gate("reproduction", found.difference <= SCORE_DIFFERENCE_MAX, text, wanted)


def _not_measured(name: str, why: str) -> Gate:
    return Gate(name, False, f"not measured: {why}", "labelled rows")


def _flag(scored: Scored, of: str) -> Floats:
    limit = scored.thresholds.review if of == "review" else scored.thresholds.decline
    flagged: Floats = (scored.scores >= limit).astype(np.float64)
    return flagged


def _over(found: Interval, other: str) -> str:
    return f"{found} over {other}"
