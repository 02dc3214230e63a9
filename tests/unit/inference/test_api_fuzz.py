"""The API against its own document: whatever is asked, no answer is a 5xx and every one is as its schema says.

Many requests of a few operations; every operation gets some of ``test_api_every_operation.py``.

Schemathesis makes the requests and judges the answers, without its pytest plugin, which this pytest is too new for.
That valid data is accepted is not asked: a schema cannot say that a card id is no card number, or that a payment's
amount is bounded in another currency.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.unit.inference.examples import DECISION, TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World, await_true
from tests.unit.inference.twins import MemoryAround
from weir.inference.api.app import build_api
from weir.inference.api.request import event_fields
from weir.schemas.streams.payments import payments

LOCAL = {"host": "127.0.0.1"}
AROUND = ("GET /v1/links/{transaction_id}", "GET /v1/normal/{transaction_id}")
LOOKUPS = ("GET /v1/features/{entity}/{entity_id}", "GET /v1/decisions/{transaction_id}")
LIVE = "GET /v1/decisions/live"
SCORE = "POST /v1/score"
DECIDE = "POST /v1/decide"
SEARCH, DAYS = "GET /v1/decisions", "GET /v1/metrics/daily"
BY_NAME = tuple(label.replace("/v1/", "/v1/streams/transactions/") for label in (*LOOKUPS, SCORE))
"""The same by the name of the stream: the same functions answer."""
UNASKED = [positive_data_acceptance]


def some(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class AnyDecision(dict[str, bytes]):
    """Has a decision for every second id."""

    def get(self, key: str, default: Any = None) -> Any:
        return default if len(key) % 2 else orjson.dumps(DECISION | {"transaction_id": key})


class AnyAround(MemoryAround):
    """Knows every second id."""

    def find_links(self, stream: str, event_id: str) -> bytes | None:
        del stream
        return b"" if len(event_id) % 2 else orjson.dumps(self.links)

    def find_normal(self, stream: str, event_id: str) -> bytes | None:
        del stream
        return b"" if len(event_id) % 2 else orjson.dumps(self.normal)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = Path(tmp_path_factory.mktemp("api"))
    made = World(home)
    made.app = build_api(replace(made.parts, streams=[replace(made.served, around=AnyAround())]))
    made.see(NOW_MS - 7_200_000, NOW_MS - 1_000)
    made.partials.incomplete = ["t01"]
    made.decisions.stored = AnyDecision()
    yield made
    made.guard.close()


@pytest.fixture(scope="module")
def operations(world: World) -> dict[str, Any]:
    document = schemathesis.openapi.from_asgi("/openapi.json", world.app, headers=LOCAL)
    found = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    return {operation.label: operation for operation in found}


def ask(operation: Any, mode: GenerationMode, examples: int) -> Counter[int]:
    """Send made-up requests; every answer is judged by every check of the library but one."""
    answers: Counter[int] = Counter()

    @some(examples)
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call(headers=LOCAL)
        answers[answer.status_code] += 1
        case.validate_response(answer, excluded_checks=UNASKED)

    check()
    return answers


@pytest.mark.parametrize("label", [*LOOKUPS, *AROUND])
def test_a_look_up_of_any_id_is_answered_as_the_document_says(operations: dict[str, Any], label: str) -> None:
    answers = ask(operations[label], GenerationMode.POSITIVE, 60)
    assert answers[200] > 10
    assert set(answers) <= {200, 404, 422}


@pytest.mark.parametrize("label", [SEARCH, DAYS])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_searches_of_the_documents_schema_are_answered_and_others_are_refused(
    operations: dict[str, Any], label: str, mode: GenerationMode
) -> None:
    answers = ask(operations[label], mode, 60)
    assert answers[200 if mode is GenerationMode.POSITIVE else 422] > 10
    assert set(answers) <= {200, 422}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_filters_of_the_documents_schema_choose_and_others_are_refused(
    operations: dict[str, Any], mode: GenerationMode
) -> None:
    answers = ask(operations[LIVE], mode, 40)
    assert answers[200 if mode is GenerationMode.POSITIVE else 422] > 10
    assert set(answers) <= {200, 422}


def test_a_transaction_of_the_documents_schema_is_scored_or_a_named_field_is_wrong(operations: dict[str, Any]) -> None:
    answers = ask(operations[SCORE], GenerationMode.POSITIVE, 100)
    assert answers[200] > 20
    assert set(answers) <= {200, 409, 422}


def test_a_transaction_against_the_documents_schema_is_refused(operations: dict[str, Any]) -> None:
    answers = ask(operations[SCORE], GenerationMode.NEGATIVE, 100)
    assert answers[422] > 50
    assert set(answers) <= {200, 422}  # a query parameter that nobody knows harms nobody; the library knows


def test_a_transaction_of_the_documents_schema_is_decided_or_a_named_field_is_wrong(operations: dict[str, Any]) -> None:
    answers = ask(operations[DECIDE], GenerationMode.POSITIVE, 100)
    assert answers[200] > 10
    assert set(answers) <= {200, 202, 422}


@pytest.mark.parametrize("label", [*LOOKUPS, SCORE, *BY_NAME])
def test_with_redis_away_every_answer_is_still_in_the_document(
    world: World, operations: dict[str, Any], label: str
) -> None:
    world.partials.away = "redis: gone"
    try:
        answers = ask_for_nothing(operations[label])
    finally:
        world.partials.away = ""
        await_true(lambda: not world.guard.reason)  # or the next test would still be refused
    assert answers[503] > 0
    assert set(answers) <= {404, 422, 503}


def ask_for_nothing(operation: Any) -> Counter[int]:
    answers: Counter[int] = Counter()

    @some(15)
    @given(operation.as_strategy())
    def check(case: Any) -> None:
        answer = case.call(headers=LOCAL)
        answers[answer.status_code] += 1
        if answer.status_code != 503:  # documented, but no check of the library would let a 5xx pass
            case.validate_response(answer, excluded_checks=UNASKED)

    check()
    return answers


VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=140)
    | st.lists(st.none(), max_size=2) | st.just({}) | st.sampled_from([-1, 2**31, 2**63 - 1, -(2**63), 1e308, 91.0])
)  # fmt: skip


@some(200)
@given(st.dictionaries(st.sampled_from([field.name for field in event_fields(payments)]), VALUES, max_size=4))
def test_any_value_in_any_field_is_scored_or_refused(world: World, changes: dict[str, Any]) -> None:
    document = TRANSACTION | changes
    answer = world.client.post("/v1/score", content=to_json(document), headers={"content-type": "application/json"})
    assert answer.status_code in {200, 409, 415, 422}


@pytest.mark.parametrize("field", [field.name for field in event_fields(payments)])
def test_a_refused_value_is_never_repeated(world: World, field: str) -> None:
    for value in ("a secret", "a secret" * 20, -987_654_321, 2**60 + 987_654_321, -987654321.5):
        answer = world.score(**{field: value})
        assert answer.status_code in {200, 422}
        if answer.status_code == 422:
            assert "secret" not in answer.text
            assert "987654321" not in answer.text


def to_json(document: Any) -> bytes:
    """As another library would write it: integers of any size, and NaN."""
    return json.dumps(document).encode()


@some(150)
@given(st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 5)), min_size=1, max_size=4))
def test_any_bytes_for_a_body_are_scored_or_refused(world: World, edits: list[tuple[int, bytes, int]]) -> None:
    body = orjson.dumps(TRANSACTION)
    for place, added, cut in edits:
        at = place % (len(body) + 1)
        body = body[:at] + added + body[at + cut :]
    answer = world.client.post("/v1/score", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {200, 409, 415, 422}


def test_a_body_nested_beyond_any_reason_is_refused(world: World) -> None:
    for body in (b"[" * 900_000, b'{"a":' * 150_000):
        answer = world.client.post("/v1/score", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_another_method_is_told_what_is_allowed(world: World, method: str) -> None:
    answer = world.client.ask(method, "/healthz")
    assert (answer.status_code, answer.headers["allow"], answer.json()["error"]["code"]) == (405, "GET", "http")


@pytest.mark.parametrize("length", ["9" * 5_000, "-1", "1e3", "\u00b2"])
def test_a_length_that_is_no_number_of_bytes_gets_413(world: World, length: str) -> None:
    answer = world.client.get("/healthz", headers={"content-length": length.encode("latin-1")})
    assert answer.status_code == 413
