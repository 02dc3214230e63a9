"""The gates before a model decides: each is passed or not, with its number. Pure.

What cannot be measured is not passed, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from weir.training.choosing.figures import Floats, Interval, Labels, compare_means, compare_pr_auc, compute_ece
from weir.training.choosing.gate import Gate
from weir.training.parity import DIFFERENCE_MAX
from weir.training.thresholds import FLAGGED_SHARE_MAX, Thresholds

ECE_MAX = 0.01
"""A model may be less well calibrated than the champion as long as its scores are off by no more than this."""
MICROSECONDS_MAX = 20.0
"""Per row; what all else of a decision costs is several times that."""
SLOWER_MAX = 1.2
"""Times the champion's: a slower model is less throughput for everybody."""
SCORE_DIFFERENCE_MAX = 1e-6
"""Between a logged score and the one that is computed now from the logged vector."""


@dataclass(frozen=True)
class Scored:
    """A model on labelled rows that are later than what taught it.

    Attributes:
        scores: float64, shape (rows,).
    """

    scores: Floats
    thresholds: Thresholds


@dataclass(frozen=True)
class Later:
    """Both models on the same interval.

    Attributes:
        positive: 0 or 1, shape (rows,).
        champion: None where nothing decides yet.
    """

    positive: Labels
    challenger: Scored
    champion: Scored | None


@dataclass(frozen=True)
class Reproduced:
    """Logged vectors scored again by the model that decided.

    Attributes:
        difference: the largest of a score.
    """

    rows: int
    difference: float


def judge(
    later: Later | str, parity: float | None, microseconds: tuple[float, float | None], reproduced: Reproduced | str
) -> list[Gate]:
    """Return every gate.

    Args:
        later: both models on later rows, or why there are none.
        parity: largest difference to the trained model, as the manifest says it.
        microseconds: per row, of the challenger and of the champion.
        reproduced: the champion on logged vectors, or why that is not known.
    """
    return [*_judge_figures(later), judge_latency(*microseconds), _judge_parity(parity), _judge_reproduced(reproduced)]


def _judge_figures(later: Later | str) -> Iterator[Gate]:
    gates: dict[str, Callable[[Later], Gate]] = {
        "PR-AUC": _judge_ranking,
        "false positives, review": partial(_judge_false_positives, of="review"),
        "false positives, decline": partial(_judge_false_positives, of="decline"),
        "calibration, Brier": _judge_brier,
        "calibration, ECE": _judge_ece,
    }
    for name, gate in gates.items():
        yield Gate(name, False, f"not measured: {later}", "labelled rows") if isinstance(later, str) else gate(later)


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
    name, ours = "calibration, Brier", (later.challenger.scores - later.positive) ** 2
    if later.champion is None:
        share = float(later.positive.mean())
        found = float(ours.mean())
        return Gate(name, found <= share * (1 - share), f"{found:.5f}", "below that of the fraud share alone")
    found_both = compare_means(ours, (later.champion.scores - later.positive) ** 2)
    return Gate(name, found_both.low <= 0, _over(found_both, "champion"), "not above the champion's beyond noise")


def _judge_ece(later: Later) -> Gate:
    found = compute_ece(later.positive, later.challenger.scores)
    limit = ECE_MAX if later.champion is None else max(ECE_MAX, compute_ece(later.positive, later.champion.scores))
    return Gate("calibration, ECE", found <= limit, f"{found:.4f}", f"at most {limit:.4f}")


def judge_latency(ours: float, theirs: float | None) -> Gate:
    """Return the gate of a model's time per row, in microseconds, next to that of the champion."""
    limit = max(MICROSECONDS_MAX, SLOWER_MAX * (theirs or 0.0))
    return Gate("latency", ours <= limit, f"{ours:.1f} µs a row", f"at most {limit:.1f} µs")


def _judge_parity(found: float | None) -> Gate:
    wanted = f"at most {DIFFERENCE_MAX:g} from the trained model"
    if found is None:
        return Gate("parity", False, "not measured: the manifest has no parity_max_abs_diff", wanted)
    return Gate("parity", found <= DIFFERENCE_MAX, f"{found:.2g}", wanted)


def _judge_reproduced(found: Reproduced | str) -> Gate:
    wanted = f"the champion's logged scores to {SCORE_DIFFERENCE_MAX:g}"
    if isinstance(found, str):
        return Gate("reproduction", False, f"not measured: {found}", wanted)
    text = f"{found.rows:,} rows, at most {found.difference:.2g} apart"
    return Gate("reproduction", found.difference <= SCORE_DIFFERENCE_MAX, text, wanted)


def _flag(scored: Scored, of: str) -> Floats:
    limit = scored.thresholds.review if of == "review" else scored.thresholds.decline
    flagged: Floats = (scored.scores >= limit).astype(np.float64)
    return flagged


def _over(found: Interval, other: str) -> str:
    return f"{found} over {other}"
