"""``POST /v1/decide`` on real servers: whatever is answered is what the stream recorded, whichever process dies."""

from __future__ import annotations

import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.conftest import create_deployment, settings_for
from tests.integration.decided import decode_decisions, read_topic
from tests.integration.services import Child, Services, log_of
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.examples import TRANSACTION
from weir.infra.kafka.clients import build_producer
from weir.infra.settings import Settings
from weir.streaming.dlq.letter import read_dead_letter

pytestmark = pytest.mark.server

PATIENT: dict[str, Any] = {"wait_ms": 10_000}


class Stream:
    """A deployment with its processes, and what it recorded."""

    def __init__(self, settings: Settings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self._clients: list[httpx.Client] = []

    def serve(self) -> Api:
        """Start an API."""
        child = self.services.start("serve", "--port", "0", ready="serving http")
        self._clients.append(httpx.Client(base_url=log_of(child).partition("serving ")[2].split()[0], timeout=30))
        return Api(child, self._clients[-1])

    def start_deciding(self) -> None:
        """Start what decides, and the index."""
        self.services.start("process")
        self.services.start("score", "--with-index")

    def published(self) -> int:
        """Return how many events there are."""
        return len(read_topic(self.settings, self.settings.topics.transactions))

    def kill(self, api: Api) -> None:
        """End an API as a crash does."""
        api.child.process.kill()
        self.services.await_killed(api.child)

    def close(self) -> None:
        """Close what was opened to the APIs, and end every process."""
        for client in self._clients:
            client.close()
        self.services.stop()

    def all_recorded(self) -> dict[str, list[bytes]]:
        """Return every decision by its event's id, as the index and the API write it."""
        found: dict[str, list[bytes]] = {}
        for decision in decode_decisions(self.settings, read_topic(self.settings, self.settings.topics.decisions)):
            found.setdefault(decision["transaction_id"], []).append(orjson.dumps(decision))
        return found

    def request_ids(self, topic: str, event_card: str) -> list[list[bytes]]:
        """Return the ids of requests in the headers of each record of a card."""
        messages = [each for each in read_topic(self.settings, topic) if each.key() == event_card.encode()]
        return [[value for name, value in each.headers() or [] if name == "x-request-id"] for each in messages]

    def recorded(self, event_id: str) -> list[bytes]:
        """Return every decision on an id."""
        return self.all_recorded().get(event_id, [])

    def await_recorded(self, event_id: str) -> bytes:
        """Wait for the one decision on an id."""
        self.services.await_true(lambda: bool(self.recorded(event_id)), "the decision")
        (found,) = self.recorded(event_id)
        return found

    def letters(self, reason: str) -> int:
        """Return how many dead letters of a reason there are."""
        found = map(read_dead_letter, read_topic(self.settings, self.settings.topics.dlq))
        return sum(letter.reason == reason for letter in found)


class Api:
    """A process of the API."""

    def __init__(self, child: Child, client: httpx.Client) -> None:
        self.child = child
        self.client = client

    def looked_at(self) -> float:
        """Return when the API looked at Kafka last, epoch seconds."""
        found = re.search(
            r'weir_last_look_timestamp_seconds{dependency="kafka"} (\S+)', self.client.get("/metrics").text
        )
        return float(found[1]) if found else 0.0

    def decide(
        self, event: dict[str, Any], path: str = "/v1/decide", request_id: str = "", **query: Any
    ) -> httpx.Response:
        headers = {"x-request-id": request_id} if request_id else {}
        return self.client.post(path, json=event, params=query, headers=headers)

    def watch(self, cards: set[str], ready: threading.Event) -> dict[str, bytes]:
        """Return the live decision on each of some cards; ``ready`` is set once decisions are read."""
        found, name = dict[str, bytes](), ""
        with self.client.stream("GET", "/v1/decisions/live", timeout=60) as answer:
            for line in answer.iter_lines():
                kind, _, content = line.partition(": ")
                name = content if kind == "event" else name
                if kind == "data" and name == "state" and orjson.loads(content)["reading"]:
                    ready.set()
                if kind == "data" and name == "decision" and orjson.loads(content)["card_id"] in cards:
                    found[orjson.loads(content)["card_id"]] = content.encode()
                    if set(found) == cards:
                        return found
        raise AssertionError(f"expected decisions on {len(cards)} cards, found {len(found)}")


def event(**changes: Any) -> dict[str, Any]:
    """Return a payment of a new id on a new card, of now."""
    name = uuid.uuid4().hex
    made = {"transaction_id": f"t-{name}", "card_id": f"card-{name}", "event_time_ms": int(time.time() * 1_000)}
    return TRANSACTION | made | changes


def deploy(stack: Settings, home: Path) -> Stream:
    """Return a deployment that nobody works on yet."""
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    settings = settings_for(stack, home.name).model_copy(update={"home": home})
    create_deployment(settings)
    return Stream(settings, Services(settings, home / "logs"))


@pytest.fixture(scope="module")
def stream(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    made = deploy(stack, tmp_path_factory.mktemp("decide"))
    try:
        made.start_deciding()
        yield made
    finally:
        made.close()


@pytest.fixture
def undecided(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """A deployment without processor and scorer."""
    made = deploy(stack, tmp_path_factory.mktemp("undecided"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def api(stream: Stream) -> Api:
    return stream.serve()


def test_the_answer_is_the_decision_as_it_is_recorded(stream: Stream, api: Api) -> None:
    for number in range(5):
        payment = event()
        path = "/v1/decide" if number % 2 else "/v1/streams/transactions/decide"
        answer = api.decide(payment, path, **PATIENT)
        assert answer.status_code == 200, answer.text
        assert stream.recorded(payment["transaction_id"]) == [answer.content]


def test_the_id_of_a_request_is_on_the_event_its_row_and_its_decision(stream: Stream, api: Api) -> None:
    payment, topics = event(), stream.settings.topics
    answer = api.decide(payment, request_id="order-7", **PATIENT)
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "order-7")
    for topic in (topics.transactions, topics.features, topics.decisions):
        assert stream.request_ids(topic, payment["card_id"]) == [[b"order-7"]], topic


def test_two_apis_show_the_same_decisions_as_they_are_made(stream: Stream, api: Api) -> None:
    apis = [api, stream.serve()]
    payments = [event() for _ in range(12)]
    cards, ready = {each["card_id"] for each in payments}, [threading.Event() for _ in apis]
    with ThreadPoolExecutor(len(apis)) as pool:
        watching = [pool.submit(each.watch, cards, at) for each, at in zip(apis, ready, strict=True)]
        assert all(each.wait(60) for each in ready)
        for number, payment in enumerate(payments):
            assert apis[number % 2].decide(payment, **PATIENT).status_code == 200
        seen = [each.result(timeout=60) for each in watching]
    assert seen[0] == seen[1]
    assert {card: [each] for card, each in seen[0].items()} == {
        payment["card_id"]: stream.recorded(payment["transaction_id"]) for payment in payments
    }


def test_who_asks_not_to_wait_is_told_where_to_look(stream: Stream, api: Api) -> None:
    payment = event()
    answer = api.decide(payment, wait_ms=0)
    assert (answer.status_code, answer.json()["why"], answer.json()["decided"]) == (202, "asked", False)
    recorded = stream.await_recorded(payment["transaction_id"])
    where = answer.headers["location"]
    stream.services.await_true(lambda: api.client.get(where).status_code == 200, "the decision in the index")
    assert api.client.get(where).content == recorded


def test_a_repeat_gets_the_first_decision_and_another_body_is_a_conflict(stream: Stream, api: Api) -> None:
    payment = event()
    first = api.decide(payment, **PATIENT)
    again = api.decide(payment, **PATIENT)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    other = api.decide(payment | {"amount_minor": payment["amount_minor"] + 1}, **PATIENT)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "id_reused")
    assert stream.recorded(payment["transaction_id"]) == [first.content]


def test_a_dead_letter_is_422_with_its_reason(stream: Stream, api: Api) -> None:
    before = stream.letters("from_future")
    payment = event(event_time_ms=int(time.time() * 1_000) + 3_600_000)
    answer = api.decide(payment, **PATIENT)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (422, "from_future")
    assert "found" not in answer.text
    assert stream.letters("from_future") == before + 1
    assert stream.recorded(payment["transaction_id"]) == []


def test_two_apis_that_are_asked_the_same_at_one_time_give_one_answer(stream: Stream, api: Api) -> None:
    second = stream.serve()
    for _ in range(5):
        payment = event()
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(each.decide, payment, **PATIENT) for each in (api, second) * 3]
        answers = [each.result() for each in asked]
        assert {answer.status_code for answer in answers} == {200}
        assert stream.recorded(payment["transaction_id"]) == list({answer.content for answer in answers})
    stream.services.end(second.child)


def test_under_load_no_answer_differs_from_the_record(stream: Stream, api: Api) -> None:
    payments = [event(card_id=f"card-{number % 40}") for number in range(400)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda payment: api.decide(payment, **PATIENT), payments))
    recorded = stream.all_recorded()
    assert {answer.status_code for answer in answers} == {200}
    for payment, answer in zip(payments, answers, strict=True):
        assert recorded[payment["transaction_id"]] == [answer.content]


def test_a_stream_that_nobody_decides_is_202_and_soon_without_a_wait(undecided: Stream) -> None:
    api = undecided.serve()
    # twice as long as the next one waits, however long it takes to be published
    assert api.decide(event(card_id="card-1"), wait_ms=2_800).json()["why"] == "timeout"
    began = time.monotonic()
    answer = api.decide(event(card_id="card-1"), wait_ms=1_400, what_if=True)
    assert (answer.status_code, answer.json()["why"]) == (202, "behind")
    assert answer.json()["what_if"]["stand_in"] is True
    assert time.monotonic() - began < 1.4
    undecided.start_deciding()
    undecided.services.await_true(lambda: api.decide(event(card_id="card-1")).status_code == 200, "a decision in time")


def test_a_backlog_is_known_before_the_first_request(undecided: Stream) -> None:
    producer = build_producer(undecided.settings.kafka)
    for number in range(2 * 500):
        producer.produce(undecided.settings.topics.transactions, b"x", partition=number % 2)
    assert producer.flush(30) == 0
    api = undecided.serve()
    began = time.time()
    # two looks, four seconds apart, and as long a lag as the request below would wait
    undecided.services.await_true(lambda: api.looked_at() > began + 6.0, "a second look")
    answer = api.decide(event(), wait_ms=1_500)
    assert (answer.status_code, answer.json()["why"]) == (202, "behind")


def test_where_one_process_computes_and_decides_the_answers_are_the_same(undecided: Stream) -> None:
    undecided.services.start("run")
    undecided.services.start("index")
    api, payment = undecided.serve(), event()
    first = api.decide(payment, request_id="order-8", **PATIENT)
    assert undecided.request_ids(undecided.settings.topics.decisions, payment["card_id"]) == [[b"order-8"]]
    assert (first.status_code, [first.content]) == (200, undecided.recorded(payment["transaction_id"]))
    assert api.decide(payment, **PATIENT).content == first.content
    assert api.decide(payment | {"mcc": 5812}, **PATIENT).status_code == 409
    late = event(event_time_ms=int(time.time() * 1_000) + 3_600_000)
    assert api.decide(late, **PATIENT).json()["error"]["reason"] == "from_future"


def test_killed_apis_leave_nothing_undecided_and_the_next_one_knows_every_decision(undecided: Stream) -> None:
    payments = [event() for _ in range(20)]
    api = undecided.serve()
    with ThreadPoolExecutor(len(payments)) as pool:
        asked = [pool.submit(api.decide, payment, **PATIENT) for payment in payments]
        undecided.services.await_true(lambda: undecided.published() == len(payments), "every event in the log")
        undecided.kill(api)
    for each in asked:
        with pytest.raises(httpx.TransportError):
            each.result()
    after = undecided.serve()
    undecided.start_deciding()
    for payment in payments:
        answer = after.decide(payment, **PATIENT)
        assert (answer.status_code, [answer.content]) == (200, undecided.recorded(payment["transaction_id"]))
    assert undecided.letters("duplicate") == len(payments)


def test_a_hundred_who_watch_see_every_decision_and_the_last_word_of_a_process_that_stops(
    stream: Stream, api: Api
) -> None:
    watched = stream.serve()
    url = watched.client.base_url
    with ExitStack() as stack:
        watchers = [
            stack.enter_context(socket.create_connection((url.host, url.port or 0), timeout=30)) for _ in range(100)
        ]
        for each in watchers:
            each.sendall(b"GET /v1/decisions/live?card=card-seen HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        begun = [_read_until(each, b'{"reading":true}\n\n') for each in watchers]
        payments = [event(card_id=f"card-{'seen' if number % 2 else 'not'}") for number in range(20)]
        asked = [api.decide(payment, **PATIENT).content for payment in payments]
        assert all(b"text/event-stream" in each for each in begun)
        wanted = asked[1::2]
        for each in watchers:
            found = re.findall(rb"data: (.+)\n", _read_until(each, wanted[-1]))
            assert sorted(found) == sorted(wanted)
        began = time.monotonic()
        stream.services.end(watched.child)
        assert time.monotonic() - began < 8, "what has no end is not waited for"
        assert b'{"why":"stopping"}' in _read_until(watchers[0], b"stopping")


def _read_until(client: socket.socket, last: bytes) -> bytes:
    found = b""
    while last not in found or not found.endswith(b"\n"):
        part = client.recv(65_536)
        assert part, found
        found += part
    return found
