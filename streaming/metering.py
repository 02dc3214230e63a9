"""What a committed batch says to the metrics of its records. Before the commit nothing of it has happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from weir.infra.kafka.sink import Record
from weir.infra.kafka.source import Gathered, Partition
from weir.monitoring import metrics
from weir.monitoring.health import HEALTH
from weir.streaming.dlq.letter import is_truncated
from weir.streaming.stage import DeadRecord, Outcome

_REPEATS = frozenset({"duplicate", "id_reused"})
_STATE_SAMPLES = 8  # partials measured per entity kind, unit and batch


def meter_turn(stage: str) -> None:
    """Say that a loop has turned, whatever came of it: one that hangs says nothing."""
    metrics.LAST_TURN.labels(stage=stage).set(time.time())
    HEALTH.turn(stage)


def meter_batch(
    stage: str,
    gathered: Gathered,
    outcomes: Sequence[Outcome],
    seconds: float,
    end_of: Callable[[Partition], int | None],
) -> None:
    """Count a batch that was just committed.

    Args:
        stage: that the loop is of.
        gathered: its records.
        outcomes: what came of them.
        seconds: from gathered to committed.
        end_of: gives the end of an input's log, if known.
    """
    records = sum(len(part) for part in gathered.records.values())
    metrics.RECORDS_CONSUMED.labels(stage=stage).inc(records)
    metrics.RECORDS_DECIDED.labels(stage=stage).inc(records)
    metrics.BATCH_RECORDS.labels(stage=stage).observe(records)
    metrics.STAGE_SECONDS.labels(stage=stage, step="batch").observe(seconds)
    for outcome in outcomes:
        for rows in outcome.rows:
            metrics.RECORDS_PRODUCED.labels(stage=stage, topic=rows.topic).inc(len(rows.values))
    for (topic, number), part in gathered.records.items():
        if (end := end_of((topic, number))) is not None:
            behind = max(0, end - part[-1].offset() - 1)
            metrics.LAG_RECORDS.labels(stage=stage, topic=topic, partition=str(number)).set(behind)


def meter_ages(stage: str, gathered: Gathered, at_ms: float) -> None:
    """Observe how long before a time, UTC epoch ms, the first record of each partition was appended."""
    for part in gathered.records.values():
        age_ms = at_ms - part[0].timestamp()[1]
        metrics.END_TO_END_SECONDS.labels(stage=stage).observe(max(0.0, age_ms) / 1_000)


def meter_outcome(outcome: Outcome) -> None:
    """Count what one input's part of a committed batch refused, found late, and found in another partition."""
    meter_dead_letters(outcome.refused, outcome.dead)
    metrics.LATE_RECORDS.inc(outcome.late)
    metrics.ELSEWHERE_RECORDS.inc(outcome.elsewhere)


def meter_units(stage: str, *, live: int, waiting: int) -> None:
    """Say how many units a process has, and how many of them wait to be caught up."""
    metrics.ASSIGNED_PARTITIONS.labels(stage=stage).set(live + waiting)
    metrics.PAUSED_PARTITIONS.labels(stage=stage).set(waiting)


def meter_behind(partition: Partition, records: int) -> None:
    """Say how far Redis is behind what was committed of a partition."""
    topic, number = partition
    metrics.VIEW_BEHIND_RECORDS.labels(topic=topic, partition=str(number)).set(records)


def unmeter(stage: str, partition: Partition) -> None:
    """Say nothing of a partition any more: another process owns it, and says its own next to what was said last."""
    topic, number = partition
    metrics.LAG_RECORDS.labels(stage=stage, topic=topic, partition=str(number)).set(0)


def meter_state(outcome: Outcome) -> None:
    """Observe the size of some of the partials that a batch leaves."""
    sizes: dict[str, list[int]] = {}
    for changed in (part for parts in outcome.changed.values() for part in parts):
        sizes.setdefault(changed.entity, []).extend(map(len, changed.partials[:_STATE_SAMPLES]))
    for entity, found in sizes.items():
        metrics.STATE_BYTES.labels(entity=entity).observe_many(np.array(found, np.float64))


def meter_dead_letters(refused: Sequence[DeadRecord], letters: Sequence[Record]) -> None:
    """Count committed dead letters: the records that were refused, and in the same order what was written of them."""
    for dead, letter in zip(refused, letters, strict=True):
        reason = dead.error.reason
        metrics.DEAD_LETTERS.labels(topic=letter.topic, reason=reason).inc()
        if reason in _REPEATS:
            metrics.DUPLICATE_RECORDS.labels(kind=reason).inc()
        if is_truncated(letter.headers):
            metrics.DEAD_LETTERS_TRUNCATED.labels(topic=letter.topic).inc()
