"""The scorer: features in, decisions out, exactly once. It keeps no state but its position.

A batch, in the order that makes it right (1 and 4 in ``inference/follower.py``):

1. *Gather* feature rows, then take the consumer group's metadata. Nothing polls again before step 3: a row held across
   a poll could be committed with fresh metadata after another member has decided it.
2. *Decide*: decode, score, apply lists, rules and thresholds, explain (``inference/decide.py``).
3. *Commit*: one Kafka transaction with decisions, dead letters and these partitions' offsets.
4. *Advance* our positions; after an abort instead forget what was gathered and go back to what is committed.

A new bundle is taken over between two batches, so every decision is made by one model.

Delivery: exactly once. Each feature row has one output, a decision or a dead letter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from weir.inference.champion import Champion
from weir.inference.decide import Decided, Decider, DecisionWriter
from weir.inference.metering import log_refused, meter_scored
from weir.infra.kafka.sink import Aborted, Offsets, Record, Rows, TransactionalOutput
from weir.infra.kafka.source import Gathered
from weir.monitoring import metrics
from weir.monitoring.logs import correlation_id, get_logger
from weir.streaming.dlq.build import build_dead_letter
from weir.streaming.feature_rows import FeatureRowReader, ReadRows
from weir.streaming.metering import meter_dead_letters
from weir.streaming.stage import DeadRecord

STAGE = "score"
log = get_logger(__name__)


def no_step(name: str) -> None:
    """Do nothing: the default of ``on_step``, which tests use to stop the process at a numbered step."""
    del name


def read_clock_ms() -> int:
    """Return UTC epoch ms."""
    return int(time.time() * 1_000)


@dataclass(frozen=True)
class ScorerConfig:
    """Names the scorer writes to, and its hooks.

    Attributes:
        features_id: the topic id of the feature rows, committed next to each offset.
    """

    source_topic: str
    decisions_topic: str
    dlq_topic: str
    features_id: str
    group: str
    dlq_header_prefix: str
    on_step: Callable[[str], None] = field(default=no_step)
    now_ms: Callable[[], int] = field(default=read_clock_ms)


class Scorer:
    """Steps 2 and 3; a ``Follower`` of the features topic calls ``handle`` and, between batches, ``champion.poll``."""

    def __init__(
        self,
        config: ScorerConfig,
        output: TransactionalOutput,
        reader: FeatureRowReader,
        writer: DecisionWriter,
        champion: Champion,
        decider: Decider,
    ) -> None:
        """Bind to ports."""
        self._config = config
        self._output = output
        self._reader = reader
        self._writer = writer
        self._champion = champion
        self._decider = decider

    def warm_up(self) -> None:
        """Decide nothing once: what libraries import on first use (0.5 s) must not fall into the first batch."""
        self._writer.to_avro(self._decider.decide(self._reader.from_avro([]).batch), decision_time_ms=0)

    def handle(self, gathered: Gathered) -> None:
        """Decide a batch and commit it.

        Raises:
            Transient: the registry is away or the Kafka transaction was aborted; nothing of the batch is visible.
            Fenced: another instance has this one's place; the process must end.
        """
        started = time.perf_counter()
        self._config.on_step("gathered")  # 1
        read, decided, decisions = self._decide(gathered)  # 2
        self._config.on_step("decided")
        self._commit(gathered, read, decisions)  # 3
        self._config.on_step("committed")
        log_refused(decided, self._config.source_topic)
        meter_scored(
            decided,
            unreadable=len(read.unreadable),
            topic=self._config.decisions_topic,
            seconds=time.perf_counter() - started,
            now_ms=self._config.now_ms(),
        )

    def _decide(self, gathered: Gathered) -> tuple[ReadRows, Decided, Rows]:
        messages = [message for partition in sorted(gathered.records) for message in gathered.records[partition]]
        with metrics.STAGE_SECONDS.labels(stage=STAGE, step="score").time():
            read = self._reader.from_avro(messages)
            decided = self._decider.decide(read.batch)
            return read, decided, self._writer.to_avro(decided, decision_time_ms=self._config.now_ms())

    def _commit(self, gathered: Gathered, read: ReadRows, decisions: Rows) -> None:
        refused = [DeadRecord(message, error, STAGE) for message, error in read.unreadable]
        letters = [self._build_dead_letter(dead) for dead in refused]
        ends = {partition: records[-1].offset() + 1 for partition, records in gathered.records.items()}
        notes = dict.fromkeys(ends, self._config.features_id)
        self._config.on_step("committing")
        with metrics.STAGE_SECONDS.labels(stage=STAGE, step="commit").time():
            try:
                self._output.commit([decisions], letters, Offsets(ends, notes, gathered.metadata))
            except Aborted:
                metrics.KAFKA_TRANSACTIONS_ABORTED.labels(stage=STAGE, cause="kafka").inc()
                raise
        metrics.KAFKA_TRANSACTIONS_COMMITTED.labels(stage=STAGE).inc()
        meter_dead_letters(refused, letters)

    def _build_dead_letter(self, dead: DeadRecord) -> Record:
        config = self._config
        where = correlation_id(dead.message.topic(), dead.message.partition(), dead.message.offset())
        log.warning("unreadable_feature_row", correlation_id=where, reason=dead.error.reason)
        return build_dead_letter(dead, dlq_topic=config.dlq_topic, group=config.group, prefix=config.dlq_header_prefix)
