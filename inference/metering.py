"""What a scored batch says to the metrics. Labels are outcomes, causes and stages, never ids."""

from __future__ import annotations

from collections import Counter

import numpy as np

from weir.inference.core.decisions import DECLINE, OUTCOMES, Judgement
from weir.inference.core.records import Shadowed
from weir.inference.decide import Decided, compute_ages_seconds
from weir.monitoring import metrics
from weir.monitoring.logs import correlation_id, get_logger

STAGE = "score"
_SHADOW_SCORED, _SHADOW_FAILED = (metrics.SHADOW_SCORED.labels(result=each) for each in ("scored", "failed"))
log = get_logger(__name__)


def meter_decisions(decided: Decided, *, now_ms: int) -> None:
    """Count the decisions of a committed batch, and observe how old their events are at ``now_ms``, UTC epoch ms."""
    if not len(decided.batch):
        return
    _meter_outcomes(decided)
    _meter_degraded(decided)
    if decided.shadow is not None:
        _meter_shadow(decided.shadow)
    metrics.END_TO_END_SECONDS.labels(stage=STAGE).observe_many(compute_ages_seconds(decided.batch.rows, now_ms))


def _meter_outcomes(decided: Decided) -> None:
    judgement = decided.judgement
    for outcome, count in enumerate(np.bincount(judgement.outcomes, minlength=len(OUTCOMES)).tolist()):
        if count:
            metrics.DECISIONS.labels(decision=OUTCOMES[outcome]).inc(count)
        if count and decided.canary is not None:
            by = "canary" if decided.canary else "champion"
            metrics.CANARY_DECISIONS.labels(by=by, decision=OUTCOMES[outcome]).inc(count)
    _meter_let_through(judgement)
    scores = judgement.scores[~np.isnan(judgement.scores)]
    metrics.SCORES.observe_many(scores.astype(np.float64))
    for rule, count in judgement.shadow_hits.items():  # at most RULES_MAX names
        metrics.SHADOW_RULE_HITS.labels(rule=rule).inc(count)
    if judgement.failed:
        metrics.FALLBACK_DECISIONS.labels(cause="score_unavailable").inc(judgement.failed)
        log.error("score_unavailable", rows=judgement.failed)


def _meter_let_through(judgement: Judgement) -> None:
    if judgement.propensity is None:
        return
    chosen = judgement.outcomes[~np.isnan(judgement.propensity) & (judgement.outcomes != DECLINE)]
    if len(chosen):  # all have one outcome, that of the published text
        decision = OUTCOMES[chosen[0]]
        metrics.LET_THROUGH.labels(decision=decision).inc(len(chosen))
        metrics.LET_THROUGH_MINOR.labels(decision=decision).inc(judgement.let_through_minor)


def _meter_degraded(decided: Decided) -> None:
    for cause, count in Counter(decided.degraded_by.flatten().to_pylist()).items():
        metrics.DEGRADED_DECISIONS.labels(cause=cause).inc(count)


def _meter_shadow(shadow: Shadowed) -> None:
    missing = np.isnan(shadow.scores)
    given = shadow.scores[~missing] if missing.any() else shadow.scores
    metrics.SHADOW_SCORES.observe_many(given.astype(np.float64))
    _SHADOW_SCORED.inc(len(given))
    if failed := len(shadow.scores) - len(given):
        _SHADOW_FAILED.inc(failed)


def log_refused(decided: Decided, source_topic: str) -> None:
    """Log each decision that is no approval, at debug level, by its correlation id."""
    rows, judgement = decided.batch.rows, decided.judgement
    partitions, offsets = rows.column("source_partition"), rows.column("source_offset")
    for row in np.flatnonzero(judgement.outcomes).tolist():
        log.debug(
            "not_approved",
            correlation_id=correlation_id(source_topic, partitions[row].as_py(), offsets[row].as_py()),
            decision=OUTCOMES[int(judgement.outcomes[row])],
            codes=[reason.code for reason in judgement.reasons[row]],
        )
