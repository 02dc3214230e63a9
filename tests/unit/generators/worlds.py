"""Small worlds that the generators' tests share, and a producer that remembers what it was given."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from confluent_kafka import KafkaError

from tests.payments import DAY_MS
from weir.generators.encoding import Encoder
from weir.generators.events import Events
from weir.generators.history import History, draw_history, name_events
from weir.generators.population import Population, build_population
from weir.schemas.contracts import event_schemas, label_schemas
from weir.schemas.streams.payments import payments

SEED = 11
CARDS = 1_000
END_MS = 1_785_000_000_000  # a Saturday in July 2026
DAYS = 42


@cache
def population(seed: int = SEED, cards: int = CARDS) -> Population:
    return build_population(seed, cards)


@cache
def events() -> Events:
    return draw_history(population(), END_MS - DAYS * DAY_MS, END_MS)


@cache
def history() -> History:
    return name_events(events(), population(), END_MS)


def encoder(kind: str = "transactions") -> Encoder:
    return Encoder(event_schemas(payments), [1, 2]) if kind == "transactions" else Encoder(label_schemas(payments), [3])


class RecordingProducer:
    """Takes records as a producer does; the queue can be made to be full for some calls."""

    def __init__(self, *, full_calls: int = 0, unacknowledged: int = 0, refused: int = 0) -> None:
        self.records: list[tuple[str, bytes | None, bytes | None]] = []
        self._full_calls = full_calls
        self._unacknowledged = unacknowledged
        self._refused = refused

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, on_delivery: Callable[[Any, Any], None]
    ) -> None:
        if self._full_calls:
            self._full_calls -= 1
            raise BufferError("queue full")
        self.records.append((topic, key, value))
        if self._refused:
            self._refused -= 1
            on_delivery(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), None)

    def poll(self, _timeout: float) -> int:
        return 0

    def flush(self, _timeout: float) -> int:
        return self._unacknowledged
