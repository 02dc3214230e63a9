"""Matching what is read with who waits: in any order of reading, answering and leaving, an outcome is one's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.inference.examples import DECISION
from weir.inference.api.decide.backlog import PENDING_MAX
from weir.inference.api.decide.waiting import (
    LATE_MAX,
    LATE_SECONDS,
    Places,
    TooManyWaiting,
    WaitingRequest,
    WaitingRequests,
)
from weir.schemas.streams.payments import payments
from weir.streaming.dlq.letter import Coordinate, DeadLetter


def build(clock: list[float], *, number_max: int = 1_000) -> WaitingRequests:
    places = Places(number_max=number_max, bytes_max=1 << 30)
    return WaitingRequests(payments, places, events_topic="transactions", clock=lambda: clock[0])


def decision(key: str, event_id: str, offset: int) -> dict[str, Any]:
    return DECISION | {"card_id": key, "transaction_id": event_id, "source_partition": 0, "source_offset": offset}


def letter(offset: int) -> DeadLetter:
    at = Coordinate("transactions", 0, offset)
    return DeadLetter(
        at=at, source=at, origin=None, key=None, value=None, original_headers=(), group="", stage="",
        exception_class="", message="", reason="undecodable", failed_ms=0, appended_ms=0, app_version="",
        replay_count=0, schema_id=None, truncated="",
    )  # fmt: skip


# what is published at each offset: key, id, and whether the stream decides or refuses it
LOGS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(log=LOGS, data=st.data())
def test_an_outcome_is_that_of_the_events_own_coordinate(log: list[tuple[str, str, bool]], data: st.DataObject) -> None:
    waiting = build([0.0])
    requests = [waiting.enter(key.encode(), event_id, 10, lambda: None) for key, event_id, _ in log]
    told, read = list(range(len(log))), list(range(len(log)))
    while told or read:
        # the broker answers, and the reader reads, in any order and at any distance
        steps = data.draw(st.sampled_from([each for each in (told, read) if each]))
        offset = steps.pop(data.draw(st.integers(0, len(steps) - 1)))
        if steps is told:
            waiting.note_published(requests[offset], (0, offset))
        elif log[offset][2]:
            waiting.see_decision(decision(*log[offset][:2], offset))
        else:
            waiting.see_letter(log[offset][0].encode(), letter(offset))
    for offset, (key, event_id, is_decided) in enumerate(log):
        expected = decision(key, event_id, offset) if is_decided else letter(offset)
        assert requests[offset].outcome == expected
        waiting.leave(requests[offset])
    assert (list(waiting.keys), waiting.number, waiting.behind_seconds(0)) == ([], 0, 0.0)


def test_places_are_given_back_whatever_came_of_a_request() -> None:
    clock = [0.0]
    waiting = build(clock, number_max=2)
    for _ in range(3):
        first, second = (waiting.enter(b"a", name, 10, lambda: None) for name in "xy")
        with pytest.raises(TooManyWaiting):
            waiting.enter(b"a", "z", 10, lambda: None)
        waiting.note_published(first, (0, 1))
        waiting.leave(first)
        waiting.leave(second)
    assert waiting.number == 0


def publish(waiting: WaitingRequests, offset: int) -> WaitingRequest:
    request = waiting.enter(b"a", str(offset), 10, lambda: None)
    waiting.note_published(request, (0, offset))
    waiting.leave(request)
    return request


def test_the_oldest_event_without_a_decision_says_how_far_the_stream_is_behind() -> None:
    clock = [0.0]
    waiting = build(clock)
    for offset in range(3):
        publish(waiting, offset)
        clock[0] += 1.0
    assert waiting.behind_seconds(0) == 3.0
    assert waiting.behind_seconds(1) == 0.0
    waiting.see_decision(decision("a", "1", 1))
    # the stream has passed the first one by: it tells nothing any more
    assert waiting.behind_seconds(0) == 1.0
    assert waiting.settled_seconds(0) == 0.0


def test_events_that_nobody_waits_for_are_looked_out_for_within_bounds() -> None:
    clock = [0.0]
    waiting = build(clock)
    for offset in range(LATE_MAX + PENDING_MAX):
        publish(waiting, offset)
    clock[0] += LATE_SECONDS / 2
    assert waiting.behind_seconds(0) == LATE_SECONDS / 2
    clock[0] += LATE_SECONDS / 2
    assert waiting.behind_seconds(0) == 0.0
    assert list(waiting.keys) == []
