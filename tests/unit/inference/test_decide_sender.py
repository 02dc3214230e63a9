"""What a request's event carries to the stream."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from weir.inference.api.decide.sender import EventSender
from weir.infra.kafka.source import WAITED_FOR


class _Producer:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def produce(self, topic: str, value: bytes, key: bytes, *, headers: list[tuple[str, bytes]], **_: Any) -> None:
        self.sent.append((topic, key, value, dict(headers)))

    def poll(self, seconds: float) -> None:
        del seconds

    def flush(self, seconds: float = 0.0) -> int:
        del seconds
        return 0


def test_an_event_says_that_somebody_waits_for_its_decision() -> None:
    producer: Any = _Producer()
    with closing(EventSender(producer, topic="rides")) as sender:
        sender.send(b"k", b"v", lambda *_: None)
    ((topic, key, value, headers),) = producer.sent
    assert (topic, key, value, WAITED_FOR in headers) == ("rides", b"k", b"v", True)
