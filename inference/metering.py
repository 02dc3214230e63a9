"""What a scored batch says to the metrics. Labels are outcomes, causes and stages, never ids."""

from __future__ import annotations

from collections import Counter

import numpy as np

from weir.inference.core.decisions import OUTCOMES
from weir.inference.decide import Scored, compute_ages_seconds
from weir.monitoring import metrics
from weir.monitoring.logs import correlation_id, get_logger

STAGE = "score"
log = get_logger(__name__)


def meter_scored(scored: Scored, *, topic: str, seconds: float, now_ms: int) -> None:
    """Count a committed batch.

    Args:
        scored: what was committed.
        topic: of the decisions.
        seconds: from gathered to committed.
        now_ms: UTC epoch ms.
    """
    decided = len(scored.decisions.values)
    records = decided + len(scored.unreadable)
    metrics.RECORDS_CONSUMED.labels(stage=STAGE).inc(records)
    metrics.RECORDS_DECIDED.labels(stage=STAGE).inc(records)
    metrics.BATCH_RECORDS.labels(stage=STAGE).observe(records)
    metrics.STAGE_SECONDS.labels(stage=STAGE, step="batch").observe(seconds)
    if not decided:
        return
    metrics.RECORDS_PRODUCED.labels(stage=STAGE, topic=topic).inc(decided)
    _meter_outcomes(scored)
    _meter_degraded(scored)
    metrics.END_TO_END_SECONDS.labels(stage=STAGE).observe_many(compute_ages_seconds(scored.rows, now_ms))


def _meter_outcomes(scored: Scored) -> None:
    judgement = scored.judgement
    for outcome, count in enumerate(np.bincount(judgement.outcomes, minlength=len(OUTCOMES)).tolist()):
        if count:
            metrics.DECISIONS.labels(decision=OUTCOMES[outcome]).inc(count)
    scores = judgement.scores[~np.isnan(judgement.scores)]
    metrics.SCORES.observe_many(scores.astype(np.float64))
    if judgement.failed:
        metrics.FALLBACK_DECISIONS.labels(cause="score_unavailable").inc(judgement.failed)
        log.error("score_unavailable", rows=judgement.failed)


def _meter_degraded(scored: Scored) -> None:
    for cause, count in Counter(scored.degraded_by.flatten().to_pylist()).items():
        metrics.DEGRADED_DECISIONS.labels(cause=cause).inc(count)


def log_refused(scored: Scored, source_topic: str) -> None:
    """Log each decision that is no approval, at debug level, by its correlation id."""
    partitions, offsets = scored.rows.column("source_partition"), scored.rows.column("source_offset")
    for row in np.flatnonzero(scored.judgement.outcomes).tolist():
        log.debug(
            "not_approved",
            correlation_id=correlation_id(source_topic, partitions[row].as_py(), offsets[row].as_py()),
            decision=OUTCOMES[int(scored.judgement.outcomes[row])],
            codes=[reason.code for reason in scored.judgement.reasons[row]],
        )
