"""From decisions to cases: the middle of a batch of ``streaming/loop.py``.

The database says where to continue, in the transaction that holds the cases; offsets are committed besides, for who
asks how far behind the follower is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from weir.cases.case import Review
from weir.cases.events import EventReader
from weir.cases.intake import Intake
from weir.cases.reviews import ReviewPlan
from weir.inference.decide import SchemaLookup
from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.source import Partition
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema
from weir.schemas.rules import ALERT_TAG
from weir.schemas.stream import Stream
from weir.streaming.stage import Outcome, do_nothing

STAGE = "cases"
log = get_logger(__name__)


class CaseStage:
    """Opens a case for each decision for review, and for each with an alert."""

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
        self._plan = ReviewPlan(stream)

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
        """Keep what people look at of a batch and how far it goes; its offsets are committed after.

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
        wanted = find_wanted(decoded.batch)
        rows = decoded.rows[wanted].tolist()
        decisions = decoded.batch.filter(pa.array(wanted)).to_pylist()
        events = self._events.read([messages[row] for row in rows])
        return [self._plan.build(decision, event) for decision, event in zip(decisions, events, strict=True)]


def find_wanted(decisions: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return which decisions a person looks at: those for review, and those with an alert of a rule.

    >>> column = {"decision": ["REVIEW", "APPROVE", "DECLINE"], "tags": [[], ["ODD"], ["alert:MULE", "ODD"]]}
    >>> find_wanted(pa.RecordBatch.from_pydict(column)).tolist()
    [True, False, True]
    """
    wanted: npt.NDArray[np.bool_] = pc.equal(decisions["decision"], "REVIEW").to_numpy(zero_copy_only=False)
    words = pc.list_flatten(decisions["tags"])
    if len(words):
        is_alert = pc.starts_with(words, ALERT_TAG).to_numpy(zero_copy_only=False)
        wanted = wanted.copy()
        wanted[pc.list_parent_indices(decisions["tags"]).to_numpy()[is_alert]] = True
    return wanted
