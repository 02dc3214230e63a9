"""Feature rows in, decisions out, exactly once: the stage of ``weir score``. It keeps no state but its position.

The middle of a batch of ``streaming/loop.py``: decode rows, score them, apply lists, rules and thresholds, explain
(``inference/decide.py``). A new bundle is taken over between two batches, so every decision is made by one model.

Delivery: exactly once. Each feature row has one output, a decision or a dead letter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import Message

from weir.inference.decide import Decider, DecisionWriter
from weir.inference.metering import log_refused, meter_decisions
from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.sink import Record
from weir.infra.kafka.source import Partition
from weir.monitoring import metrics
from weir.monitoring.logs import correlation_id, get_logger
from weir.streaming.dlq.build import build_dead_letter
from weir.streaming.feature_rows import FeatureRowReader
from weir.streaming.stage import DeadRecord, Outcome

STAGE = "score"
log = get_logger(__name__)


def read_clock_ms() -> int:
    """Return UTC epoch ms."""
    return int(time.time() * 1_000)


@dataclass(frozen=True)
class ScoreStageConfig:
    """Names and hooks of a deployment.

    Attributes:
        topic: of the feature rows.
        source_topic: of the events, for logs.
        begin: says at which offset a partition begins, given where the group stands.
    """

    topic: str
    source_topic: str
    dlq_topic: str
    group: str
    dlq_header_prefix: str
    begin: Callable[[Partition, Standing], int]
    now_ms: Callable[[], int] = field(default=read_clock_ms)


class ScoreStage:
    """Decides feature rows."""

    kind = "f"

    def __init__(
        self, config: ScoreStageConfig, reader: FeatureRowReader, decider: Decider, writer: DecisionWriter
    ) -> None:
        """Bind to ports."""
        self.topic = config.topic
        self._config = config
        self._reader = reader
        self._decider = decider
        self._writer = writer

    def warm_up(self) -> None:
        """Decide nothing once: what libraries import on first use (0.5 s) must not fall into the first batch."""
        self._writer.to_avro(self._decider.decide(self._reader.from_avro([]).batch), decision_time_ms=0)

    def begin(self, partition: Partition, found: Standing) -> int:
        """Return the offset at which a partition begins."""
        return self._config.begin(partition, found)

    def process(self, records: dict[int, list[Message]]) -> Outcome:
        """Decide a batch; see ``streaming.stage.PlainStage``."""
        messages = [message for number in sorted(records) for message in records[number]]
        config = self._config
        with metrics.STAGE_SECONDS.labels(stage=STAGE, step="score").time():
            read = self._reader.from_avro(messages)
            decided = self._decider.decide(read.batch)
            decisions = self._writer.to_avro(decided, decision_time_ms=config.now_ms())
        refused = [DeadRecord(message, error, STAGE) for message, error in read.unreadable]

        def on_committed(seconds: float) -> None:
            del seconds
            log_refused(decided, config.source_topic)
            meter_decisions(decided, now_ms=config.now_ms())

        return Outcome(
            rows=[decisions],
            dead=[self._build_dead_letter(dead) for dead in refused],
            counted=len(decisions.values),
            refused=refused,
            on_committed=on_committed,
        )

    def _build_dead_letter(self, dead: DeadRecord) -> Record:
        config = self._config
        where = correlation_id(dead.message.topic(), dead.message.partition(), dead.message.offset())
        log.warning("unreadable_feature_row", correlation_id=where, reason=dead.error.reason)
        return build_dead_letter(dead, dlq_topic=config.dlq_topic, group=config.group, prefix=config.dlq_header_prefix)
