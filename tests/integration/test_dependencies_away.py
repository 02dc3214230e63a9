"""A server that goes away under a running pipeline: a clear log line, nothing lost, and on by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.conftest import create_deployment, first_in_ci, running_stack, settings_for
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher
from tests.integration.services import Child, Services, log_of
from tests.integration.streams import assert_exactly_once, await_applied, build_stream, publish
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.clients import CLIENT_LOG
from weir.infra.redis.client import connect
from weir.infra.settings import Settings, load_settings

pytestmark = [pytest.mark.server, pytest.mark.long]

RECORDS = 150
SILENT_SECONDS = 4.0
PAUSE_MS = 60_000
ASKS_FOR_OWNERS = """
import sys, time
from weir.infra.kafka import group_owners
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient
kafka = KafkaSettings(bootstrap_servers=sys.argv[1])
def ask():
    try:
        group_owners.describe_group(kafka, "of-nobody")
    except Transient:
        return "no answer"
    return "answered"
group_owners.REQUEST_TIMEOUT_SECONDS = 2.0
for _ in range(2):
    print(ask(), flush=True)
sys.stdin.readline()
group_owners.REQUEST_TIMEOUT_SECONDS = 10.0
deadline = time.monotonic() + 40
while (said := ask()) != "answered" and time.monotonic() < deadline:
    time.sleep(0.5)
print(said)
"""
VERSION_UNSEEN = 1  # of the contract: no record had it before the registry went


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    """Servers of this file's own: the session's would be missed by others."""
    with running_stack() as stack:
        yield stack


@pytest.fixture
def services(servers: Stack, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings = load_settings({"WEIR_HOME": str(servers.home)})
    settings = settings_for(settings, request.node.name).model_copy(update={"home": tmp_path})
    create_deployment(settings)
    running = Services(settings, tmp_path / "logs")
    yield running
    running.stop()


@pytest.mark.parametrize("name", ["redis", "registry", "kafka"])
@pytest.mark.parametrize("how", first_in_ci("frozen", "killed"))
def test_a_server_that_goes_away_is_waited_for_and_nothing_is_lost(
    servers: Stack, services: Services, name: str, how: str
) -> None:
    """``[records] GONE [records] BACK [records]``: each has one decision or dead letter, and is counted once."""
    settings, publisher = services.settings, Publisher(services.settings)
    children = [services.start("process"), services.start("score")]
    log = publish(publisher, build_stream(seed=31, count=RECORDS))
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(RECORDS, services.await_true)

    meanwhile = build_stream(seed=32, count=RECORDS, first=RECORDS)
    if name == "kafka":  # while it is away nothing can be published, so these are in flight as it goes
        log += publish(publisher, meanwhile)
    go, come = (servers.kill, servers.restart) if how == "killed" else (servers.pause, servers.resume)
    go(name)
    try:
        if name != "kafka":
            log += publish(publisher, meanwhile, versions=(VERSION_UNSEEN, 2))
        if (name, how) == ("kafka", "frozen"):  # too short for the client to complain
            _await_silence(settings)
        else:
            services.await_true(lambda: name in _warnings(children[0]), f"a warning about {name}")
    finally:
        come(name)
    log += publish(publisher, build_stream(seed=33, count=RECORDS, first=2 * RECORDS))

    assert_exactly_once(settings, log, services.await_true, partitions=2)
    _assert_decided_once(settings, services)
    assert [child.process.poll() for child in children] == [None, None]
    assert "Traceback" not in "".join(log_of(child) for child in children)


def test_a_redis_that_takes_no_writes_makes_no_row_late(services: Services) -> None:
    """``[records] PAUSE [records] [records] [records] UNPAUSE``: all rows are out while Redis stands where it stood."""
    settings, publisher = services.settings, Publisher(services.settings)
    services.start("process")
    log = publish(publisher, build_stream(seed=34, count=RECORDS))
    ends = {f"t{partition:02d}": offset + 1 for partition, offset, _ in sorted(log, key=lambda each: each[:2])}
    with closing(Outputs(settings)) as outputs, closing(connect(settings.redis)) as client:
        outputs.await_settled(RECORDS, services.await_true)
        reader = await_applied(settings, ends, services.await_true)
        client.execute_command("CLIENT", "PAUSE", PAUSE_MS, "WRITE")
        try:
            for wave in (1, 2, 3):
                log += publish(publisher, build_stream(seed=34 + wave, count=RECORDS, first=wave * RECORDS))
                outputs.await_settled((1 + wave) * RECORDS, services.await_true)
            assert ends.items() <= reader.read_partials("card", "x").positions.items()
        finally:
            client.execute_command("CLIENT", "UNPAUSE")
    assert_exactly_once(settings, log, services.await_true, partitions=2)


def test_who_asks_for_owners_while_the_brokers_are_away_lives_when_they_are_back(servers: Stack) -> None:
    """``GONE [no answer] [no answer] BACK [an answer]``, in a process of its own: the fault ends it by an assertion."""
    address = servers.environment()["WEIR_KAFKA__BOOTSTRAP_SERVERS"]
    command = [sys.executable, "-c", ASKS_FOR_OWNERS, address]
    servers.kill("kafka")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        try:
            assert asking.stdout is not None
            assert [asking.stdout.readline(), asking.stdout.readline()] == ["no answer\n", "no answer\n"]
            servers.restart("kafka")
            out, _ = asking.communicate("back\n", timeout=60)
            assert (out, asking.returncode) == ("answered\n", 0)
        finally:
            asking.kill()
            servers.restart("kafka")


def _warnings(child: Child) -> str:
    lines = [json.loads(line) for line in log_of(child).splitlines() if line.endswith("}")]
    return "".join(f"{line['event']} {line.get('error')}\n" for line in lines if line["level"] != "info")


def _await_silence(settings: Settings) -> None:
    """Return once a plain client has waited for the broker in vain."""
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers}, logger=CLIENT_LOG)
    with pytest.raises(KafkaException):
        client.list_topics(timeout=SILENT_SECONDS)


def _assert_decided_once(settings: Settings, services: Services) -> None:
    """Every feature row has one decision."""

    def places(rows: list[dict[str, Any]]) -> Counter[tuple[int, int]]:
        return Counter((row["source_partition"], row["source_offset"]) for row in rows)

    with closing(Outputs(settings)) as outputs:
        services.await_true(lambda: len(outputs.decisions()) >= len(outputs.rows()) > 0, "a decision on every row")
        assert places(outputs.decisions()) == places(outputs.rows())
