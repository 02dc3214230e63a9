"""Committed offsets that a tool, a sync or a restore moved: refused before anything is folded, and the fix fixes.

Each test ends with what the refusal names, done from exactly there, and every record decided and counted once.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from tests.conftest import create_deployment, first_in_ci, settings_for
from tests.integration.command_line import Weir, run_in_process
from tests.integration.decided import await_true, build_rows, publish_rows, read_decisions
from tests.integration.payments import Publisher
from tests.integration.running import running
from tests.integration.services import Services, log_of
from tests.integration.streams import Log, assert_exactly_once, build_stream, publish
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.api.reader import build_feature_reader
from weir.inference.cli import run_scorer
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.history import History
from weir.infra.redis.client import connect
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.kernels import shipped_kernel
from weir.streaming.offsets.coverage import build_coverage
from weir.streaming.offsets.stages import processor_stage

pytestmark = [pytest.mark.server, pytest.mark.long]

PARTITIONS = 2
FIRST, SECOND = 40, 30


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


@pytest.fixture
def settings(stack: Settings, request: pytest.FixtureRequest) -> Settings:
    """Sessions as short as they may be: a stopped member is waited for."""
    apart = settings_for(stack, request.node.originalname, partitions=PARTITIONS)
    short = apart.kafka.model_copy(update={"session_timeout_ms": 6_000})
    apart = apart.model_copy(update={"kafka": short})
    create_deployment(apart)
    return apart


@pytest.fixture
def services(settings: Settings, tmp_path: Path) -> Iterator[Services]:
    running_here = Services(settings, tmp_path / "logs")
    yield running_here
    running_here.stop()


def _decide(services: Services, log: Log) -> None:
    child = services.start("process")
    _await_applied(services, log)
    services.end(child)


def _await_applied(services: Services, log: Log) -> None:
    ends = _ends(log)
    with closing(connect(services.settings.redis)) as client:
        reader = build_feature_reader(services.settings, client, shipped_kernel())
        services.await_true(
            lambda: ends.items() <= reader.read_partials("card", "x").positions.items(), f"redis at {ends}"
        )


def _ends(log: Log) -> dict[str, int]:
    ends: Counter[str] = Counter()
    for partition, offset, _ in log:
        ends[f"t{partition:02d}"] = max(ends[f"t{partition:02d}"], offset + 1)
    return dict(ends)


def _move(settings: Settings, group: str, topic: str, to: Callable[[int, int], int], *, keep_note: bool) -> None:
    """Commit other offsets for a stopped group, as tools do: with the note next to each, or without."""
    with closing(build_consumer(settings.kafka, group=group)) as consumer:
        moved = []
        for held in consumer.committed([TopicPartition(topic, number) for number in range(PARTITIONS)], timeout=10):
            _, end = consumer.get_watermark_offsets(held, timeout=10)
            note = held.metadata if keep_note else ""
            moved.append(TopicPartition(topic, held.partition, to(held.offset, end), metadata=note))
        await_true(lambda: _commits(consumer, moved), "the group being empty")


def _commits(consumer: object, offsets: list[TopicPartition]) -> bool:
    try:
        consumer.commit(offsets=offsets, asynchronous=False)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - the broker refuses while a stopped member has not timed out
        time.sleep(0.2)
        return False
    return True


def _refused(services: Services) -> str:
    child = services.start("process", ready="")
    services.await_refused(child)
    return log_of(child)


def _recover(weir: Weir, settings: Settings) -> str:
    """Do what the refusals name; the plan comes first, and changes nothing."""
    code, plan, said = weir(settings, "offsets", "recover")
    assert code == 0, said
    assert "nothing changed" in said
    code, done, said = weir(settings, "offsets", "recover", "--apply")
    assert (code, done) == (0, plan), said
    return plan


@pytest.mark.parametrize("keep_note", first_in_ci(False, True))
def test_offsets_moved_forward_are_refused_with_their_count_before_anything_is_folded(
    services: Services, weir: Weir, keep_note: bool
) -> None:
    """``[40 decided][30 more][offsets to the end][start]``: the 30 would be counted, and never decided."""
    settings, publisher = services.settings, Publisher(services.settings)
    log = publish(publisher, build_stream(seed=21, count=FIRST))
    _decide(services, log)
    log += publish(publisher, build_stream(seed=22, count=SECOND, first=FIRST))
    _move(settings, settings.processor.group, settings.topics.transactions, lambda _, end: end, keep_note=keep_note)
    said = _refused(services)
    counted = [int(count) for count in re.findall(r"and (\d+) records would be counted", said)]
    assert counted == [int(count) for count in re.findall(r'"records_without_output": (\d+)', said)]
    assert sum(counted) > 0
    code, _, shown = weir(settings, "offsets", "show")
    assert code == 1
    assert sum(int(count) for count in re.findall(r"and (\d+) records would be counted", shown)) == SECOND
    assert "drop" not in _recover(weir, settings)  # nothing was folded: no unit is above what is proposed
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=PARTITIONS)


def test_what_was_folded_past_the_outputs_is_refused_and_recovered_in_one_step(services: Services, weir: Weir) -> None:
    """What a release without the check leaves behind: Redis counts records that have no output."""
    settings, publisher = services.settings, Publisher(services.settings)
    log = publish(publisher, build_stream(seed=23, count=FIRST))
    _decide(services, log)
    log += publish(publisher, [pair for pair in build_stream(seed=24, count=SECOND, first=FIRST) if pair[1]])
    _move(settings, settings.processor.group, settings.topics.transactions, lambda _, end: end, keep_note=False)
    believing = services.start_module("tests.integration.processor_child", "believing", "0", "0")
    _await_applied(services, log)
    services.end(believing)
    assert "offsets were moved forward" in _refused(services)
    assert "drop" in _recover(weir, settings)
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=PARTITIONS)


@pytest.mark.parametrize("wiped", first_in_ci(True, False))
def test_offsets_moved_back_are_refused_though_redis_was_wiped(services: Services, weir: Weir, wiped: bool) -> None:
    settings, publisher = services.settings, Publisher(services.settings)
    log = publish(publisher, build_stream(seed=25, count=FIRST))
    _decide(services, log)
    _move(settings, settings.processor.group, settings.topics.transactions, lambda held, _: held - 5, keep_note=True)
    if wiped:
        with closing(connect(settings.redis)) as client:
            for key in list(client.scan_iter(f"weir:{settings.cluster}:*")):
                client.delete(key)
    assert "`weir offsets recover --apply`" in _refused(services)
    _recover(weir, settings)
    log += publish(publisher, build_stream(seed=26, count=SECOND, first=FIRST))
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=PARTITIONS)


@pytest.mark.parametrize("to", first_in_ci("end", "back"))
def test_a_scorers_offsets_that_were_moved_are_refused_and_recovered_from_the_decisions(
    settings: Settings, weir: Weir, to: str, tmp_path: Path
) -> None:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings = settings.model_copy(update={"home": tmp_path})
    Publisher(settings).send([("x", b"")] * 80, partition=0)  # what the rows say that they come from
    publish_rows(settings, build_rows(0, 60))
    with running(run_scorer, settings, instance=0):
        await_true(lambda: len(read_decisions(settings)) == 60, "60 decisions")
    publish_rows(settings, build_rows(60, 20))
    moved: Callable[[int, int], int] = (lambda _, end: end) if to == "end" else (lambda held, _: held - 3)
    _move(settings, settings.scorer.group, settings.topics.features, moved, keep_note=False)
    with pytest.raises(Refused, match="weir offsets recover --apply"):
        run_scorer(settings, instance=0, should_stop=lambda: False)
    _recover(weir, settings)
    with running(run_scorer, settings, instance=0):
        await_true(lambda: len(read_decisions(settings)) >= 80, "80 decisions")
    ids = [decision["transaction_id"] for decision in read_decisions(settings)]
    assert sorted(ids) == sorted(f"t{number}" for number in range(80))


def test_a_scorer_whose_offsets_were_lost_is_given_them_back(settings: Settings, weir: Weir, tmp_path: Path) -> None:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings = settings.model_copy(update={"home": tmp_path})
    Publisher(settings).send([("x", b"")] * 80, partition=0)  # what the rows say that they come from
    publish_rows(settings, build_rows(0, 60))
    with running(run_scorer, settings, instance=0):
        await_true(lambda: len(read_decisions(settings)) == 60, "60 decisions")
    groups = settings.scorer.model_copy(update={"group": settings.scorer.group + "-restored"})
    settings = settings.model_copy(update={"scorer": groups})
    with pytest.raises(Refused, match="weir offsets recover --apply"):
        run_scorer(settings, instance=0, should_stop=lambda: False)
    _recover(weir, settings)
    publish_rows(settings, build_rows(60, 20))
    with running(run_scorer, settings, instance=0):
        await_true(lambda: len(read_decisions(settings)) >= 80, "80 decisions")
    assert len(read_decisions(settings)) == 80


def test_outputs_in_other_partitions_than_their_sources_are_found(services: Services) -> None:
    """A producer with another partitioner: the last row of a quiet partition lies among rows of another one."""
    settings, publisher = services.settings, Publisher(services.settings)
    stream = [(key, event) for key, event in build_stream(seed=27, count=FIRST) if event is not None]
    for partition in range(PARTITIONS):
        publisher.send([(key, publisher.value(event)) for key, event in stream[partition::2]], partition=partition)
    with closing(History(settings.kafka)) as history, closing(Registry(settings.registry)) as registry:
        topic = settings.topics.transactions
        ends = {number: history.end((topic, number)) for number in range(PARTITIONS)}
        log: Log = [(number, end - 1, None) for number, end in ends.items()]
        _decide(services, log)
        coverage = build_coverage(processor_stage(settings), settings, history, registry)
        assert [coverage.check(number, low=0, committed=end) for number, end in ends.items()] == [None] * PARTITIONS
        with pytest.raises(Refused, match="moved back"):
            coverage.check(0, low=0, committed=ends[0] - 1)
