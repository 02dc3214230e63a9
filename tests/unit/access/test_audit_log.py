"""Audit records behind the calls: what is written, what is waited for, and what is counted as lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from weir.access.audit import log as logging
from weir.access.audit.log import AuditLog
from weir.access.audit.pseudonym import Pseudonyms, key_path, load_pseudonyms
from weir.monitoring import metrics
from weir.schemas.audit import SCHEMA, AuditRecord, NotAudited, read_record
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.errors import Refused, Transient

NAMES = Pseudonyms(b"test")


class Broker:
    """Takes records, and says so at the next poll, unless it is away."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.away = self.full = False
        self._told: list[tuple[Callable[[Any, Any], None], bool]] = []

    def produce(self, topic: str, value: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        assert topic == "audit"
        if self.full:
            raise BufferError("full")
        if not self.away:
            self.values.append(value)
        self._told.append((on_delivery, not self.away))

    def poll(self, timeout: float) -> int:
        assert timeout >= 0
        told, self._told = self._told, []
        for tell, is_written in told:
            tell(None if is_written else "away", None)
        time.sleep(0)
        return len(told)

    def flush(self, timeout: float) -> int:
        return self.poll(timeout) * 0

    @property
    def records(self) -> list[AuditRecord]:
        schema = WriterSchema(1, subject_ok=True, schema=SCHEMA)
        decoded = BatchCodec(schema=SCHEMA).decode(list(self.values), lambda _: schema)
        return [read_record(each) for each in decoded.batch.to_pylist()]


class World:
    def __init__(self) -> None:
        self.broker = Broker()
        self.registry_away = False
        self.log = AuditLog(
            self.broker, topic="audit", schema_id=self._schema_id, name=NAMES.name, records_max=10
        )  # fmt: skip

    def _schema_id(self) -> int:
        if self.registry_away:
            raise Transient("registry: away")
        return 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(logging, "GATHER_SECONDS", 0.005)
    monkeypatch.setattr(logging, "_AGAIN_SECONDS", 0.005)
    made = World()
    yield made
    made.log.close()


def made(request_id: str, **changes: Any) -> AuditRecord:
    given: dict[str, Any] = {
        "phase": "call", "time_ms": 7, "request_id": request_id, "key_id": "k", "address": "127.0.0.1", "method": "GET",
        "route": "/v1/models", "stream": "transactions", "about": "", "status": 200, "micros": 9,
    }  # fmt: skip
    return AuditRecord(**given | changes)


def await_true(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def missed() -> float:
    return float(metrics.AUDIT_MISSED._value.get())


def test_what_is_noted_is_written_in_order_and_no_id_is_in_it(world: World) -> None:
    noted = [made(f"r{number}", about=f"card=secret-{number}") for number in range(5)]
    for each in noted:
        world.log.note(each)
    await_true(lambda: len(world.broker.values) == 5)
    assert [each.request_id for each in world.broker.records] == [each.request_id for each in noted]
    assert [each.about for each in world.broker.records] == [NAMES.name(each.about) for each in noted]
    assert b"secret" not in b"".join(world.broker.values)


def test_a_request_id_that_the_client_gave_is_a_pseudonym(world: World) -> None:
    world.log.note(made("given=secret"))
    await_true(lambda: world.broker.values)
    assert [each.request_id for each in world.broker.records] == [NAMES.name("given=secret")]


def test_an_intent_is_with_the_brokers_when_its_change_begins(world: World) -> None:
    asyncio.run(world.log.write(made("r1", phase="intent")))
    assert [each.phase for each in world.broker.records] == ["intent"]


@pytest.mark.parametrize("fault", ["away", "full", "registry"])
def test_a_change_whose_intent_cannot_be_written_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(logging, "INTENT_SECONDS", 0.2)
    world.broker.away, world.broker.full, world.registry_away = fault == "away", fault == "full", fault == "registry"
    with pytest.raises(NotAudited, match="nothing was changed"):
        asyncio.run(world.log.write(made("r1", phase="intent")))


def test_intents_are_bounded_and_one_that_nobody_waits_for_is_not_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "INTENT_SECONDS", 0.1)
    world.registry_away = True
    with pytest.raises(NotAudited):
        asyncio.run(world.log.write(made("refused", phase="intent")))
    for number in range(5):
        world.log.note(made(f"r{number}"))
    monkeypatch.setattr(world.log, "_records_max", 0)
    monkeypatch.setattr(logging, "INTENT_SECONDS", 60)  # it is refused at once
    with pytest.raises(NotAudited):
        asyncio.run(world.log.write(made("too many", phase="intent")))
    world.registry_away = False
    await_true(lambda: len(world.broker.values) == 5)
    assert {each.phase for each in world.broker.records} == {"call"}


def test_what_waits_holds_no_id(world: World) -> None:
    world.registry_away = True
    world.log.note(made("r", about="card=" + "x" * 32_000))
    await_true(lambda: world.log._waiting)
    assert len(world.log._waiting[0][0].about) == 32


def test_what_is_lost_is_counted_and_told_by_the_next_record(world: World) -> None:
    before = missed()
    world.broker.away = True
    for number in range(3):
        world.log.note(made(f"lost{number}"))
    await_true(lambda: missed() == before + 3)
    world.broker.away = False
    world.log.note(made("after"))
    await_true(lambda: world.broker.values)
    assert [(each.request_id, each.missed) for each in world.broker.records] == [("after", 3)]
    world.log.note(made("then"))
    await_true(lambda: len(world.broker.values) == 2)
    assert world.broker.records[1].missed == 0


def test_a_registry_that_is_away_loses_what_is_more_than_may_wait_and_no_more(world: World) -> None:
    before, world.registry_away = missed(), True
    for number in range(14):
        world.log.note(made(f"r{number}"))
        if number == 9:
            time.sleep(0)  # the thread may hold a batch in its hands, which waits too
    world.registry_away = False
    await_true(lambda: len(world.broker.values) + missed() - before == 14)
    assert [each.request_id for each in world.broker.records][:10] == [f"r{number}" for number in range(10)]
    assert sum(each.missed for each in world.broker.records) == missed() - before


def test_what_waits_is_written_before_the_process_ends(world: World) -> None:
    for number in range(5):
        world.log.note(made(f"r{number}"))
    world.log.close()
    assert len(world.broker.values) == 5


def test_names_are_those_of_the_homes_key_which_its_owner_alone_reads(tmp_path: Path) -> None:
    first, again, other = (load_pseudonyms(home) for home in (tmp_path / "a", tmp_path / "a", tmp_path / "b"))
    assert first.name("card=c1") == again.name("card=c1") != other.name("card=c1")
    assert first.name("") == ""
    assert key_path(tmp_path / "a").stat().st_mode & 0o777 == 0o600
    key_path(tmp_path / "b").write_text("nothing")
    with pytest.raises(Refused, match="hexadecimal"):
        load_pseudonyms(tmp_path / "b")
    key_path(tmp_path / "a").chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        load_pseudonyms(tmp_path / "a")
