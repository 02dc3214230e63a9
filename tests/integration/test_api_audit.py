"""The audit log on a real broker: what a key did, found again by who, by what and by when, and no id in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import TopicPartition

import weir.audit as weir_audit
from tests.integration.archive_oracle import find_differences
from tests.integration.command_line import Weir, run_in_process
from tests.integration.decided import read_topic
from tests.unit.access.test_audit_log import await_true
from tests.unit.inference.test_api import World
from tests.unit.inference.test_api_audit import LABEL
from tests.unit.inference.twins import Client
from weir.access.audit.build import open_audit
from weir.access.audit.read import NewestCalls
from weir.access.key import Scope, build_key, hash_text
from weir.archive.run import Task, find_root, list_followed, run_archiver
from weir.inference.api.app import build_api
from weir.infra.kafka.clients import build_admin
from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import ArchiveSettings, Settings
from weir.monitoring import metrics
from weir.schemas.audit import AuditRecord
from weir.schemas.streams.payments import payments

pytestmark = pytest.mark.server

HOUR_MS = 3_600_000
TEXT = "a key"
KEY = build_key("0123abcd", hash_text(TEXT), "till", [Scope.ADMIN], (), now_ms=0, by="test")


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


@pytest.fixture
def settings(deployment: Settings, tmp_path: Path) -> Settings:
    return deployment.model_copy(update={"home": tmp_path})


def test_calls_and_changes_are_found_again_and_no_id_is_in_the_log(weir: Weir, settings: Settings) -> None:
    world = World(settings.home)
    audit = open_audit(settings)
    with closing(world.guard), closing(audit):
        served = replace(world.served, labels=world.publisher)
        parts = replace(world.parts, streams=[served], find_key={TEXT: KEY}.get, audit=audit)
        parts = replace(parts, now_ms=lambda: int(time.time() * 1_000))
        before = metrics.AUDIT_RECORDS._value.get()
        client, headers = Client(build_api(parts)), {"x-api-key": TEXT}
        assert client.get("/v1/features/card/secret-card", headers=headers).status_code == 200
        assert client.get("/v1/models", headers={"x-api-key": "another"}).status_code == 401
        await_true(lambda: metrics.AUDIT_RECORDS._value.get() >= before + 2)  # so the brokers are connected
        label = LABEL | {"event_time_ms": int(time.time() * 1_000) - 1_000}
        assert client.post("/v1/labels", json=label, headers=headers).status_code == 200

    assert weir(settings, "keys", "create", "till", "--scopes", "read", "--json")[0] == 0
    code, printed, _ = weir(settings, "audit", "calls", "--json")
    found = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert [(each["key_id"], each["phase"], each["status"]) for each in found] == [
        ("0123abcd", "call", 200), ("", "call", 401), ("0123abcd", "intent", 0), ("0123abcd", "result", 200)
    ]  # fmt: skip
    about = [weir(settings, "audit", "calls", "--about", each, "--json")[1] for each in ("card=secret-card", "x")]
    assert [len(each.splitlines()) for each in about] == [1, 0]
    assert len(weir(settings, "audit", "calls", "--who", "0123abcd")[1].splitlines()) >= 4
    written = read_topic(settings, settings.topics.audit)
    everything = b"".join(message.value() or b"" for message in written)
    assert b"/v1/features/{entity}/{entity_id}" in everything
    assert not any(text in everything for text in (b"secret-card", label["transaction_id"].encode(), TEXT.encode()))

    code, printed, _ = weir(settings, "audit", "changes", "--json")
    changes = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert {(each["what"], each["of"].split()[0], each["outcome"]) for each in changes} == {
        ("create", "key", "done"), ("POST", "/v1/labels", "done")
    }  # fmt: skip


def test_the_archive_has_every_call_once_when_the_topic_has_forgotten_them(weir: Weir, settings: Settings) -> None:
    note_numbered(settings, 0, 20)
    archive(settings)
    archive(settings)
    topics = [each.topic for each in list_followed(settings, [payments], audit=True)]
    assert find_differences(find_root(settings).uri, settings.kafka.bootstrap_servers, topics) == []
    code, printed, said = weir(settings, "audit", "calls", "--json")
    assert (code, said, len(printed.splitlines())) == (0, "", 20)
    assert weir(settings, "audit", "calls", "--from", "archive", "--json") == (0, printed, "")

    forget(settings, settings.topics.audit)
    code, left, said = weir(settings, "audit", "calls")
    assert (code, left) == (0, "no call of this kind since then\n")
    assert "--from archive" in said
    assert weir(settings, "audit", "calls", "--from", "archive", "--json") == (0, printed, "")


def note_numbered(settings: Settings, first: int, count: int) -> None:
    with closing(open_audit(settings)) as audit:
        for number in range(first, first + count):
            record = AuditRecord("call", 1_000 + number, f"r{number}", "k", "", "GET", "/v1/models", "", "c1", 200, 1)
            audit.note(record)


def test_calls_that_a_backup_puts_back_are_shown_once_wherever_else_they_are(
    weir: Weir, settings: Settings, tmp_path: Path
) -> None:
    weir(settings, "keys", "list")  # makes the database
    note_numbered(settings, 0, 20)
    archive(settings)
    note_numbered(settings, 20, 5)
    code, printed, _ = weir(settings, "audit", "calls", "--json")
    assert len(printed.splitlines()) == 25
    code, said, _ = weir(settings, "backup", str(tmp_path / "one.tar.xz"))
    assert (code, "archive, topic" in said, " 25 " in said) == (0, True, True), said
    code, said, _ = weir(settings, "backup", str(tmp_path / "archived.tar.xz"), "--calls", "archive")
    assert (code, " 20 " in said) == (0, True), said

    here = settings.model_copy(update={"home": tmp_path / "here"})
    assert weir(here, "restore", str(tmp_path / "one.tar.xz"), "--apply")[0] == 0
    of_both = settings.model_copy(update={"home": here.home, "archive": archive_of(settings)})
    for own in (here, of_both):
        assert weir(own, "audit", "calls", "--json") == (0, printed, "")
    assert sorted_calls(weir(of_both, "audit", "calls", "--from", "archive", "--json")[1]) == sorted_calls(printed)
    forget(settings, settings.topics.audit)
    assert weir(here, "audit", "calls", "--json")[1] == printed
    note_numbered(settings, 25, 1)
    code, said, _ = weir(of_both, "backup", str(tmp_path / "two.tar.xz"))
    assert (code, "put back before, archive, topic" in said, " 26 " in said) == (0, True, True), said


def archive_of(settings: Settings) -> ArchiveSettings:
    return settings.archive.model_copy(update={"root": str(settings.home / "archive")})


def sorted_calls(printed: str) -> list[str]:
    return sorted(printed.splitlines())


def note(settings: Settings, request_id: str, *keys: str) -> list[int]:
    """Have a call of each key noted; return when the brokers appended those of the log."""
    with closing(open_audit(settings)) as audit:
        for key in keys:
            audit.note(AuditRecord("call", 1_000, request_id, key, "", "GET", "/v1/models", "", "c1", 200, 1))
    return [message.timestamp()[1] for message in read_topic(settings, settings.topics.audit)]


@pytest.mark.parametrize("source", ["topic", "archive", "api"])
def test_calls_of_others_and_older_ones_are_left_out(
    weir: Weir, settings: Settings, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    old_ms = note(settings, "old", "anna", "ben")
    await_true(lambda: time.time() * 1_000 > max(old_ms) + 1)
    new_ms = sorted(set(note(settings, "new", "anna", "ben")) - set(old_ms))
    assert max(old_ms) < min(new_ms)
    if source == "archive":
        archive(settings)

    def ask(since_ms: int, who: str = "") -> list[tuple[str, str]]:
        if source == "api":
            return [(each.key_id, each.request_id) for each in NewestCalls(settings).read(since_ms, who, 100).calls][
                ::-1
            ]
        now = SimpleNamespace(time=lambda: (since_ms + HOUR_MS + 0.5) / 1_000)
        monkeypatch.setattr(weir_audit, "time", now)
        flags = ["--from", "archive"] if source == "archive" else []
        code, printed, _ = weir(settings, "audit", "calls", "--since", "1h", "--who", who, "--json", *flags)
        assert code == 0
        return [(each["key_id"], each["request_id"]) for each in map(json.loads, printed.splitlines())]

    whole = [("anna", "old"), ("ben", "old"), ("anna", "new"), ("ben", "new")]
    assert ask(min(old_ms)) == whole
    assert ask(min(new_ms)) == whole[2:]
    assert ask(min(old_ms), "ben") == [("ben", "old"), ("ben", "new")]
    assert ask(min(new_ms), "ben") == [("ben", "new")]
    assert ask(min(old_ms), "be") == ask(max(new_ms) + 1) == []


def archive(settings: Settings) -> None:
    task = Task([payments], find_root(settings), audit=True, until_caught_up=True)
    run_archiver(settings, task, should_stop=lambda: False)


def forget(settings: Settings, topic: str) -> None:
    ends, admin = end_offsets(settings.kafka, topic), build_admin(settings.kafka)
    for done in admin.delete_records([TopicPartition(topic, *each) for each in ends.items()]).values():
        done.result(30)


def test_a_mistake_is_one_sentence(weir: Weir, settings: Settings) -> None:
    weir.assert_refused(settings, "audit", "calls", "--since", "soon", says=["--since", "1h or 7d", "soon"])
    weir.assert_refused(settings, "audit", "calls", "--from", "archive", says=["weir archive", "none"])
    weir.assert_refused(settings, "audit", "calls", "--about", "card=x", says=["audit.key", "copy it"])
