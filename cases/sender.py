"""Sends labels that wait to the labels topic, in a thread next to the follower.

Delivery: at least once with the same bytes; each carries its verdict's version in a header. The brokers' answer is
waited for before a label is marked as sent.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaException, Producer

from weir.cases.outbox import Outbox, Waiting
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Transient
from weir.streaming.stage import do_nothing

VERSION = "weir.verdict.version"
"""Header of a label: with its key and its event's id, what names it."""
LOOK_SECONDS = 0.5
_ANSWER_SECONDS_MAX = 10.0
_AGAIN_SECONDS = 2.0
log = get_logger(__name__)


class LabelSender:
    """Sends the labels of one stream."""

    def __init__(
        self,
        outbox: Outbox,
        producer: Producer,
        *,
        topic: str,
        schema: str,
        schema_id: Callable[[], int],
        stream: str,
        on_step: Callable[[str], None] = do_nothing,
    ) -> None:
        """Bind to ports.

        Args:
            outbox: of labels that wait.
            producer: idempotent, without a transactional id.
            topic: of the labels.
            schema: of the labels, as JSON text.
            schema_id: the registry's id of it; may raise ``Transient``.
            stream: its name, for metrics.
            on_step: called at each numbered step; tests stop the process there.
        """
        self._outbox = outbox
        self._producer = producer
        self._topic = topic
        self._codec = BatchCodec(schema=schema)
        # a label that waits may have been made before its schema got another field
        self._defaults = {field["name"]: field.get("default") for field in json.loads(schema)["fields"]}
        self._schema_id = schema_id
        self._stream = stream
        self._on_step = on_step

    def send(self) -> int:
        """Send what waits, at most one batch; return how many labels that were.

        Raises:
            Transient: the database, the registry or the brokers are unreachable; what was sent may be sent again.
        """
        waiting = self._outbox.read()
        if not waiting:
            return 0
        self._on_step("labels_read")
        self._produce(waiting)
        self._on_step("labels_sent")
        self._outbox.mark(waiting, at_ms=int(time.time() * 1_000))
        self._on_step("labels_marked")
        metrics.CASE_LABELS.labels(stream=self._stream).inc(len(waiting))
        return len(waiting)

    def _produce(self, waiting: Sequence[Waiting]) -> None:
        schema = self._codec.arrow_schema
        labels = [{**self._defaults, **each.label} for each in waiting]
        columns = [pa.array([label[field.name] for label in labels], field.type) for field in schema]
        values = self._codec.encode(pa.RecordBatch.from_arrays(columns, schema=schema), self._schema_id())
        failed: list[str] = []

        def note(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(error.str())

        try:
            for each, value in zip(waiting, values, strict=True):
                headers = [(VERSION, str(each.version).encode())]
                self._producer.produce(self._topic, value, each.key.encode(), headers=headers, on_delivery=note)
            left = self._producer.flush(_ANSWER_SECONDS_MAX)
        except (BufferError, KafkaException) as error:
            raise Transient(f"kafka: sending labels: {error}") from None
        if failed or left:
            reason = failed[0] if failed else f"no answer within {_ANSWER_SECONDS_MAX:.0f} s"
            raise Transient(f"kafka: sending labels: {reason}")


def send_until(sender: LabelSender, done: threading.Event) -> None:
    """Send what waits, again and again, until told to stop."""
    while not done.is_set():
        done.wait(_turn(sender))


def _turn(sender: LabelSender) -> float:
    """Send once; return the seconds until the next time."""
    try:
        return 0.0 if sender.send() else LOOK_SECONDS
    except Transient as error:
        log.warning("labels_not_sent", reason=str(error))
        return _AGAIN_SECONDS
