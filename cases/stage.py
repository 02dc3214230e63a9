"""From decisions to cases: the middle of a batch of ``streaming/loop.py``.

The database says where to continue, in the transaction that holds the cases; offsets are committed besides, for who
asks how far behind the follower is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow.compute as pc
from confluent_kafka import Message

from weir.cases.case import Review, compute_expected_loss
from weir.cases.events import EventReader
from weir.cases.intake import Intake
from weir.cases.labels import LabelPlan
from weir.inference.decide import SchemaLookup
from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.source import Partition
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema
from weir.schemas.expression import find_money
from weir.schemas.expression_of_row import plan_of_row
from weir.schemas.stream import Stream
from weir.streaming.stage import Outcome, do_nothing

STAGE = "cases"
log = get_logger(__name__)


class CaseStage:
    """Opens a case for each decision for review."""

    kind = "c"

    def __init__(
        self,
        topic: str,
        stream: Stream,
        intake: Intake,
        events: EventReader,
        schema_of: SchemaLookup,
        *,
        first_offset: Callable[[Partition], int],
        on_step: Callable[[str], None] = do_nothing,
    ) -> None:
        """Bind to ports.

        Args:
            topic: of the decisions.
            stream: whose decisions they are.
            intake: keeps cases and positions.
            events: that decisions are about.
            schema_of: writer schema of a decision's id.
            first_offset: where a partition begins that was never read.
            on_step: called at each numbered step; tests stop the process there.
        """
        self.topic = topic
        self._stream = stream
        self._intake = intake
        self._events = events
        self._schema_of = schema_of
        self._first_offset = first_offset
        self._on_step = on_step
        self._codec = BatchCodec(schema=decisions_schema(stream))
        self._labels = LabelPlan(stream) if stream.labels else None
        money = next((each.value for each in stream.measures if find_money(each.value)), None)
        self._stake = None if money is None else plan_of_row(money)

    def begin(self, partition: Partition, found: Standing) -> int:
        """Return where a partition is continued.

        Raises:
            Transient: the database or a broker is unreachable.
        """
        known = self._intake.position(partition[1])
        if known is None:
            return max(found.low, self._first_offset(partition))
        if known < found.low:
            # decisions for review that nobody will see: told, since the log itself has forgotten them
            log.error("reviews_expired", topic=partition[0], partition=partition[1], first=known, end=found.low)
        return max(found.low, known)

    def process(self, records: dict[int, list[Message]]) -> Outcome:
        """Keep a batch's decisions for review and how far it goes; its offsets are committed after.

        Raises:
            Transient: the database, the registry or a broker is unreachable; reading the batch again is harmless.
        """
        messages = [message for number in sorted(records) for message in records[number]]
        ends = {number: part[-1].offset() + 1 for number, part in records.items()}
        new = self._intake.take(self._find_reviews(messages), ends, self._on_step)
        metrics.CASE_REVIEWS.labels(stream=self._stream.name).inc(new)
        return Outcome(counted=len(messages))

    def _find_reviews(self, messages: Sequence[Message]) -> list[Review]:
        decoded = self._codec.decode([message.value() for message in messages], self._schema_of)
        wanted = pc.equal(decoded.batch["decision"], "REVIEW")
        rows = decoded.rows[wanted.to_numpy(zero_copy_only=False)].tolist()
        decisions = decoded.batch.filter(wanted).to_pylist()
        events = self._events.read([messages[row] for row in rows])
        return [self._build(decision, event) for decision, event in zip(decisions, events, strict=True)]

    def _build(self, decision: dict[str, Any], event: dict[str, Any] | None) -> Review:
        stream = self._stream
        named = (stream.id, stream.key.field)
        if event is not None and any(event[name] != decision[name] for name in named):
            event = None  # the topic was created again: another event is at that place now
        known = decision if event is None else event
        stake = None if self._stake is None or event is None else self._stake(event)
        return Review(
            key=decision[stream.key.field],
            event_id=decision[stream.id],
            event_ms=decision[stream.time],
            decided_ms=decision["decision_time_ms"],
            expected_loss=compute_expected_loss(decision["score"], stake),
            decision=decision,
            label=None if self._labels is None else self._labels.pick(known),
        )
