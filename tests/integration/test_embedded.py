"""The embedded stack is real, survives what is done to it, and ends nothing that it did not start."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

import weir.cli
from tests.conftest import create_deployment, settings_for
from weir.infra.embedded import cli, doctor, starting
from weir.infra.embedded.mlflow_page import MEMORY_BYTES_MAX
from weir.infra.embedded.process import ServerProcess
from weir.infra.embedded.stack import MLFLOW, Stack
from weir.infra.home import stack_env_path
from weir.infra.identity import read_birth
from weir.infra.kafka.clients import admin_config, build_producer, consumer_config
from weir.infra.kafka.topics import check_topics, ensure_topics
from weir.infra.redis.client import connect
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.contracts import schema_json
from weir.schemas.errors import Refused, WeirError

pytestmark = pytest.mark.server
DEADLINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of this module's own: nobody else's test must feel what is done to them."""
    stack = Stack(tmp_path_factory.mktemp("home") / "weir")
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def settings(own_stack: Stack, request: pytest.FixtureRequest) -> Settings:
    own_stack.start()
    return settings_for(load_settings({"WEIR_HOME": str(own_stack.home)}), request.node.name)


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"


def _pid(stack: Stack, name: str) -> int | None:
    return next(status.pid for status in stack.status() if status.name == name)


def _records(settings: Settings) -> list[bytes]:
    consumer = Consumer(consumer_config(settings.kafka, group="reader", enable_partition_eof=True))
    found: list[bytes] = []
    try:
        consumer.assign([TopicPartition(settings.topics.transactions, 0, 0)])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is not None and message.error():
                return found
            if message is not None:
                found.append(message.value())
    finally:
        consumer.close()
    raise AssertionError("the end of the partition was not reached")


def test_all_three_serve_on_the_loopback_and_the_home_is_private(own_stack: Stack, settings: Settings) -> None:
    assert settings.kafka.bootstrap_servers.startswith("127.0.0.1:")
    assert [status.ready for status in own_stack.status()] == [True, True, True]
    assert own_stack.home.stat().st_mode & 0o777 == 0o700


def test_the_page_of_mlflow_is_a_server_that_is_asked_for_on_the_loopback_alone(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home")
    stack.ensure_port(MLFLOW)
    port = stack.ports[MLFLOW]
    try:
        stack.start((MLFLOW,))
        page = f"http://127.0.0.1:{port}"
        assert "<title>MLflow" in httpx.get(page).text
        assert httpx.get(page, headers={"Host": "elsewhere.example"}).status_code == 403
        found = httpx.get(f"{page}/api/2.0/mlflow/registered-models/search", params={"max_results": 1}, timeout=60)
        assert (found.status_code, found.json()) == (200, {})
        pid = _pid(stack, MLFLOW)
        assert pid is not None
        assert resource.prlimit(pid, resource.RLIMIT_DATA) == (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port)).close()  # as if it listened on every address
        assert stack.stop() == [MLFLOW]
    finally:
        stack.stop()


def test_starting_twice_leaves_the_same_processes_running(own_stack: Stack) -> None:
    own_stack.start()
    before = own_stack.status()
    Stack(own_stack.home).start()
    assert own_stack.status() == before


def test_the_registry_holds_a_subject_to_its_own_level_alone(settings: Settings) -> None:
    url = settings.registry.url
    assert httpx.get(f"{url}/config").json() == {"compatibilityLevel": "NONE"}
    schemas = [
        {"schema": json.dumps({"type": "record", "name": "R", "fields": [{"name": n, "type": "int"}]})} for n in "ab"
    ]
    assert httpx.post(f"{url}/subjects/level-value/versions", json=schemas[0]).status_code == 200
    codes = []
    for level in ("BACKWARD", "NONE"):
        assert httpx.put(f"{url}/config/level-value", json={"compatibility": level}).status_code == 200
        codes.append(httpx.post(f"{url}/subjects/level-value/versions", json=schemas[1]).status_code)
    assert codes == [409, 200]


def test_redis_evicts_nothing(settings: Settings) -> None:
    assert connect(settings.redis).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_record_acknowledged_before_a_kill_is_there_after_the_restart(own_stack: Stack, settings: Settings) -> None:
    ensure_topics(settings)
    producer = build_producer(settings.kafka)
    producer.produce(settings.topics.transactions, b"kept", partition=0)
    assert producer.flush(DEADLINE_SECONDS) == 0
    own_stack.kill("kafka")
    assert _pid(own_stack, "kafka") is None
    own_stack.start()
    assert _records(settings) == [b"kept"]


def test_a_key_written_before_a_kill_is_there_after_the_restart(own_stack: Stack, settings: Settings) -> None:
    connect(settings.redis).set("weir:kept", "1")
    own_stack.kill("redis")
    own_stack.start()
    assert connect(settings.redis).get("weir:kept") == b"1"


def test_a_schema_registered_just_before_a_kill_keeps_its_id(own_stack: Stack, settings: Settings) -> None:
    registry = Registry(settings.registry)
    schema_id = registry.register("kept-value", schema_json("labels"))
    own_stack.kill("registry")
    own_stack.start()
    assert registry.latest_id("kept-value") == schema_id
    registry.close()


def test_a_paused_server_does_not_answer_until_it_is_resumed(own_stack: Stack, settings: Settings) -> None:
    own_stack.pause("redis")
    assert not own_stack.servers["redis"].is_ready()
    own_stack.resume("redis")
    _await(own_stack.servers["redis"].is_ready)
    assert connect(settings.redis).ping()


def test_wiping_a_server_leaves_it_empty_and_able_to_start(own_stack: Stack, settings: Settings) -> None:
    connect(settings.redis).set("weir:gone", "1")
    own_stack.wipe("redis")
    own_stack.start()
    assert connect(settings.redis).get("weir:gone") is None


def test_a_port_taken_by_another_program_is_refused_in_one_line_that_names_it(own_stack: Stack) -> None:
    own_stack.kill("redis")
    with socket.create_server(("127.0.0.1", own_stack.ports["redis"])), pytest.raises(Refused) as refused:
        own_stack.start()
    own_stack.start()
    assert f"port {own_stack.ports['redis']} for redis is taken by " in str(refused.value)
    assert f"(pid {os.getpid()})" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_fix_that_a_taken_port_names_works_while_the_other_servers_run(
    own_stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    own_stack.kill("redis")
    with socket.create_server(("127.0.0.1", own_stack.ports["redis"])):
        assert cli.main(["up", "--other-ports", "--home", str(own_stack.home)]) == 0
        assert "other ports for: redis" in capsys.readouterr().err
    moved = Stack(own_stack.home)
    assert moved.ports["redis"] != own_stack.ports["redis"]
    assert {name: moved.ports[name] for name in moved.ports if name != "redis"} == {
        name: own_stack.ports[name] for name in own_stack.ports if name != "redis"
    }
    assert connect(load_settings({"WEIR_HOME": str(own_stack.home)}).redis).ping()
    own_stack.ports, own_stack.servers = moved.ports, moved.servers


def test_a_server_that_dies_at_its_start_is_reported_with_what_it_wrote_from_the_head(own_stack: Stack) -> None:
    own_stack.kill("redis")
    folder = own_stack.home / "servers" / "redis" / "appendonlydir"
    moved = folder.rename(folder.with_name("aside"))
    folder.write_text("a file where the server wants a folder")
    with pytest.raises(WeirError, match="redis ended while starting; its output, whole in ") as failed:
        own_stack.start()
    assert "is starting" in str(failed.value)
    assert [status.ready for status in own_stack.status()] == [True, False, True], "what ran before is left running"
    folder.unlink()
    moved.rename(folder)
    own_stack.start()


def _follow(text: str) -> None:
    """Run every command of Weir that a message names, in its order and exactly as it is named."""
    commands = re.findall(r"`weir ([^`]*)`", text)
    assert commands
    for command in commands:
        assert weir.cli.main(shlex.split(command)) == 0


def test_every_fix_that_the_doctor_names_for_a_server_fixes_it(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(own_stack.home))
    own_stack.start()
    create_deployment(load_settings())
    own_stack.kill("redis")
    (finding,) = [finding for finding in doctor.examine(own_stack.home) if finding.level == "fail"]
    _follow(f"`{finding.fix}`")
    assert [finding for finding in doctor.examine(own_stack.home) if finding.level == "fail"] == []
    own_stack.pause("redis")
    (finding,) = [finding for finding in doctor.examine(own_stack.home) if finding.level == "fail"]
    capsys.readouterr()
    _follow(f"`{finding.fix}`")
    assert "Ready to accept connections" in capsys.readouterr().out
    own_stack.resume("redis")


def test_the_fix_for_a_server_that_hangs_works_from_exactly_there(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(own_stack.home))
    own_stack.start()
    own_stack.pause("redis")
    monkeypatch.setattr(starting, "READY_SECONDS_MAX", 1.0)
    with pytest.raises(WeirError, match="redis is not ready after") as failed:
        own_stack.start()
    monkeypatch.undo()
    monkeypatch.setenv("WEIR_HOME", str(own_stack.home))
    _follow(str(failed.value).splitlines()[0])
    assert [status.ready for status in own_stack.status()] == [True, True, True]


def test_addresses_that_cannot_be_read_are_written_again_by_the_command_that_is_named(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(own_stack.home))
    own_stack.start()
    stack_env_path(own_stack.home).write_text("half a li")
    with pytest.raises(Refused) as refused:
        load_settings()
    _follow(str(refused.value))
    assert load_settings().redis.url.endswith(f":{own_stack.ports['redis']}/0")


def test_a_port_held_by_servers_of_another_home_is_freed_by_the_command_that_is_named(tmp_path: Path) -> None:
    first = Stack(tmp_path / "first")
    first.start(("redis",))
    home = tmp_path / "a second one"
    home.mkdir()
    (home / "ports.json").write_text((first.home / "ports.json").read_text())
    try:
        with pytest.raises(Refused, match="`weir down --home ") as refused:
            Stack(home).start(("redis",))
        _follow(str(refused.value).partition("; `weir up")[0])
    finally:
        assert first.stop() == [], "the command has stopped it"
    second = Stack(home)
    second.start(("redis",))
    assert second.stop() == ["redis"]


def test_a_failed_start_ends_what_it_started_and_leads_nobody_to_other_servers(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home")
    (tmp_path / "home" / "servers" / "redis" / "appendonlydir").write_text("a file where the server wants a folder")
    with pytest.raises(WeirError, match="redis ended while starting"):
        stack.start()
    assert [(status.pid, status.ready) for status in stack.status()] == [(None, False)] * 3
    settings = load_settings({"WEIR_HOME": str(tmp_path / "home")})
    assert settings.kafka.bootstrap_servers == f"127.0.0.1:{stack.ports['kafka']}"


def test_the_servers_run_in_a_home_of_any_path_under_any_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the commands, which start, show and stop them; under the locale that knows no letter beyond ASCII."""
    monkeypatch.setenv("LC_ALL", "C")
    home = tmp_path / "Zürich, 東京;a" / "b%41#c$d e'\":h"
    flags = ["--home", str(home)]
    try:
        assert cli.main(["up", *flags, "--json"]) == 0
        assert [server["ready"] for server in json.loads(capsys.readouterr().out)] == [True, True, True]
        assert (home / "servers" / "kafka" / "data" / "meta.properties").is_file()
        assert (home / "servers" / "redis" / "appendonlydir").is_dir()
        assert (home / "servers" / "registry" / "registry.mv.db").is_file()
        assert cli.main(["logs", "kafka", "--lines", "500", *flags]) == 0
        assert "Kafka Server started" in capsys.readouterr().out
        assert cli.main(["down", *flags]) == 0
        assert cli.main(["status", *flags]) == 1
        assert "down" in capsys.readouterr().out
    finally:
        Stack(home).stop()


def test_a_pid_that_was_given_to_another_program_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "kafka.json"
    record.write_text(json.dumps({"pid": os.getpid(), "born": "long ago"}))
    process = ServerProcess("kafka", record_path=record, log_path=tmp_path / "kafka.log")
    assert not process.end(patience_seconds=0)
    assert read_birth(os.getpid()) is not None


def test_topics_are_made_once_and_pass_their_own_check(settings: Settings) -> None:
    assert len(ensure_topics(settings)) == 10
    assert ensure_topics(settings) == []
    check_topics(settings)


def test_an_unknown_topic_is_not_made_by_asking_for_it(settings: Settings) -> None:
    admin = AdminClient(admin_config(settings.kafka))
    admin.list_topics("mistyped", timeout=DEADLINE_SECONDS)
    assert "mistyped" not in admin.list_topics(timeout=DEADLINE_SECONDS).topics


def test_missing_topics_refuse_the_start(settings: Settings) -> None:
    with pytest.raises(Refused, match="`weir topics create` makes it"):
        check_topics(settings)


def test_the_doctor_finds_a_running_stack_well(own_stack: Stack) -> None:
    own_stack.start()
    create_deployment(load_settings({"WEIR_HOME": str(own_stack.home)}))
    assert [finding for finding in doctor.examine(own_stack.home) if finding.level == "fail"] == []


def test_a_broker_that_is_down_refuses_connections(own_stack: Stack, settings: Settings) -> None:
    own_stack.kill("kafka")
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 0}).list_topics(timeout=1)
