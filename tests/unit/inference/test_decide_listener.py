"""The thread that reads decisions for those who wait: what it hands on, when it reads, and what it says of itself."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from tests.unit.inference.examples import DECISION
from weir.inference.api.decide import listener as listening
from weir.inference.api.decide.listener import DecisionListener
from weir.inference.api.decide.waiting import LATE_SECONDS, Places, WaitingRequest, WaitingRequests
from weir.inference.api.live.feed import Feed
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments
from weir.schemas.wanted import Wanted
from weir.streaming.dlq.letter import dead_letter_headers


@dataclass
class Message:
    """What a client hands out, as far as it is looked at."""

    topic_: str
    key_: bytes
    value_: bytes
    headers_: Any = None

    def topic(self) -> str:
        return self.topic_

    def key(self) -> bytes:
        return self.key_

    def value(self) -> bytes:
        return self.value_

    def headers(self) -> Any:
        return self.headers_

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class Log:
    """Hands out batches that a test puts in, or raises errors."""

    def __init__(self) -> None:
        self.batches: queue.Queue[list[Message] | Exception] = queue.Queue()
        self.opened = self.closed = 0
        self.away: Exception | None = None

    def open(self) -> Log:
        if self.away is not None:
            raise self.away
        self.opened += 1
        return self

    def read(self, records_max: int, timeout_seconds: float) -> list[Message]:
        assert records_max > 0
        try:
            found = self.batches.get(timeout=timeout_seconds / 10)
        except queue.Empty:
            return []
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        self.closed += 1


class World:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.log = Log()
        self.decoded: list[bytes] = []
        self.waiting = WaitingRequests(
            payments, Places(number_max=10, bytes_max=1 << 20), events_topic="transactions", clock=lambda: self.now_s
        )
        self.feed = Feed()
        self.listener = DecisionListener(
            self.waiting, self.feed, self.log.open, self.decode,
            stream_name="t", decisions_topic="decisions", clock=lambda: self.now_s,
        )  # fmt: skip

    def decode(self, values: Sequence[bytes]) -> list[dict[str, Any]]:
        self.decoded += values
        if b"away" in values:
            raise Transient("registry: away")
        return [record(value.decode()) for value in values]

    def wait_for(self, key: bytes, event_id: str) -> tuple[WaitingRequest, threading.Event]:
        woken = threading.Event()
        request = self.waiting.enter(key, event_id, 1, woken.set)
        self.waiting.note_published(request, (0, 7))
        return request, woken


def record(event_id: str) -> dict[str, Any]:
    return DECISION | {"transaction_id": event_id, "card_id": "card-1", "source_partition": 0, "source_offset": 7}


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.listener.start()
    await_true(made.listener.want)
    yield made
    made.listener.close()


def await_true(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


def test_what_is_waited_for_is_decoded_and_nothing_else(world: World) -> None:
    request, woken = world.wait_for(b"card-1", "t1")
    world.log.batches.put([Message("decisions", b"other", b"t9"), Message("decisions", b"card-1", b"t1")])
    assert woken.wait(10)
    assert request.outcome == record("t1")
    assert world.decoded == [b"t1"]


def test_a_dead_letter_is_told_by_its_coordinate(world: World) -> None:
    request, woken = world.wait_for(b"card-1", "t1")
    letters = [_letter("labels", 7), _letter("transactions", 6), _letter("transactions", 7)]
    world.log.batches.put(letters)
    assert woken.wait(10)
    await_true(lambda: request.outcome is not None)
    assert request.outcome is not None
    assert not isinstance(request.outcome, dict)
    assert request.outcome.source is not None
    assert (request.outcome.source.topic, request.outcome.source.offset) == ("transactions", 7)


def _letter(topic: str, offset: int) -> Message:
    headers = dead_letter_headers(
        "__dlq.errors.", topic=topic, partition=0, offset=offset, group="g", stage="decode", exception_class="P",
        message="m", timestamp_ms=0, reason="undecodable",
    )  # fmt: skip
    return Message("transactions.dlq", b"card-1", b"", headers)


def test_a_registry_that_is_away_costs_the_wait_and_not_the_reader(world: World) -> None:
    world.wait_for(b"card-1", "t1")
    world.log.batches.put([Message("decisions", b"card-1", b"away")])
    await_true(lambda: world.decoded)
    _, woken = world.wait_for(b"card-1", "t2")
    world.log.batches.put([Message("decisions", b"card-1", b"t2")])
    assert woken.wait(10)
    assert world.log.opened == 1


def test_a_broker_that_is_away_is_read_again_from_where_it_was(world: World) -> None:
    world.log.batches.put(Transient("kafka: away"))
    _, woken = world.wait_for(b"card-1", "t1")
    world.log.batches.put([Message("decisions", b"card-1", b"t1")])
    assert woken.wait(10)
    assert (world.log.opened, world.log.closed) == (1, 0)


def test_a_reader_that_failed_is_opened_again_at_the_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_RETRY_SECONDS", 0.01)
    world.log.away = Transient("kafka: away")
    world.log.batches.put(ValueError("a bug"))
    await_true(lambda: world.listener.describe() == "kafka: away")
    assert not world.listener.want()
    assert not world.listener.wait_until_reading(1_000)  # one that fails is not waited for
    world.log.away = None
    await_true(world.listener.want)
    assert world.listener.describe() == "ok"
    assert (world.log.opened, world.log.closed) == (2, 1)


def test_a_reader_that_has_more_to_read_than_it_can_is_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "READ_RECORDS_MAX", 1)
    full, read = [Message("decisions", b"other", b"")], threading.Event()

    def read_full(*_: object) -> list[Message]:
        read.set()
        return full

    monkeypatch.setattr(world.log, "read", read_full)
    assert read.wait(10)
    world.now_s += 1.5
    assert not world.listener.want()
    assert "behind" in world.listener.describe()
    monkeypatch.setattr(world.log, "read", lambda *_: [])
    await_true(world.listener.want)


def test_without_requests_reading_stops_and_the_next_one_begins_it_again(world: World) -> None:
    world.now_s += listening.IDLE_SECONDS + 1
    await_true(lambda: world.log.closed == 1)
    assert world.listener.describe() == "ok"
    world.listener.want()
    assert world.listener.wait_until_reading(10)
    assert world.listener.want()
    assert world.log.opened == 2


def test_reading_does_not_stop_while_somebody_waits(world: World) -> None:
    request, _ = world.wait_for(b"card-1", "t1")
    world.now_s += listening.IDLE_SECONDS + 1
    for _ in range(3):  # turns, and between two of them it looks whether it is idle
        world.log.batches.put([])
        await_true(world.log.batches.empty)
    assert world.log.closed == 0
    world.waiting.leave(request)
    world.now_s += LATE_SECONDS
    await_true(lambda: world.log.closed == 1)


def test_while_somebody_watches_every_decision_is_decoded_and_reading_does_not_stop(world: World) -> None:
    seen: list[str] = []

    class Watcher:
        wanted = Wanted()

        def hand(self, decisions: Sequence[bytes]) -> None:
            seen.extend(orjson.loads(each)["transaction_id"] for each in decisions)

        def stop(self) -> None:
            """Nothing waits."""

    watcher: Any = Watcher()
    world.feed.enter(watcher)
    world.now_s += listening.IDLE_SECONDS + 1
    world.log.batches.put([Message("decisions", b"a", b"t1"), Message("transactions.dlq", b"b", b"")])
    await_true(lambda: seen == ["t1"])
    assert world.log.closed == 0
    world.feed.leave(watcher)
    await_true(lambda: world.log.closed == 1)
