"""What the promises rely on, broken on real servers: seen by a start, what runs and the doctor; each fix works."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions
from pydantic import SecretStr

from tests.conftest import create_deployment, first_in_ci, running_stack, settings_for
from tests.integration.command_line import Weir, run_in_process
from tests.integration.payments import Publisher
from tests.integration.services import Child, Services, log_of
from tests.integration.streams import assert_exactly_once, build_stream, publish
from weir.infra.embedded import doctor
from weir.infra.embedded.ports import choose_ports
from weir.infra.embedded.stack import Stack
from weir.infra.findings import Finding, worst
from weir.infra.invariants import examine_all, examine_start
from weir.infra.kafka.clients import admin_config
from weir.infra.kafka.topics import examine_topics
from weir.infra.redis.client import connect
from weir.infra.redis.watch import examine_redis
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import Transient
from weir.streaming.health.checks import KafkaLook

pytestmark = pytest.mark.server
SEEN_SECONDS_MAX = 10.0
RECORDS = 60


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    """Servers of this file's own: an eviction policy is everybody's."""
    with running_stack() as stack:
        yield stack


@pytest.fixture
def settings(servers: Stack, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    settings = settings_for(load_settings({"WEIR_HOME": str(servers.home)}), request.node.name)
    settings = settings.model_copy(update={"home": tmp_path})
    create_deployment(settings)
    return settings


@pytest.fixture
def redis(settings: Settings) -> Iterator[Any]:
    with closing(connect(settings.redis)) as client:
        yield client
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 0)


@pytest.fixture
def services(settings: Settings, tmp_path: Path) -> Iterator[Services]:
    running = Services(settings, tmp_path / "logs")
    yield running
    running.stop()


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


def test_a_deployment_as_it_is_made_has_nothing_to_fix(settings: Settings) -> None:
    assert {(finding.check, finding.level) for finding in examine_all(settings)} == {
        (check, "ok")
        for check in (
            *("topics", "clock", "schemas", "disk", "descriptors"),
            *("redis_policy", "redis_memory", "redis_saving", "redis_link"),
        )
    }


OPTIONS = [
    ("transactions", "message.timestamp.type", "CreateTime"),
    ("labels", "retention.ms", "604800000"),
    ("transactions", "retention.bytes", "1000000"),
    ("labels_dlq", "cleanup.policy", "compact"),
    ("dlq", "max.message.bytes", "1000000"),
    ("dlq_done", "cleanup.policy", "delete"),
]


@pytest.mark.parametrize(("topic", "option", "value"), OPTIONS)
def test_a_topic_that_was_altered_is_refused_and_repaired_by_the_command_that_is_named(
    settings: Settings, weir: Weir, topic: str, option: str, value: str
) -> None:
    alter(settings, getattr(settings.topics, topic), option, value)
    assert_topics_are_repaired(settings, weir)


@pytest.mark.parametrize("source", ["transactions", "labels", "features"])
def test_dead_letters_with_too_few_partitions_are_repaired_by_the_command_that_is_named(
    settings: Settings, weir: Weir, source: str
) -> None:
    raise_partitions(settings, getattr(settings.topics, source), 5)
    assert f"the 5 partitions of {getattr(settings.topics, source)}" in str(worst_of(settings))
    assert_topics_are_repaired(settings, weir)


def test_a_topic_that_is_gone_is_made_again_by_the_command_that_is_named(settings: Settings, weir: Weir) -> None:
    admin = AdminClient(admin_config(settings.kafka))
    for future in admin.delete_topics([settings.topics.decisions]).values():
        future.result(30)
    await_true(lambda: worst(examine_topics(settings)) == "fail")
    assert "`weir topics create`" in worst_of(settings).fix
    assert weir(settings, "topics", "create")[0] == 0
    await_true(lambda: worst(examine_topics(settings)) == "ok")


@pytest.mark.parametrize("policy", first_in_ci("allkeys-lru", "volatile-ttl"))
def test_a_policy_set_while_a_processor_runs_is_seen_within_ten_seconds_and_fixed_by_the_command_that_is_named(
    services: Services, redis: Any, policy: str
) -> None:
    child, page = start_processor(services)
    await_true(lambda: ready(page)[0])
    redis.config_set("maxmemory-policy", policy)
    await_true(lambda: not ready(page)[0], SEEN_SECONDS_MAX)
    told = ready(page)[1]["redis"]
    assert policy in told
    obey(redis, told)
    await_true(lambda: ready(page)[0], SEEN_SECONDS_MAX)
    assert events(child, "check_fails", "check_passes") == ["check_fails", "check_passes"]


def test_evicted_keys_are_told_once_within_ten_seconds_and_counted(services: Services, redis: Any) -> None:
    child, page = start_processor(services)
    await_true(lambda: ready(page)[0])
    redis.config_set("maxmemory-policy", "allkeys-random")
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + 200_000)
    before = redis.info("stats")["evicted_keys"]
    for number in range(20):
        redis.set(f"junk:{number}", b"x" * 50_000)
    evicted = redis.info("stats")["evicted_keys"] - before
    assert evicted > 0
    obey(redis, "`redis-cli config set maxmemory-policy noeviction`")
    await_true(lambda: "redis_lost_keys" in log_of(child), SEEN_SECONDS_MAX)
    assert f"redis evicted {evicted} keys" in log_of(child)
    metrics = httpx.get(f"{page}/metrics").text
    assert f'weir_redis_evicted_keys_total{{server="redis"}} {float(evicted)}' in metrics


def test_a_full_redis_is_called_full_everywhere_and_nothing_is_lost(
    settings: Settings, services: Services, redis: Any
) -> None:
    child, page = start_processor(services)
    await_true(lambda: ready(page)[0])
    redis.config_set("maxmemory", 1_000_000)
    log = publish(Publisher(settings), build_stream(seed=51, count=RECORDS))
    await_true(lambda: "full: maxmemory is reached" in log_of(child))
    await_true(lambda: "is full" in ready(page)[1]["redis"], SEEN_SECONDS_MAX)
    assert not ready(page)[0]
    assert "redis_away" not in log_of(child)
    (memory,) = [each for each in examine_all(settings) if each.check == "redis_memory"]
    assert memory.level == "fail"
    obey(redis, memory.fix.replace("<bytes>", "500000000"))
    await_true(lambda: ready(page)[0], SEEN_SECONDS_MAX)
    assert_exactly_once(settings, log, services.await_true, partitions=2)


def test_the_doctor_names_what_is_wrong_with_servers_that_run(servers: Stack, redis: Any) -> None:
    create_deployment(load_settings({"WEIR_HOME": str(servers.home)}))
    redis.config_set("maxmemory-policy", "allkeys-lru")
    (wrong,) = [each for each in doctor.examine(servers.home) if each.level == "fail"]
    assert wrong.check == "redis_policy"
    obey(redis, wrong.fix)
    assert [each for each in doctor.examine(servers.home) if each.level == "fail"] == []


def test_a_redis_that_refuses_config_is_watched_all_the_same(settings: Settings, redis: Any) -> None:
    """As a managed one: its policy is in INFO too."""
    redis.acl_setuser(
        "weir", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-config"]
    )
    try:
        limited = settings.redis.model_copy(update={"username": "weir", "password": SecretStr("secret")})
        managed = settings.model_copy(update={"redis": limited})
        assert worst(examine_start(managed)) == "ok"
        redis.config_set("maxmemory-policy", "allkeys-lru")
        assert worst(examine_start(managed)) == "fail"
    finally:
        redis.acl_deluser("weir")


@pytest.mark.parametrize(("hours", "words"), [(1, "3,6.. s ahead of"), (-1, "3,... s behind"), (0, "agree")])
def test_a_clock_that_is_wrong_is_seen_as_soon_as_something_is_appended(
    settings: Settings, hours: int, words: str
) -> None:
    """Ours is moved, which to the two is the same as if the broker's were."""
    look = KafkaLook([settings], [], now_ms=lambda: int(time.time() * 1_000) + hours * 3_600_000)
    publish(Publisher(settings), build_stream(seed=52, count=RECORDS))
    look()
    publish(Publisher(settings), build_stream(seed=53, count=RECORDS, first=RECORDS))
    (clock,) = [finding for finding in look() if finding.check == "clock"]
    assert clock.level == ("fail" if hours else "ok")
    assert re.search(words, clock.found), clock.found


def test_a_password_that_is_wrong_or_missing_is_named_and_the_right_one_works(settings: Settings, redis: Any) -> None:
    redis.config_set("requirepass", "open sesame")
    try:
        for given in ("", "wrong"):
            wrong = settings.redis.model_copy(update={"password": SecretStr(given)})
            with pytest.raises(Transient, match="WEIR_REDIS__PASSWORD") as caught:
                examine_redis(connect(wrong))
            assert caught.value.cause == "forbidden"
            assert "sesame" not in str(caught.value)
        right = settings.redis.model_copy(update={"password": SecretStr("open sesame")})
        assert worst(examine_redis(connect(right))) == "ok"
    finally:
        redis.config_set("requirepass", "")


def start_processor(services: Services) -> tuple[Child, str]:
    (port,) = choose_ports(1)
    return services.start("process", "--metrics-port", str(port)), f"http://127.0.0.1:{port}"


def ready(page: str) -> tuple[bool, dict[str, str]]:
    found = httpx.get(f"{page}/readyz").json()
    return found["ready"], found["checks"]


def events(child: Child, *wanted: str) -> list[str]:
    lines = [json.loads(line) for line in log_of(child).splitlines() if line.startswith("{")]
    return [line["event"] for line in lines if line["event"] in wanted]


def obey(redis: Any, text: str) -> None:
    """Run the command that a finding names, as its reader would."""
    command = re.search(r"`redis-cli ([^`]+)`", text)
    assert command is not None, text
    redis.execute_command(*shlex.split(command[1]))


def worst_of(settings: Settings) -> Finding:
    found = examine_topics(settings)
    return next(each for each in found if each.level == worst(found))


def assert_topics_are_repaired(settings: Settings, weir: Weir) -> None:
    await_true(lambda: worst(examine_topics(settings)) == "fail")
    fix = worst_of(settings).fix
    weir.assert_refused(settings, "process", says=[fix])
    command = re.search(r"`weir ([^`]+)`", fix)
    assert command is not None
    assert weir(settings, *shlex.split(command[1]))[0] == 0
    assert worst(examine_topics(settings)) == "fail"  # the plan alone changes nothing
    assert weir(settings, *shlex.split(command[1]), "--apply")[0] == 0
    await_true(lambda: worst(examine_topics(settings)) == "ok")


def alter(settings: Settings, topic: str, option: str, value: str) -> None:
    entry = ConfigEntry(option, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient(admin_config(settings.kafka))
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def raise_partitions(settings: Settings, topic: str, count: int) -> None:
    admin = AdminClient(admin_config(settings.kafka))
    for future in admin.create_partitions([NewPartitions(topic, count)]).values():
        future.result(30)
    await_true(lambda: worst(examine_topics(settings)) == "fail")


def await_true(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
        time.sleep(0.1)
