"""A registry that lies, hangs, drips or is flooded: never a traceback, never endless, never a verdict of its own."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import httpx
import pytest

from weir.infra.registry.cache import KEPT_BYTES_MAX, SECONDS_ASKING_MAX, UNKNOWN_MAX, UNKNOWN_SECONDS
from weir.infra.registry.client import REFERENCES_MAX, Registry
from weir.infra.registry.http import ANSWER_BYTES_MAX
from weir.infra.settings import RegistrySettings
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.avro.compatibility import parse_inlined
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord, Refused, Transient

SUBJECT = "transactions-value"
ABSENT = httpx.Response(404, json={"error_code": 40403, "message": "no such schema"})
GUID = uuid.UUID(int=7)


class World:
    """Answers by path; every answer may take its time."""

    def __init__(self, answers: dict[str, Any] | None = None, *, seconds: float = 0.0) -> None:
        self.answers = answers or {}
        self.seconds = seconds
        self.now = 0.0
        self.asked: list[str] = []
        self.registry = Registry(
            RegistrySettings(url="http://registry"),
            monotonic=lambda: self.now,
            transport=httpx.MockTransport(self._answer),
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.now += self.seconds
        self.asked.append(request.url.path)
        answer = self.answers.get(request.url.path, ABSENT)
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)
        return httpx.Response(200, json=answer)


def known(schema_id: int, schema: str = "{}", **more: Any) -> dict[str, Any]:
    return {
        f"/schemas/ids/{schema_id}": {"schema": schema, **more},
        f"/schemas/ids/{schema_id}/versions": [{"subject": SUBJECT, "version": 1}],
    }


LIES = {
    "html": httpx.Response(200, text="<html>sign in</html>"),
    "nothing": httpx.Response(200, text=""),
    "a list": httpx.Response(200, json=[1, 2]),
    "a number": httpx.Response(200, json=5),
    "null": httpx.Response(200, json=None),
    "another object": httpx.Response(200, json={"id": 5}),
    "a schema that is no text": httpx.Response(200, json={"schema": {"type": "record"}}),
    "a redirect": httpx.Response(301, headers={"location": "http://elsewhere/"}),
    "a redirect with a body": httpx.Response(302, json={"schema": "{}"}, headers={"location": "http://elsewhere/"}),
    "no content": httpx.Response(204),
    "a teapot": httpx.Response(418, json={"message": "short"}),
    "deep json": httpx.Response(200, text="[" * 100_000),
    "a 404 of a proxy": httpx.Response(404, text="<html>"),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_lie_is_a_wrong_address_at_first_and_a_registry_that_is_away_once_it_has_answered(lie: str) -> None:
    world = World({"/schemas/ids/5": LIES[lie]})
    with pytest.raises(Refused, match="WEIR_REGISTRY__URL"):
        world.registry.writer_schema(5, SUBJECT)
    world = World(known(4) | {"/schemas/ids/5": LIES[lie]})
    assert isinstance(world.registry.writer_schema(4, SUBJECT), WriterSchema)
    with pytest.raises(Transient, match="registry"):
        world.registry.writer_schema(5, SUBJECT)
    world.answers |= known(5)
    assert isinstance(world.registry.writer_schema(5, SUBJECT), WriterSchema)


@pytest.mark.parametrize("lie", list(LIES))
@pytest.mark.parametrize(
    ("path", "ask"),
    [
        (f"/subjects/{SUBJECT}/versions/latest", lambda registry: registry.latest_id(SUBJECT)),
        (f"/subjects/{SUBJECT}/versions", lambda registry: registry.register(SUBJECT, "{}")),
        (f"/config/{SUBJECT}", lambda registry: registry.level(SUBJECT)),
        (f"/config/{SUBJECT}", lambda registry: registry.require_level(SUBJECT, "NONE")),
        ("/schemas/ids/5/versions", lambda registry: registry.writer_schema(5, SUBJECT)),
        (f"/subjects/{SUBJECT}/versions/1", lambda registry: registry.version_texts(SUBJECT)),
    ],
)
def test_no_lie_ends_in_another_error_wherever_it_is_told(lie: str, path: str, ask: Any) -> None:
    world = World({f"/subjects/{SUBJECT}/versions": [1], "/schemas/ids/5": {"schema": "{}"}} | {path: LIES[lie]})
    with suppress(Refused, Transient):
        ask(world.registry)


@pytest.mark.parametrize("schema_id", [-1, 1 << 31, 1 << 40, "5", None, True, 5.0])
def test_an_id_that_no_frame_can_hold_is_no_id(schema_id: Any) -> None:
    world = World({f"/subjects/{SUBJECT}/versions": {"id": schema_id}})
    with pytest.raises((Refused, Transient)):
        world.registry.register(SUBJECT, "{}")


@pytest.mark.parametrize("text", ["not json", "[]", '"string"', "{}", "x" * 100_000, '{"type": "record"}'])
def test_a_schema_that_is_none_is_a_verdict_on_its_records_alone(text: str) -> None:
    world = World(known(5, text) | known(4, schema_json("transactions")))
    decoded = BatchCodec("transactions").decode(
        [b"\x00\x00\x00\x00\x05body"], lambda schema_id: world.registry.writer_schema(schema_id, SUBJECT)
    )
    assert [error.reason for _, error in decoded.errors] == ["incompatible_schema"]


@pytest.mark.parametrize("kind", ["JSON", "PROTOBUF"])
def test_a_schema_of_another_type_is_named(kind: str) -> None:
    found = World(known(5, "syntax = 3;", schemaType=kind)).registry.writer_schema(5, SUBJECT)
    assert isinstance(found, PoisonRecord)
    assert (found.reason, kind in str(found)) == ("incompatible_schema", True)


def test_an_answer_that_is_huge_is_given_up_in_the_middle() -> None:
    read = [0]

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                read[0] += 1 << 20
                yield bytes(1 << 20)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    with pytest.raises(Transient, match="found more"):
        Registry(RegistrySettings(url="http://registry"), transport=transport).writer_schema(5, SUBJECT)
    assert read[0] <= ANSWER_BYTES_MAX + (2 << 20)


@pytest.mark.parametrize("drips", [True, False])
def test_a_registry_that_hangs_or_drips_is_away_within_its_timeout(drips: bool) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_answer_slowly, args=(server, drips), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        registry = Registry(RegistrySettings(url=url, timeout_seconds=0.3))
        began = time.monotonic()
        with pytest.raises(Transient, match="registry"):
            registry.writer_schema(5, SUBJECT)
        registry.close()
    assert time.monotonic() - began < 5


def _answer_slowly(server: socket.socket, drips: bool) -> None:
    connection, _ = server.accept()
    with closing(connection):
        connection.recv(4_096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(200):
            try:
                connection.sendall(b" " if drips else b"")
            except OSError:
                return
            time.sleep(0.05)


def test_a_flood_of_unknown_ids_on_a_slow_registry_stops_asking_after_some_seconds() -> None:
    world = World(seconds=0.5)
    found = [world.registry.writer_schema(number, SUBJECT) for number in range(2_000)]
    assert {each.reason for each in found if isinstance(each, PoisonRecord)} == {"unknown_schema_id"}
    assert world.now <= SECONDS_ASKING_MAX + 0.5
    world.now += UNKNOWN_SECONDS
    asked = len(world.asked)
    world.registry.writer_schema(1, SUBJECT)
    assert len(world.asked) == asked + 1


def test_a_flood_of_foreign_ids_keeps_a_bounded_number_of_bytes() -> None:
    big = json.dumps({"type": "record", "name": "R", "doc": "x" * 500_000, "fields": []})
    answers = {f"/schemas/ids/{number}": {"schema": big} for number in range(300)}
    world = World(answers | {f"/schemas/ids/{number}/versions": [] for number in range(300)})
    for number in range(300):
        found = world.registry.writer_schema(number, SUBJECT)
        assert isinstance(found, WriterSchema)
        assert not found.subject_ok
    kept = world.registry._kept
    assert kept._bytes == sum(len(each.schema) + 200 for each in kept._schemas.values()) <= KEPT_BYTES_MAX
    assert len(kept._schemas) < 300


def test_a_flood_of_unknown_guids_is_not_a_flood_on_the_registry() -> None:
    world = World()
    for number in range(UNKNOWN_MAX * 2):
        assert isinstance(world.registry.id_of_guid(uuid.UUID(int=number), SUBJECT), PoisonRecord)
    assert len(world.asked) == UNKNOWN_MAX


def test_a_guid_is_found_once_by_its_schema_under_the_subject() -> None:
    world = World({f"/schemas/guids/{GUID}": {"schema": "{}"}, f"/subjects/{SUBJECT}": {"id": 5, "version": 1}})
    assert [world.registry.id_of_guid(GUID, SUBJECT) for _ in range(3)] == [5] * 3
    assert world.asked == [f"/schemas/guids/{GUID}", f"/subjects/{SUBJECT}"]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({}, "unknown_schema_id"),
        ({f"/schemas/guids/{GUID}": httpx.Response(404, json={"error_code": 0})}, "unsupported_schema_guid"),
        ({f"/schemas/guids/{GUID}": {"schema": "{}"}}, "foreign_schema_id"),
    ],
)
def test_a_guid_that_is_not_ours_says_why(answers: dict[str, Any], reason: str) -> None:
    found = World(answers).registry.id_of_guid(GUID, SUBJECT)
    assert isinstance(found, PoisonRecord)
    assert found.reason == reason


def refer(*subjects: str) -> list[dict[str, Any]]:
    return [{"name": subject, "subject": subject, "version": 1} for subject in subjects]


def wrapper(name: str, inside: str) -> str:
    return json.dumps({"type": "record", "name": name, "namespace": "shop", "fields": [{"name": "f", "type": inside}]})


def with_fee(kind: str) -> str:
    ours = json.loads(schema_json("transactions"))
    return json.dumps(ours | {"fields": [*ours["fields"], {"name": "fee", "type": ["null", kind], "default": None}]})


def version(subject: str, schema: str, *references: str) -> dict[str, Any]:
    return {f"/subjects/{subject}/versions/1": {"id": 90, "schema": schema, "references": refer(*references)}}


def test_references_are_fetched_to_their_end_once_each_and_the_schema_stands_alone() -> None:
    money = '{"type": "fixed", "name": "Money", "namespace": "shop", "size": 4}'
    world = World(
        known(5, with_fee("shop.Fee"), references=refer("fee", "money"))
        | version("fee", wrapper("Fee", "Money"), "money")
        | version("money", money)
    )
    found = world.registry.writer_schema(5, SUBJECT)
    assert isinstance(found, WriterSchema)
    assert found.subject_ok
    fee = parse_inlined(found.schema)["fields"][-1]["type"][1]
    assert fee["fields"] == [{"name": "f", "type": {"type": "fixed", "size": 4, "name": "Money"}}]
    assert sorted(world.asked) == sorted(
        ["/schemas/ids/5", "/subjects/fee/versions/1", "/subjects/money/versions/1", "/schemas/ids/5/versions"]
    )
    assert world.registry.writer_schema(5, SUBJECT) == found
    assert len(world.asked) == 4


BROKEN: dict[str, dict[str, Any]] = {
    "absent": {},
    "itself": version("fee", wrapper("Fee", "shop.Fee"), "fee"),
    "a circle": version("fee", wrapper("Fee", "B"), "b") | version("b", wrapper("B", "Fee"), "fee"),
    "no schema": version("fee", "not json"),
    "a list": version("fee", "[1, 2]"),
    "too many": {
        path: answer
        for number in range(REFERENCES_MAX + 5)
        for path, answer in version(
            "fee" if number == 0 else f"n{number}", wrapper(f"N{number}", f"N{number + 1}"), f"n{number + 1}"
        ).items()
    },
}


@pytest.mark.parametrize("how", list(BROKEN))
def test_a_reference_that_leads_nowhere_is_a_verdict_on_the_schemas_records(how: str) -> None:
    world = World(known(5, with_fee("shop.Fee"), references=refer("fee")) | BROKEN[how])
    decoded = BatchCodec("transactions").decode(
        [b"\x00\x00\x00\x00\x05body"], lambda schema_id: world.registry.writer_schema(schema_id, SUBJECT)
    )
    assert [error.reason for _, error in decoded.errors] == ["incompatible_schema"]
    assert len(world.asked) <= REFERENCES_MAX + 5


@pytest.mark.parametrize(
    "references", [5, "x", {"a": 1}, [None], [[]], [{"subject": 5, "version": 1}], [{"name": "x"}]]
)
def test_references_that_are_none_end_nothing(references: Any) -> None:
    found = World(known(5, with_fee("shop.Fee"), references=references)).registry.writer_schema(5, SUBJECT)
    assert isinstance(found, WriterSchema | PoisonRecord)
