"""The reader follows topics that change while the API runs, and no read waits for it."""

from __future__ import annotations

import threading

import pytest

from tests.unit.inference.twins import MemoryPartials
from weir.inference.api.reader import REFRESH_SECONDS, CurrentReader
from weir.schemas.errors import Refused, Transient

WAIT_SECONDS = 10.0


class _Topics:
    """Readers as the topics change: one after another, or an error; a clock; and when each was asked for."""

    def __init__(self, *readers: MemoryPartials | Exception) -> None:
        self.readers = list(readers)
        self.now = 0.0
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.may_answer.set()

    def build(self) -> MemoryPartials:
        self.may_answer.wait(WAIT_SECONDS)
        found = self.readers.pop(0)
        self.asked.release()
        if isinstance(found, Exception):
            raise found
        return found


def _await_asked(topics: _Topics, reader: CurrentReader) -> None:
    """Read once when a refresh is due, and wait until it is through."""
    topics.now += REFRESH_SECONDS
    reader.read_many([("card", "c")])
    assert topics.asked.acquire(timeout=WAIT_SECONDS)
    for thread in threading.enumerate():
        if thread.name == "topics":
            thread.join(WAIT_SECONDS)


def _goes_to(reader: CurrentReader, partials: MemoryPartials) -> bool:
    before = partials.asked
    reader.read_many([("card", "c")])
    return partials.asked == before + 1


def test_topics_are_asked_for_again_once_in_a_while_and_their_reader_takes_over() -> None:
    first, second = MemoryPartials(), MemoryPartials()
    topics = _Topics(first, second)
    reader = CurrentReader(topics.build, clock=lambda: topics.now)
    assert topics.asked.acquire(timeout=WAIT_SECONDS)
    assert _goes_to(reader, first)
    assert topics.readers == [second]
    _await_asked(topics, reader)
    assert _goes_to(reader, second)


@pytest.mark.parametrize("error", [Transient("kafka: away"), Refused("expected topic transactions, found none")])
def test_topics_that_cannot_be_read_leave_the_reader_that_there_is(error: Exception) -> None:
    first, second = MemoryPartials(), MemoryPartials()
    topics = _Topics(first, error, second)
    reader = CurrentReader(topics.build, clock=lambda: topics.now)
    assert topics.asked.acquire(timeout=WAIT_SECONDS)
    _await_asked(topics, reader)
    assert _goes_to(reader, first)
    _await_asked(topics, reader)
    assert _goes_to(reader, second)


def test_a_read_does_not_wait_for_the_brokers() -> None:
    first, second = MemoryPartials(), MemoryPartials()
    topics = _Topics(first, second)
    reader = CurrentReader(topics.build, clock=lambda: topics.now)
    assert topics.asked.acquire(timeout=WAIT_SECONDS)
    topics.may_answer.clear()
    topics.now = REFRESH_SECONDS
    reader.read_many([("card", "c")])
    reader.read_many([("card", "c")])
    assert (first.asked, second.asked) == (2, 0)
    topics.may_answer.set()
    assert topics.asked.acquire(timeout=WAIT_SECONDS)


def test_topics_that_cannot_be_read_at_the_start_are_told() -> None:
    with pytest.raises(Transient, match="away"):
        CurrentReader(_Topics(Transient("kafka: away")).build)
