"""What a committed batch says to the metrics of its records. Before the commit nothing of it has happened."""

from __future__ import annotations

from collections.abc import Sequence

from infra.kafka_output import Record
from monitoring import metrics
from streaming.dlq import is_truncated
from streaming.folder import DeadRecord, Outcome

_REPEATS = frozenset({"duplicate", "id_reused"})


def meter_outcome(outcome: Outcome) -> None:
    """Count what one input's part of a committed batch refused, found late, and found in another partition."""
    meter_dead_letters(outcome.refused, outcome.dead)
    metrics.LATE_RECORDS.inc(outcome.late)
    metrics.ELSEWHERE_RECORDS.inc(outcome.elsewhere)


def meter_dead_letters(refused: Sequence[DeadRecord], letters: Sequence[Record]) -> None:
    """Count committed dead letters: the records that were refused, and in the same order what was written of them."""
    for dead, letter in zip(refused, letters, strict=True):
        reason = dead.error.reason
        metrics.DEAD_LETTERS.labels(topic=letter.topic, reason=reason).inc()
        if reason in _REPEATS:
            metrics.DUPLICATE_RECORDS.labels(kind=reason).inc()
        if is_truncated(letter.headers):
            metrics.DEAD_LETTERS_TRUNCATED.labels(topic=letter.topic).inc()
