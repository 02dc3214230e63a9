from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from pydantic import SecretStr

from tests.unit.infra.registry_contract import RegistryContract
from weir.infra.registry.cache import UNKNOWN_MAX, UNKNOWN_SECONDS
from weir.infra.registry.client import Registry
from weir.infra.registry.memory import MemoryRegistry
from weir.infra.settings import RegistrySettings
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.errors import PoisonRecord, Refused, Transient

SUBJECT = "transactions-value"
ABSENT = httpx.Response(404, json={"error_code": 40403, "message": "no such schema"})


class TestMemoryRegistry(RegistryContract):
    @pytest.fixture
    def registry(self) -> MemoryRegistry:
        return MemoryRegistry()


class Server:
    """Answers in place of the network, by path; counts what it was asked."""

    def __init__(self, **answers: httpx.Response | Exception) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.now = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        answer = self.answers[request.url.path.strip("/").replace("/", "_")]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, request=request)

    def client(self, **settings: str) -> Registry:
        return Registry(
            RegistrySettings.model_validate({"url": "http://registry", **settings}),
            monotonic=lambda: self.now,
            transport=httpx.MockTransport(self),
        )


def known(*subjects: str) -> dict[str, httpx.Response | Exception]:
    return {
        "schemas_ids_5": httpx.Response(200, json={"schema": "{}"}),
        "schemas_ids_5_versions": httpx.Response(200, json=[{"subject": name, "version": 1} for name in subjects]),
    }


def test_a_known_id_is_asked_for_once() -> None:
    server = Server(**known(SUBJECT))
    registry = server.client()
    found = [registry.writer_schema(5, SUBJECT) for _ in range(3)]
    assert found == [WriterSchema(5, True, "{}")] * 3
    assert server.asked == ["/schemas/ids/5", "/schemas/ids/5/versions"]


@pytest.mark.parametrize(
    ("first", "is_heard"),
    [
        ({"schemas_ids_5": ABSENT}, lambda found: isinstance(found, PoisonRecord)),
        (known("other-value"), lambda found: found == WriterSchema(5, False, "{}")),
    ],
    ids=["unknown", "foreign"],
)
def test_an_id_that_is_not_ours_is_remembered_for_a_while_and_then_asked_again(
    first: dict[str, httpx.Response | Exception], is_heard: Callable[[object], bool]
) -> None:
    server = Server(**first)
    registry = server.client()
    assert is_heard(registry.writer_schema(5, SUBJECT))
    server.answers = known(SUBJECT)
    asked = len(server.asked)
    server.now = UNKNOWN_SECONDS - 0.1
    assert is_heard(registry.writer_schema(5, SUBJECT))
    assert len(server.asked) == asked
    server.now = UNKNOWN_SECONDS
    assert registry.writer_schema(5, SUBJECT) == WriterSchema(5, True, "{}")


def test_a_flood_of_unknown_ids_is_not_a_flood_on_the_registry() -> None:
    server = Server(**{f"schemas_ids_{number}": ABSENT for number in range(UNKNOWN_MAX * 2)})
    registry = server.client()
    found = [registry.writer_schema(number, SUBJECT) for number in range(UNKNOWN_MAX * 2)]
    assert all(isinstance(each, PoisonRecord) and each.reason == "unknown_schema_id" for each in found)
    assert len(server.asked) == UNKNOWN_MAX


def test_a_known_id_is_answered_during_a_flood() -> None:
    server = Server(**known(SUBJECT), **{f"schemas_ids_{number}": ABSENT for number in range(10, 10 + UNKNOWN_MAX)})
    registry = server.client()
    registry.writer_schema(5, SUBJECT)
    for number in range(10, 10 + UNKNOWN_MAX):
        registry.writer_schema(number, SUBJECT)
    assert registry.writer_schema(5, SUBJECT) == WriterSchema(5, True, "{}")


@pytest.mark.parametrize(
    "answer",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.Response(503), httpx.Response(429)],
    ids=["refused", "slow", "failing", "throttled"],
)
def test_a_registry_that_is_away_is_transient_and_nothing_is_remembered(answer: httpx.Response | Exception) -> None:
    server = Server(schemas_ids_5=answer)
    registry = server.client()
    with pytest.raises(Transient, match="registry"):
        registry.writer_schema(5, SUBJECT)
    server.answers = known(SUBJECT)
    assert registry.writer_schema(5, SUBJECT) == WriterSchema(5, True, "{}")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json={"error_code": 404, "message": "HTTP 404 Not Found"}),
        httpx.Response(404, text="<html>"),
        httpx.Response(200, text="<html>"),
    ],
    ids=["no such endpoint", "a page that is absent", "another page"],
)
def test_a_wrong_address_is_refused_and_never_a_verdict_on_an_id(answer: httpx.Response) -> None:
    with pytest.raises(Refused, match="WEIR_REGISTRY__URL"):
        Server(schemas_ids_5=answer).client().writer_schema(5, SUBJECT)


@pytest.mark.parametrize(
    ("looked_up", "subject_ok"),
    [
        (httpx.Response(200, json={"id": 5, "version": 1}), True),
        (httpx.Response(200, json={"id": 6, "version": 1}), False),
        (ABSENT, False),
    ],
)
def test_a_registry_without_the_versions_of_an_id_is_asked_by_text(looked_up: httpx.Response, subject_ok: bool) -> None:
    no_such_endpoint = httpx.Response(404, json={"error_code": 404})
    answers = known() | {"schemas_ids_5_versions": no_such_endpoint, f"subjects_{SUBJECT}": looked_up}
    assert Server(**answers).client().writer_schema(5, SUBJECT) == WriterSchema(5, subject_ok, "{}")


def test_credentials_are_sent_and_a_closed_door_is_refused_without_showing_them() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(401)

    settings = RegistrySettings(url="http://registry/", username="u", password=SecretStr("hidden"))
    registry = Registry(settings, transport=httpx.MockTransport(answer))
    with pytest.raises(Refused) as refusal:
        registry.latest_id(SUBJECT)
    assert seen == ["Basic dTpoaWRkZW4="]
    assert "hidden" not in str(refusal.value)


def test_a_ca_file_that_is_absent_is_refused_with_the_setting_named() -> None:
    with pytest.raises(Refused, match="WEIR_REGISTRY__SSL_CA_LOCATION"):
        Registry(RegistrySettings().model_copy(update={"ssl_ca_location": "absent.pem"}))


def test_an_incompatible_schema_is_refused_with_the_registrys_own_words() -> None:
    answer = httpx.Response(409, json={"error_code": 409, "message": "READER_FIELD_MISSING"})
    with pytest.raises(Refused, match="READER_FIELD_MISSING"):
        Server(**{f"subjects_{SUBJECT}_versions": answer}).client().register(SUBJECT, "{}")


def test_waiting_gives_up_at_the_deadline() -> None:
    server = Server(subjects=httpx.ConnectError("refused"))
    with pytest.raises(Transient):
        server.client().wait_ready(0.0)


def test_waiting_returns_once_the_registry_answers() -> None:
    server = Server(subjects=httpx.Response(200, content=json.dumps([])))
    server.client().wait_ready(0.0)
    assert server.asked == ["/subjects"]
