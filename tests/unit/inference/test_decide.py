"""``POST /v1/decide`` over a stream in memory: which answer each outcome gets, and when none is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World
from tests.unit.schemas.request_rows import all_streams, requests_of
from weir.inference.api.decide import document
from weir.inference.api.decide.event import EventEncoder
from weir.inference.api.decide.sender import NotPublished
from weir.inference.api.decide.waiting import OVERHEAD_BYTES
from weir.inference.api.examples import restore_nulls
from weir.inference.api.request import BadRequest, event_fields
from weir.monitoring import metrics
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import Transient
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.validation import validate_events
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.schemas.streams.transfers import transfers

EVENT = TRANSACTION | {"event_time_ms": NOW_MS}
DAY_MS = 86_400_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.guard.close()


def decide(world: World, event: dict[str, Any] = EVENT, headers: dict[str, str] | None = None, **query: Any) -> Any:
    return world.client.post("/v1/decide", json=event, params=query, headers=headers)


def code(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["code"]
    return found


def nobody(_: int) -> None:
    """Decide nothing."""


def test_the_decision_on_the_event_is_the_answer_byte_for_byte(world: World) -> None:
    answer = decide(world)
    assert answer.status_code == 200
    assert answer.content == orjson.dumps(world.stream.record(0))
    ((key, event),) = world.stream.published
    assert key == EVENT["card_id"].encode()
    assert {name: event[name] for name in EVENT} == EVENT


def test_by_the_name_of_the_stream_it_is_the_same(world: World) -> None:
    answer = world.client.post("/v1/streams/transactions/decide", json=EVENT)
    assert answer.content == orjson.dumps(world.stream.record(0))


@pytest.mark.parametrize(
    "other",
    [{"source_offset": 7}, {"source_partition": 1}, {"transaction_id": "other"}, {"card_id": "card-other"}],
    ids=str,
)
def test_a_decision_on_another_event_is_never_the_answer(world: World, other: dict[str, Any]) -> None:
    world.stream.decide = lambda at: world.stream.waiting.see_decision(world.stream.record(at, **other))
    assert decide(world).status_code == 202


def test_what_comes_too_late_is_202_with_where_to_look(world: World) -> None:
    world.stream.decide = nobody
    answer = decide(world, EVENT | {"transaction_id": "a/b"})
    assert (answer.status_code, answer.headers["location"]) == (202, "/v1/decisions/a%2Fb")
    assert answer.headers["retry-after"] == "1"
    body = answer.json()
    assert (body["decided"], body["why"], body["transaction_id"]) == (False, "timeout", "a/b")
    assert body["published"] == {"topic": "transactions", "partition": 0, "offset": 0}
    assert "decision" not in body
    assert body["what_if"] is None


def test_a_stand_in_says_that_it_is_one_and_is_made_when_asked_for_alone(world: World) -> None:
    world.stream.decide = nobody
    made = decide(world, what_if="true").json()["what_if"]
    assert (made["stand_in"], made["decision"]) == (True, "APPROVE")
    asked = world.partials.asked
    assert decide(world, what_if="false").json()["what_if"] is None
    assert world.partials.asked == asked


def test_a_decision_in_time_is_not_replaced_by_a_stand_in(world: World) -> None:
    assert decide(world, what_if="true").content == orjson.dumps(world.stream.record(0))


def test_without_redis_there_is_no_stand_in_and_the_decision_all_the_same(world: World) -> None:
    world.partials.away = "redis: gone"
    assert decide(world, what_if="true").status_code == 200
    world.stream.decide = nobody
    assert decide(world, EVENT | {"transaction_id": "t2"}, what_if="true").json()["what_if"] is None


def test_a_repeat_is_answered_with_the_first_decision_that_was_read_here(world: World) -> None:
    first = decide(world)

    def repeat(at: int) -> None:
        world.stream.refuse(at, "duplicate", failed_ms=first.json()["ingest_time_ms"] + 5)
        world.stream.waiting.see_decision(world.stream.record(0))

    world.stream.decide = repeat
    again = decide(world)
    assert (again.status_code, again.content) == (200, first.content)


def test_a_repeat_is_answered_from_the_index_by_a_process_that_never_saw_the_first(world: World) -> None:
    first = decide(world)
    world.decisions.stored[EVENT["transaction_id"]] = first.content
    world.stream.decide = lambda at: world.stream.refuse(
        at, "duplicate", failed_ms=first.json()["ingest_time_ms"] + DAY_MS - 1
    )
    assert decide(world).content == first.content


@pytest.mark.parametrize("age_ms", [-1, DAY_MS, 3 * DAY_MS])
def test_a_repeat_is_not_answered_with_an_older_decision_of_the_same_id(world: World, age_ms: int) -> None:
    first = decide(world)
    world.decisions.stored[EVENT["transaction_id"]] = first.content
    world.stream.decide = lambda at: world.stream.refuse(
        at, "duplicate", failed_ms=first.json()["ingest_time_ms"] + age_ms
    )
    assert decide(world).status_code == 202


def test_a_repeat_is_not_answered_with_the_decision_on_another_cards_event_of_that_id(world: World) -> None:
    first = decide(world)
    entry = orjson.loads(first.content) | {"card_id": "card-other"}
    world.decisions.stored[EVENT["transaction_id"]] = orjson.dumps(entry)
    world.stream.decide = lambda at: world.stream.refuse(at, "duplicate", failed_ms=entry["ingest_time_ms"] + 5)
    assert decide(world).status_code == 202


def test_a_decision_that_the_reader_missed_is_taken_from_the_index(world: World) -> None:
    world.stream.decide = lambda at: world.decisions.stored.update(
        {EVENT["transaction_id"]: orjson.dumps(world.stream.record(at))}
    )
    answer = decide(world)
    assert (answer.status_code, answer.content) == (200, orjson.dumps(world.stream.record(0)))


def test_the_same_id_with_another_body_is_a_conflict(world: World) -> None:
    world.stream.decide = lambda at: world.stream.refuse(at, "id_reused")
    answer = decide(world)
    assert (answer.status_code, code(answer)) == (409, "id_reused")


def test_a_dead_letter_is_422_with_its_reason_and_without_what_was_found(world: World) -> None:
    said = "expected at most 10:00 by the broker's time, found 11:00 at $.event_time_ms (transactions[0]@0)"
    world.stream.decide = lambda at: world.stream.refuse(at, "from_future", said)
    answer = decide(world)
    assert (answer.status_code, code(answer), answer.json()["error"]["reason"]) == (422, "dead_letter", "from_future")
    assert "expected at most 10:00" in answer.text
    assert "11:00" not in answer.text


def test_a_dead_letter_of_another_event_of_the_card_is_not_the_answer(world: World) -> None:
    def other(at: int) -> None:
        world.stream.published.append(world.stream.published[at])
        world.stream.refuse(at + 1, "from_future")
        world.stream.decide_now(at)

    world.stream.decide = other
    assert decide(world).status_code == 200


def test_a_value_that_is_wrong_is_refused_before_it_is_published(world: World) -> None:
    answer = decide(world, EVENT | {"amount_minor": -(10**9)})
    assert (answer.status_code, answer.json()["error"]["fields"][0]["field"]) == (422, "amount_minor")
    assert "1000000000" not in answer.text
    assert world.stream.published == []


def test_an_event_without_its_time_is_refused_because_its_repeat_would_be_another(world: World) -> None:
    answer = decide(world, TRANSACTION)
    assert answer.json()["error"]["fields"][0]["field"] == "event_time_ms"
    assert world.stream.published == []


def test_an_event_from_the_future_is_left_to_the_stream_which_has_the_brokers_clock(world: World) -> None:
    assert decide(world, EVENT | {"event_time_ms": NOW_MS + 3_600_000}).status_code == 200


@pytest.mark.parametrize(("may_be", "said"), [(True, "may_be_published"), (False, "not_published")])
def test_an_event_that_is_not_confirmed_is_503_and_says_whether_it_may_be_in_the_log(
    world: World, may_be: bool, said: str
) -> None:
    world.stream.away = NotPublished("kafka: publishing: no answer", may_be_published=may_be)
    answer = decide(world)
    assert (answer.status_code, code(answer), answer.headers["retry-after"]) == (503, said, "1")
    assert world.stream.waiting.number == 0


def test_a_stream_that_is_behind_is_not_waited_for(world: World) -> None:
    world.stream.lag_seconds = 6.0
    world.stream.decide = nobody
    answer = decide(world, wait_ms=5_000)
    assert (answer.status_code, answer.json()["why"]) == (202, "behind")


def test_a_lag_is_not_believed_where_a_decision_has_just_come(world: World) -> None:
    world.stream.lag_seconds = 6.0
    assert decide(world).status_code == 200
    world.stream.decide = nobody
    assert decide(world, EVENT | {"transaction_id": "t2"}).json()["why"] == "timeout"
    world.stream.now_s += 6.0
    assert decide(world, EVENT | {"transaction_id": "t3"}, wait_ms=5_000).json()["why"] == "behind"


def test_a_decision_that_is_there_already_is_the_answer_though_the_stream_is_behind(world: World) -> None:
    world.stream.lag_seconds = 6.0
    assert decide(world, wait_ms=5_000).status_code == 200


def test_a_stream_that_left_an_event_undecided_is_behind_until_it_decides_again(world: World) -> None:
    world.stream.decide = nobody
    assert decide(world).json()["why"] == "timeout"
    world.stream.now_s += 1.5
    assert decide(world, EVENT | {"transaction_id": "t2"}).json()["why"] == "behind"
    world.stream.decide_now(1)
    assert decide(world, EVENT | {"transaction_id": "t3"}).json()["why"] == "timeout"


def test_where_decisions_are_not_read_none_is_waited_for(world: World) -> None:
    world.stream.listens = False
    world.stream.decide = nobody
    assert decide(world, wait_ms=5_000).json()["why"] == "not_reading"


def test_one_request_more_than_may_wait_is_refused_before_it_is_published(world: World) -> None:
    for number in range(4):
        world.stream.waiting.enter(b"k", str(number), 1, lambda: None)
    answer = decide(world)
    assert (answer.status_code, code(answer), answer.headers["retry-after"]) == (503, "busy", "1")
    assert world.stream.published == []


def test_requests_that_wait_are_bounded_in_bytes(world: World) -> None:
    world.stream.waiting.enter(b"k", "large", 40_000 - OVERHEAD_BYTES, lambda: None)
    assert code(decide(world)) == "busy"


@pytest.mark.parametrize(
    ("query", "prefer", "applied", "why"),
    [
        ({"wait_ms": 0}, "", None, "asked"),
        ({}, "respond-async", "respond-async", "asked"),
        ({}, "wait=0", "respond-async", "asked"),
        ({"wait_ms": 0}, "wait=5", None, "asked"),
        ({}, "return=minimal, wait=x", None, "timeout"),
    ],
)
def test_how_long_to_wait_is_asked_by_parameter_or_by_preference(
    world: World, query: dict[str, Any], prefer: str, applied: str | None, why: str
) -> None:
    world.stream.decide = nobody
    answer = decide(world, headers={"prefer": prefer}, **query)
    assert (answer.json()["why"], answer.headers.get("preference-applied")) == (why, applied)


def test_a_preference_is_bounded_and_a_parameter_beyond_the_bound_is_refused(world: World) -> None:
    assert decide(world, headers={"prefer": "wait=3600"}).headers["preference-applied"] == "wait=5"
    assert decide(world, wait_ms=5_001).status_code == 422


def test_every_request_is_counted_by_what_it_was_told(world: World) -> None:
    def count(outcome: str) -> float:
        labels = {"stream": "transactions", "outcome": outcome}
        return metrics.REGISTRY.get_sample_value("weir_decide_seconds_count", labels) or 0.0

    before = count("decided"), count("asked")
    decide(world)
    decide(world, EVENT | {"transaction_id": "t2"}, wait_ms=0)
    world.stream.decide = nobody
    decide(world, EVENT | {"transaction_id": "t3"}, wait_ms=0)
    # a decision that is there before the broker's answer is the answer, asked for or not
    assert (count("decided"), count("asked")) == (before[0] + 2, before[1] + 1)


def test_nothing_is_kept_of_requests_that_are_answered(world: World) -> None:
    decide(world)
    assert not list(world.stream.waiting.keys)
    world.stream.decide = nobody
    decide(world, EVENT | {"transaction_id": "t2"})
    assert list(world.stream.waiting.keys) == [EVENT["card_id"].encode()]
    world.stream.now_s += 61
    decide(world, EVENT | {"transaction_id": "t3", "card_id": "card-3"})
    assert list(world.stream.waiting.keys) == [b"card-3"]


def test_a_registry_that_is_away_is_503_and_nothing_is_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> int:
        raise Transient("registry: away")

    encoder = EventEncoder(payments, BUILT_IN, away)
    monkeypatch.setattr(world.stream.parts.decisions, "_encoder", encoder)
    answer = decide(world)
    assert (answer.status_code, code(answer)) == (503, "not_published")
    assert world.stream.published == []


@pytest.mark.parametrize(("stream", "schema", "example"), all_streams()[1:], ids=lambda part: getattr(part, "name", ""))
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_an_event_of_any_stream_is_refused_or_is_the_bytes_that_every_producer_writes(
    stream: Stream, schema: pa.Schema, example: dict[str, Any], data: st.DataObject
) -> None:
    symbols = {field.name: st.sampled_from(field.symbols) for field in event_fields(stream) if field.symbols}
    event = data.draw(requests_of(schema, example)) | data.draw(st.fixed_dictionaries(symbols))
    batch = pa.RecordBatch.from_pylist([event], schema=schema)
    key, append = event[stream.key.field].encode(), max(NOW_MS, min(event[stream.time], NOW_MS + DAY_MS))
    errors = validate_events(
        stream, batch, keys=[key], append_time_ms=np.array([append]), placeholders=BUILT_IN
    )  # fmt: skip
    encoder = EventEncoder(stream, BUILT_IN, lambda: 7)
    if errors:
        with pytest.raises(BadRequest) as refused:
            encoder.encode(event, now_ms=NOW_MS)
        assert [error.field or "$" for _, error in errors] == [each.field for each in refused.value.errors]
        return
    record = encoder.encode(event, now_ms=NOW_MS)
    # the stream compares bodies: a repeat through another producer is a repeat
    assert [record.value] == BatchCodec(schema=event_schemas(stream)[-1]).encode(batch, 7)
    assert (record.key, record.event_id) == (key, event[stream.id])


@pytest.mark.parametrize("stream", [payments, clicks, transfers], ids=lambda stream: stream.name)
def test_the_document_shows_an_event_with_its_time_and_an_answer_without_a_decision(stream: Stream) -> None:
    content = document.event_body(stream)["requestBody"]["content"]["application/json"]
    jsonschema.validate(content["example"], content["schema"])
    assert stream.time in content["schema"]["required"]
    shown = restore_nulls(document.answers(stream)[202])["content"]["application/json"]
    jsonschema.validate(shown["example"], shown["schema"])
