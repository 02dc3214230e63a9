"""Feature rows in, decisions out, exactly once: the stage of ``weir score``. It keeps no state but its position.

The middle of a batch of ``streaming/loop.py``: decode rows, score them, apply lists, rules and thresholds, explain
(``inference/decide.py``). A new bundle is taken over between two batches, so every decision is made by one model.

Rows that ``weir run`` has decided say so, and are passed by.

Delivery: exactly once. Each feature row that is not decided yet has one output, a decision or a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Message

from weir.inference.decide_step import DecideStep
from weir.inference.metering import STAGE
from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.sink import Record
from weir.infra.kafka.source import Partition
from weir.monitoring.logs import correlation_id, get_logger
from weir.streaming.dlq.build import build_dead_letter
from weir.streaming.feature_rows import FeatureRowReader
from weir.streaming.stage import DeadRecord, Outcome

log = get_logger(__name__)


@dataclass(frozen=True)
class ScoreStageConfig:
    """Names and hooks of a deployment.

    Attributes:
        topic: of the feature rows.
        begin: says at which offset a partition begins, given where the group stands.
    """

    topic: str
    dlq_topic: str
    group: str
    dlq_header_prefix: str
    begin: Callable[[Partition, Standing], int]


class ScoreStage:
    """Decides feature rows."""

    kind = "f"

    def __init__(self, config: ScoreStageConfig, reader: FeatureRowReader, decide: DecideStep) -> None:
        """Bind to ports."""
        self.topic = config.topic
        self._config = config
        self._reader = reader
        self._decide = decide

    def warm_up(self) -> None:
        """Decide nothing once: what libraries import on first use (0.5 s) must not fall into the first batch."""
        self._decide(self._reader.from_avro([]).batch)

    def begin(self, partition: Partition, found: Standing) -> int:
        """Return the offset at which a partition begins."""
        return self._config.begin(partition, found)

    def process(self, records: dict[int, list[Message]]) -> Outcome:
        """Decide a batch; see ``streaming.stage.PlainStage``."""
        messages = [message for number in sorted(records) for message in records[number]]
        read = self._reader.from_avro(messages, with_request_ids=True)
        further = self._decide(read.batch.undecided())
        refused = [DeadRecord(message, error, STAGE) for message, error in read.unreadable]
        return Outcome(
            rows=[further.rows],
            dead=[self._build_dead_letter(dead) for dead in refused],
            counted=len(further.rows.values),
            refused=refused,
            on_committed=further.on_committed,
        )

    def _build_dead_letter(self, dead: DeadRecord) -> Record:
        config = self._config
        where = correlation_id(dead.message.topic(), dead.message.partition(), dead.message.offset())
        log.warning("unreadable_feature_row", correlation_id=where, reason=dead.error.reason)
        return build_dead_letter(dead, dlq_topic=config.dlq_topic, group=config.group, prefix=config.dlq_header_prefix)
