"""Publishes single events without a thread for each: answers of the broker are served by one thread.

Delivery: at least once, to the partition that every producer gives the key. When the broker's answer is lost, whether
the event is in the log is not known here; the same event again is safe, because the stream decides it once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from weir.inference.api.ports import Published
from weir.inference.api.publisher import event_headers
from weir.infra.kafka.source import WAITED_FOR
from weir.schemas.errors import Transient

MESSAGE_TIMEOUT_MS = 5_000
"""The broker's answer is waited for this long; then the event may be in the log, or not."""
_POLL_SECONDS = 0.1
_WAITED_FOR = (WAITED_FOR, b"1")
_NOT_SENT = frozenset(
    {
        KafkaError._QUEUE_FULL,
        KafkaError._PURGE_QUEUE,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)
"""Errors after which the event is certainly not in the log."""


class NotPublished(Transient):
    """The broker did not confirm an event.

    Attributes:
        may_be_published: it may be in the log all the same.
    """

    def __init__(self, message: str, *, may_be_published: bool) -> None:
        super().__init__(message)
        self.may_be_published = may_be_published


OnAnswer = Callable[["Published | NotPublished"], None]


class EventSender:
    """Sends to one topic; safe to use from several threads."""

    def __init__(self, producer: Producer, *, topic: str) -> None:
        """Begin to serve answers.

        Args:
            producer: idempotent, without a transactional id, used by nobody else.
            topic: of the events.
        """
        self._producer = producer
        self._topic = topic
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve_answers, name=f"answers-{topic}", daemon=True)
        self._thread.start()

    def send(self, key: bytes, value: bytes, on_answer: OnAnswer) -> None:
        """Hand an event to the broker; ``on_answer`` is called once, in another thread.

        Raises:
            NotPublished: it could not be handed over, and is certainly not published.
        """
        try:
            answered = partial(_pass_on, on_answer)
            self._producer.produce(
                self._topic, value, key, headers=[*event_headers(), _WAITED_FOR], on_delivery=answered
            )
        except (BufferError, KafkaException) as error:
            raise NotPublished(f"kafka: publishing: {error}", may_be_published=False) from None

    def close(self) -> None:
        """Stop serving answers; what is under way may still be published."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _serve_answers(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_SECONDS)


def _pass_on(on_answer: OnAnswer, error: KafkaError | None, message: Any) -> None:
    if error is None:
        on_answer(Published(message.topic(), message.partition(), message.offset()))
        return
    on_answer(NotPublished(f"kafka: publishing: {error.str()}", may_be_published=error.code() not in _NOT_SENT))
