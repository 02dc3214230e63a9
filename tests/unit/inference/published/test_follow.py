"""Following by hand: what a look takes, what it passes by, and an end that waits for no broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

from tests.unit.inference.published.acts import build_act
from tests.unit.inference.published.test_log import read_no_rules
from weir.inference.published import follow
from weir.inference.published.follow import Follower
from weir.inference.published.topic import append_time_ms
from weir.infra.settings import Settings
from weir.monitoring.metrics import PUBLISHED_VERSIONS
from weir.schemas.errors import Refused, Transient


class _Record:
    def __init__(self, value: bytes | None, offset: int) -> None:
        self._value, self._offset = value, offset

    def value(self) -> bytes | None:
        return self._value

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return "published"

    def partition(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_LOG_APPEND_TIME, 5


class _Topic:
    """The topic in memory; may be missing, away, or hang."""

    def __init__(self, *_: object) -> None:
        self.records: list[bytes | None] = []
        self.topic_id, self._known = "one", ""
        self.error: Exception | None = None
        self.next_offset = 0
        self.hang = threading.Event()
        self.hang.set()
        self.looked = threading.Event()
        self.closed = 0

    def is_another(self) -> bool:
        self.looked.set()
        self.hang.wait(20)
        if self.error is not None:
            raise self.error
        is_another, self._known = self.topic_id != self._known, self.topic_id
        self.next_offset = 0 if is_another else self.next_offset
        return is_another

    def read_new(self) -> list[Any]:
        found = [_Record(value, place) for place, value in enumerate(self.records)][self.next_offset :]
        self.next_offset = len(self.records)
        return found

    def read_parts(self, _: object) -> Iterator[str]:
        return iter(())

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> _Topic:
    topic = _Topic()
    monkeypatch.setattr(follow, "PublishedTopic", lambda *_: topic)
    return topic


def _count(result: str) -> float:
    return float(PUBLISHED_VERSIONS.labels(result=result)._value.get())


def _publish(text: str) -> bytes:
    return build_act("rules", text).encode()


def test_garbage_is_passed_by_and_metered_and_the_version_before_stays(topic: _Topic) -> None:
    published = follow.Published(Settings(), read_no_rules)
    topic.records = [_publish("good")]
    published.look()
    good = published.standing
    unreadable, refused = _count("unreadable"), _count("refused")
    topic.records += [b"\x80\x04\x95", None, b"[" * 99_999, _publish("broken")]
    for _ in range(3):
        published.look()
    assert published.standing is good
    assert (_count("unreadable") - unreadable, _count("refused") - refused) == (3, 1)


def test_a_topic_that_is_missing_or_made_again_leaves_in_force_what_was(topic: _Topic) -> None:
    published = follow.Published(Settings(), read_no_rules)
    topic.error = Refused("expected topic, found none")
    published.look()
    assert published.standing.rules is None
    topic.error, topic.records = None, [_publish("first")]
    published.look()
    first = published.standing
    topic.topic_id, topic.records = "two", []
    published.look()
    assert published.standing is first
    topic.records = [_publish("second")]
    published.look()
    assert published.standing is not first


def test_brokers_that_go_away_leave_in_force_what_was_and_are_followed_again(topic: _Topic) -> None:
    follower = Follower(Settings(), read_no_rules, seconds=0.01)
    topic.records = [_publish("first")]
    follower.start()
    first = follower.standing
    assert first.rules is not None
    topic.error = Transient("away")
    topic.looked.clear()
    assert topic.looked.wait(20)
    assert follower.standing is first
    topic.records.append(_publish("second"))
    topic.error = None
    deadline = time.monotonic() + 20
    while follower.standing is first:
        assert time.monotonic() < deadline
    follower.close()
    assert topic.closed == 1


def test_an_end_waits_for_no_broker_that_hangs(topic: _Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "STOP_SECONDS_MAX", 0.05)
    follower = Follower(Settings(), read_no_rules, seconds=0.01)
    follower.start()
    topic.hang.clear()
    topic.looked.clear()
    assert topic.looked.wait(20)
    follower.close()
    assert topic.closed == 0, "a client was closed that a thread waits in"
    topic.hang.set()


def test_a_senders_time_is_no_append_time() -> None:
    record: Any = _Record(b"", 0)
    assert append_time_ms(record) == 5
    record.timestamp = lambda: (TIMESTAMP_CREATE_TIME, 5)
    assert append_time_ms(record) == 0
