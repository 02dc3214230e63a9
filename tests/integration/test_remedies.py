"""Refusals whose fix is followed from exactly the state that was refused, on real servers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from tests.conftest import create_deployment, settings_for
from tests.integration.command_line import Weir, run_in_process
from tests.integration.decided import await_true, build_rows, publish_rows, read_decisions
from tests.integration.payments import Publisher, build_payment
from tests.integration.running import running
from tests.integration.services import Services, log_of
from tests.integration.streams import assert_exactly_once, build_stream, publish
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.api.reader import build_feature_reader
from weir.inference.cli import run_scorer
from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import CLIENT_LOG, admin_config
from weir.infra.kafka.offsets import end_offsets
from weir.infra.redis.client import connect
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.kernels import shipped_kernel

pytestmark = [pytest.mark.server, pytest.mark.long]

PARTITIONS = 2


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


@pytest.fixture
def settings(stack: Settings, request: pytest.FixtureRequest) -> Settings:
    """Sessions as short as they may be: a stopped member is waited for."""
    apart = settings_for(stack, request.node.originalname, partitions=PARTITIONS)
    apart = apart.model_copy(update={"kafka": apart.kafka.model_copy(update={"session_timeout_ms": 6_000})})
    create_deployment(apart)
    return apart


@pytest.fixture
def services(settings: Settings, tmp_path: Path) -> Iterator[Services]:
    running = Services(settings, tmp_path / "logs")
    yield running
    running.stop()


def _payments(settings: Settings, count: int, *, first: int = 0) -> list[tuple[int, int]]:
    payments = [build_payment(f"t{number}", card_id=f"c{number % 9}") for number in range(first, first + count)]
    return Publisher(settings).send_payments(payments)


def _decide(services: Services, ends: dict[str, int]) -> None:
    """Start a processor, wait until Redis stands at these offsets, and stop it."""
    child = services.start("process")
    with closing(connect(services.settings.redis)) as client:
        reader = build_feature_reader(services.settings, client, shipped_kernel())
        services.await_true(lambda: ends.items() <= reader.read_partials("card", "x").positions.items(), str(ends))
    services.end(child)


def _ends(places: list[tuple[int, int]]) -> dict[str, int]:
    return {f"t{part:02d}": max(offset + 1 for number, offset in places if number == part) for part, _ in places}


def _refused(services: Services, verb: str = "process") -> str:
    """Start what must refuse; return its last line, which names the fix."""
    child = services.start(verb, ready="")
    services.await_refused(child)
    return log_of(child).splitlines()[-1]


def _follow(weir: Weir, settings: Settings, line: str, command: str) -> str:
    """Run a command that a refusal names, exactly as it is named."""
    assert f"`{command}`" in line, line
    code, shown, said = weir(settings, *command.split()[1:])
    assert code == 0, said
    return shown


def _apply_repair(weir: Weir, settings: Settings, line: str) -> None:
    """Run the repair of topics with the flag that a refusal names next to it."""
    assert "`weir topics repair` shows what it would set, `--apply` sets it" in line, line
    code, _, said = weir(settings, "topics", "repair", "--apply")
    assert code == 0, said


def _admin(settings: Settings) -> AdminClient:
    return AdminClient(admin_config(settings.kafka), logger=CLIENT_LOG)


def test_records_that_expired_undecided_are_skipped_and_the_view_is_rebuilt(services: Services, weir: Weir) -> None:
    settings = services.settings
    _decide(services, _ends(_payments(settings, 60)))
    places = _payments(settings, 60, first=60)
    low = {part: end - 3 for part, end in ((int(tag[1:]), end) for tag, end in _ends(places).items())}
    topic, admin = settings.topics.transactions, _admin(settings)
    for future in admin.delete_records([TopicPartition(topic, part, at) for part, at in low.items()]).values():
        future.result(20)
    said = _refused(services)
    code, _, shown = weir(settings, "offsets", "show")
    assert (code, "expected a committed offset from" in shown) == (1, True)
    _follow(weir, settings, said, "weir offsets recover --skip-expired --apply")
    _follow(weir, settings, _refused(services), "weir offsets drop-view --apply")
    _decide(services, _ends(places))


def test_a_position_that_is_none_is_dropped_and_rebuilt(services: Services, weir: Weir) -> None:
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=31, count=40))
    _decide(services, _ends([(partition, offset) for partition, offset, _ in log]))
    with closing(connect(settings.redis)) as client:
        for tag in ("t00", "t01"):
            (key,) = client.scan_iter(f"weir:{settings.cluster}:*{{{tag}}}:position")
            client.set(key, b"not a position")
    assert weir(settings, "offsets", "drop-view", "--partition", "1", "--apply")[0] == 0
    services.start("process")  # the other one it drops by itself
    assert_exactly_once(settings, log, services.await_true, partitions=PARTITIONS)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retention.ms", str(7 * 86_400_000)),
        ("retention.bytes", "1000000"),
        ("message.timestamp.type", "CreateTime"),
        ("cleanup.policy", "compact"),
    ],
)
def test_a_topic_that_forgets_too_early_is_repaired(settings: Settings, weir: Weir, option: str, value: str) -> None:
    name = settings.topics.transactions
    entry = ConfigEntry(option, value, incremental_operation=AlterConfigOpType.SET)
    admin = _admin(settings)
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)
    # a broker answers from what it has heard of its controller, which takes a moment
    await_true(lambda: weir(settings, "topics", "check")[0] == 1, "the fault being seen")
    line = weir(settings, "topics", "check")[1]
    assert f"{option}=" in line
    assert f"found {value}" in line
    plan = _follow(weir, settings, line, "weir topics repair")
    assert name in plan
    assert "--apply" in plan
    assert weir(settings, "topics", "check")[0] == 1  # the plan changed nothing
    _apply_repair(weir, settings, line)
    await_true(lambda: weir(settings, "topics", "check")[0] == 0, "the repair being seen")


def test_missing_topics_and_missing_partitions_are_made(settings: Settings, weir: Weir) -> None:
    names, admin = settings.topics, _admin(settings)
    for future in admin.delete_topics([names.labels]).values():
        future.result(20)
    for future in admin.create_partitions([NewPartitions(names.transactions, 3)]).values():
        future.result(20)
    deadline = time.monotonic() + 30
    seen = (f"expected topic {names.labels}, found none", f"topic {names.dlq} to have the 3 partitions")
    while not all(fault in (lines := weir(settings, "topics", "check")[1]) for fault in seen):
        assert time.monotonic() < deadline, lines
    _follow(weir, settings, lines, "weir topics create")
    _apply_repair(weir, settings, lines)
    await_true(lambda: weir(settings, "topics", "check")[0] == 0, "the repair being seen")
    assert describe_topics(settings.kafka, [names.dlq])[names.dlq].partitions == 3


def test_a_renamed_group_is_told_its_old_name_and_continues_under_it(services: Services, weir: Weir) -> None:
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=32, count=60))
    _decide(services, _ends([(partition, offset) for partition, offset, _ in log]))
    renamed = settings.processor.model_copy(update={"group": f"{settings.cluster}.renamed"})
    services.change(settings.model_copy(update={"processor": renamed}))
    assert "`weir offsets recover --apply`" in _refused(services)
    code, _, said = weir(settings.model_copy(update={"processor": renamed}), "offsets", "recover", "--apply")
    assert code == 2
    (old,) = re.findall(r"WEIR_PROCESSOR__GROUP=(\S+) again", said)
    services.change(settings.model_copy(update={"processor": renamed.model_copy(update={"group": old})}))
    log += publish(Publisher(settings), build_stream(seed=33, count=20, first=60))
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=PARTITIONS)


def test_a_deleted_input_topic_is_started_over_under_the_names_that_the_refusal_gives(
    services: Services, weir: Weir
) -> None:
    """The broker forgets a group's offsets with the topic: they look lost, and the outputs are about the old one."""
    settings, names = services.settings, services.settings.topics
    log = publish(Publisher(settings), build_stream(seed=34, count=40))
    _decide(services, _ends([(partition, offset) for partition, offset, _ in log]))
    admin = _admin(settings)
    for future in admin.delete_topics([names.transactions]).values():
        future.result(20)
    services.await_true(lambda: names.transactions not in admin.list_topics(timeout=10).topics, "the topic being gone")
    create_deployment(settings)
    said = _refused(services)
    if "`weir offsets recover --apply`" in said:
        code, _, said = weir(settings, "offsets", "recover", "--apply")
        assert code == 2
    wanted = re.findall(r"WEIR_[A-Z_]+", said)
    assert wanted == ["WEIR_PROCESSOR__GROUP", "WEIR_TOPICS__FEATURES", "WEIR_TOPICS__DLQ"], said
    topics = names.model_copy(update={"features": f"{names.features}.2", "dlq": f"{names.dlq}.2"})
    processor = settings.processor.model_copy(update={"group": f"{settings.processor.group}.2"})
    fresh = settings.model_copy(update={"topics": topics, "processor": processor})
    create_deployment(fresh)
    services.settings = fresh
    services.change(fresh)
    log = publish(Publisher(fresh), build_stream(seed=35, count=40))
    services.start("process")
    assert_exactly_once(fresh, log, services.await_true, partitions=PARTITIONS)


def test_deleted_outputs_are_accepted_and_nothing_is_decided_again(services: Services, tmp_path: Path) -> None:
    """Feature rows can be made again only by deciding again: who deleted them on purpose continues without them."""
    settings = services.settings.model_copy(update={"home": tmp_path})
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    services.settings = settings
    services.change(settings)
    names, admin = settings.topics, _admin(settings)
    _decide(services, _ends(_payments(settings, 40)))
    scorer = services.start("score")
    services.await_true(lambda: len(read_decisions(settings)) == 40, "40 decisions")
    services.end(scorer)
    for future in admin.delete_topics([names.features, names.decisions]).values():
        future.result(20)
    gone = {names.features, names.decisions}
    services.await_true(lambda: not gone & set(admin.list_topics(timeout=10).topics), "the topics being gone")
    create_deployment(settings)
    assert "`weir process --accept-offsets`" in _refused(services)
    places = _payments(settings, 40, first=40)
    processor = services.start("process", "--accept-offsets")
    services.await_true(lambda: log_of(processor).count('"offsets_moved"') == PARTITIONS, "the count of each partition")
    # the broker forgot the scorer's offsets with the topic that they were of
    services.start("score")
    services.await_true(lambda: len(read_decisions(settings)) == len(places), "40 more decisions")
    services.end(processor)
    services.start("process")  # now that each partition has outputs again, nothing has to be accepted


def test_feature_rows_that_expired_undecided_are_skipped(settings: Settings, weir: Weir, tmp_path: Path) -> None:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings = settings.model_copy(update={"home": tmp_path})
    topic = settings.topics.features
    Publisher(settings).send([("x", b"")] * 120, partition=0)  # what the rows say that they come from
    publish_rows(settings, build_rows(0, 60))
    with running(run_scorer, settings, instance=0):
        await_true(lambda: len(read_decisions(settings)) == 60, "60 decisions")
    publish_rows(settings, build_rows(60, 60))
    ends = end_offsets(settings.kafka, topic)
    lows = [TopicPartition(topic, part, end - 5) for part, end in ends.items()]
    admin = _admin(settings)  # held: its futures end with it
    for future in admin.delete_records(lows).values():
        future.result(20)
    with pytest.raises(Refused) as refused:
        run_scorer(settings, instance=0, should_stop=lambda: False)
    _follow(weir, settings, str(refused.value), "weir offsets recover --skip-expired --apply")
    with running(run_scorer, settings, instance=0):
        await_true(lambda: len(read_decisions(settings)) == 60 + 5 * PARTITIONS, "what did not expire")
