"""Every operation of the document is asked, by its example and by requests made from its schema, and answers well once.

The requests are of a world that has a thing of each kind (``filled.py``), so that what takes an id has one to be asked
of. Every answer is judged by the checks of Schemathesis, as in ``test_api_fuzz.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from tests.unit.inference.keyed import OURS, THEIRS, Served
from tests.unit.inference.test_api_keys import SCOPES
from tests.unit.inference.things import NAMED, OTHERS, VERSIONED, Given
from tests.unit.inference.uploading import read_here
from weir.access.key import Scope
from weir.inference.api.access import OPEN
from weir.inference.api.app import build_api

UNDOCUMENTED = frozenset({"GET /", "GET /docs", "GET /metrics", "GET /openapi.json"})
"""Pages for people, metrics, and the document itself."""
LABELS = [label for label in SCOPES if label not in UNDOCUMENTED] + [f"GET {path}" for path in sorted(OPEN)]
OF_PROCESS = frozenset({"GET /v1/keys", "GET /v1/audit", "POST /v1/keys/{key_id}/revoke"})
BY_NAME = [
    label.replace("/v1/", f"/v1/streams/{OURS}/")
    for label in LABELS
    if label.split()[1].startswith("/v1/") and label not in OF_PROCESS
]
EXAMPLES, EXAMPLES_BY_NAME = 12, 4
"""Requests of each kind; under the name of a stream the same functions answer."""
MORE_BY_NAME = {f"POST /v1/streams/{OURS}/uploads": 12}
"""The first files that are made up are empty, which is no file."""
PLAIN = frozenset(
    {
        "GET /healthz", "GET /readyz", "GET /v1/keys", "GET /v1/models", "GET /v1/models/history", "GET /v1/quality",
        "GET /v1/rules/proposals", "GET /v1/lists/proposals", "GET /v1/uploads",
    }
)  # fmt: skip
"""Those of which no request can be wrong."""
PARQUET = "application/vnd.apache.parquet"
"""Has no example, for it is no text."""
CARD_NUMBER = "4111111111111111"
BATCHES = frozenset({"POST /v1/score/batch", "POST /api/v1/inference/batch-process"})
"""What is no event among others has an error of its own, in a good answer."""
UNASKED = [positive_data_acceptance, ignored_auth]
"""A schema cannot say all that is right of a payment; that each path asks for a key is ``test_api_keys.py``'s."""


class Asked:
    """The world, the operations of its document, and a key."""

    def __init__(self, home: Path) -> None:
        self.served = Served(home, read=read_here)
        self.headers = self.served.key(Scope.ADMIN)
        self.document = self.served.client.get("/openapi.json", headers=self.headers).json()
        loaded = schemathesis.openapi.from_asgi("/openapi.json", self.served.app, headers=self.headers)
        found = [result.ok() for result in loaded.get_all_operations() if isinstance(result, Ok)]
        self.operations = {operation.label: operation for operation in found}

    def describe(self, label: str) -> dict[str, Any]:
        """Return what the document says of an operation."""
        method, path = label.split()
        found: dict[str, Any] = self.document["paths"][path][method.lower()]
        return found

    def find(self, label: str) -> Given:
        """Make the thing that an operation is asked of."""
        name = label.replace(f"/v1/streams/{OURS}/", "/v1/").replace(" /v1/", " ")
        if name == "POST keys/{key_id}/revoke":
            return Given({"key_id": self.served.new_key_id()}, {})
        if "inference/{model}" in name:
            return Given({"model": self.served.ours.parts.champion.bundle.manifest.name})
        known = NAMED | VERSIONED | OTHERS
        return known[name](self.served.ours) if name in known else Given()

    def call(self, case: Any) -> Any:
        """Send a request; its answer is judged."""
        answer = case.call(headers=self.headers)
        is_batch = case.operation.label.replace(f"/v1/streams/{OURS}/", "/v1/") in BATCHES
        case.validate_response(answer, excluded_checks=[*UNASKED, *([negative_data_rejection] if is_batch else [])])
        return answer

    def ask(self, label: str, mode: GenerationMode, number: int) -> Counter[int]:
        """Send made-up requests of one thing each; return how they were answered."""
        answers: Counter[int] = Counter()
        operation = self.operations[label]

        @settings(max_examples=number, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            answers[self.call(self._point(case, mode)).status_code] += 1

        check()
        return answers

    def _point(self, case: Any, mode: GenerationMode) -> Any:
        """Have a request that was made from the schema carry our key alone, and ask of a thing that there is."""
        for name in [each for each in case.headers or {} if each.lower() in {"x-api-key", "authorization"}]:
            del case.headers[name]
        if mode is not GenerationMode.POSITIVE:
            return case
        thing = self.find(case.operation.label)
        case.path_parameters = {**(case.path_parameters or {}), **thing.path}
        case.query = {**(case.query or {}), **thing.query}
        if thing.body is not None and isinstance(case.body, dict):
            case.body = {**case.body, **thing.body}
        return case


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    made = Asked(tmp_path_factory.mktemp("every"))
    yield made
    made.served.close()


def is_good(answers: Counter[int]) -> bool:
    return any(200 <= status < 300 for status in answers)


def test_every_operation_of_the_document_is_asked(asked: Asked) -> None:
    assert {*LABELS, *BY_NAME} == {label for label in asked.operations if f"/{THEIRS}/" not in label}


@pytest.mark.parametrize("label", [*LABELS, *BY_NAME])
def test_an_operation_answers_well_to_requests_of_its_schema(asked: Asked, label: str) -> None:
    number = MORE_BY_NAME.get(label, EXAMPLES_BY_NAME) if label in BY_NAME else EXAMPLES
    answers = asked.ask(label, GenerationMode.POSITIVE, number)
    assert is_good(answers), f"expected a success among the answers, found {answers}"
    assert max(answers) < 500


def test_what_takes_no_argument_is_named_here(asked: Asked) -> None:
    takes = {label for label in LABELS if {"parameters", "requestBody"} & set(asked.describe(label))}
    assert takes == set(LABELS) - PLAIN


@pytest.mark.parametrize("label", [label for label in LABELS if label not in PLAIN])
def test_an_operation_refuses_requests_against_its_schema(asked: Asked, label: str) -> None:
    answers = asked.ask(label, GenerationMode.NEGATIVE, EXAMPLES)
    assert answers
    assert max(answers) < 500


@pytest.mark.parametrize("label", LABELS)
def test_the_example_of_an_operation_is_answered_well(asked: Asked, label: str) -> None:
    operation, thing = asked.operations[label], asked.find(label)
    content = operation.definition.raw.get("requestBody", {}).get("content", {})
    kind = next(iter(content), None)
    body = {"body": content[kind]["example"], "media_type": kind} if kind else {}
    if thing.body is not None and kind == "application/json":
        body["body"] = {**body["body"], **thing.body}
    case = operation.Case(path_parameters=thing.path, query=thing.query, **body)
    assert 200 <= asked.call(case).status_code < 300


def list_contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the type and the description of each body that is sent, and of each that a success answers with."""
    good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for each in (operation.get("requestBody", {}), *good):
        yield from each.get("content", {}).items()


@pytest.mark.parametrize("label", LABELS)
def test_each_body_and_each_good_answer_has_an_example_of_its_schema(asked: Asked, label: str) -> None:
    for kind, content in list_contents(asked.describe(label)):
        assert ("example" in content) == (kind != PARQUET), kind
        if kind == "application/json":
            jsonschema.validate(content["example"], content["schema"])


def test_the_document_asks_who_does_it_where_no_key_says_so(asked: Asked) -> None:
    open_to_all = replace(asked.served.parts, find_key=None, audit=None)
    without_keys = build_api(open_to_all).openapi()
    changes = [label for label in LABELS if SCOPES.get(label) in {"review", "rules", "admin"} and "POST" in label]
    asking = [label for label in changes if label not in {"POST /v1/labels", "POST /v1/keys/{key_id}/revoke"}]
    assert len(asking) >= 14
    for label in asking:
        path = label.split()[1]
        keyed, unkeyed = (
            document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            for document in (asked.document, without_keys)
        )
        assert ("by" in keyed["schema"]["properties"], "by" in keyed["example"]) == (False, False), label
        assert ("by" in unkeyed["schema"]["required"], "by" in unkeyed["example"]) == (True, True), label


@pytest.mark.parametrize("label", [label for label in LABELS if label not in PLAIN])
def test_no_answer_repeats_an_argument(asked: Asked, label: str) -> None:
    method, path = label.split()
    query = {}
    for each in asked.describe(label).get("parameters", ()):
        path = path.replace(f"{{{each['name']}}}", CARD_NUMBER)
        if each["in"] == "query":
            query[each["name"]] = CARD_NUMBER
    for params in ({}, *({name: value} for name, value in query.items()), query):
        body = {"json": {"text": CARD_NUMBER, "version": CARD_NUMBER}} if method == "POST" else {}
        answer = asked.served.client.ask(method, path, headers=asked.headers, params=params, **body)
        assert answer.is_success or CARD_NUMBER not in answer.text, answer.text
