"""Exactly once on real servers: kills at every step, a tiny cache with slow Redis, against an oracle that counts."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import create_deployment, first_in_ci, settings_for
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher, build_payment, encode_body, frame
from tests.integration.services import Services, log_of
from tests.integration.streams import assert_exactly_once, await_applied, build_stream, publish
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.api.lookup import look_up
from weir.infra.redis.client import connect
from weir.infra.redis.partials_reader import FeatureReader
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import schema_json, subject
from weir.streaming.kernels import shipped_kernel

pytestmark = pytest.mark.server

CHILD = "tests.integration.processor_child"
RECORDS = 400


def deploy(stack: Settings, prefix: str, *, partitions: int = 2, **processor: int) -> Settings:
    """Create a deployment whose processor has settings of its own."""
    settings = settings_for(stack, prefix, partitions=partitions)
    changed = settings.processor.model_copy(update=processor)
    settings = settings.model_copy(update={"processor": changed})
    create_deployment(settings)
    return settings


@pytest.fixture
def services(stack: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    """Two partitions, batches so small that there are many."""
    running = Services(deploy(stack, request.node.name, batch_records_max=40), tmp_path / "logs")
    yield running
    running.stop()


@pytest.mark.parametrize("step", first_in_ci("committed", "gathered", "computed", "committing", "applied"))
def test_a_processor_killed_at_a_step_counts_and_publishes_each_record_once(services: Services, step: str) -> None:
    """``[batch][batch][batch KILL ...`` then a new start: it folds from the log what Redis has not seen."""
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=11, count=RECORDS))
    services.await_killed(services.start_module(CHILD, step, "3", "0", ready=""))
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=2)


@pytest.mark.parametrize("occurrence", first_in_ci("2", "1"))
@pytest.mark.parametrize("step", first_in_ci("catch_up_applied", "catch_up_folded"))
def test_a_processor_killed_again_while_it_catches_up_counts_each_record_once(
    services: Services, step: str, occurrence: str
) -> None:
    """At the second fold the first chunk's write is in flight."""
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=12, count=RECORDS))
    services.await_killed(services.start_module(CHILD, "committed", "3", "0", ready=""))
    services.await_killed(services.start_module(CHILD, step, occurrence, "0", ready=""))
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=2)


@pytest.mark.verify  # CI has the fault `kill-committed`
def test_kills_between_commit_and_write_one_after_another_lose_and_double_nothing(services: Services) -> None:
    """Each start names the headers of its dead letters differently: verdicts are read whatever they are called."""
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=13, count=RECORDS))
    for occurrence, prefix in (("1", "a."), ("2", "__connect.errors."), ("1", "dlq-")):
        processor = settings.processor.model_copy(update={"dlq_header_prefix": prefix})
        services.change(settings.model_copy(update={"processor": processor}))
        services.await_killed(services.start_module(CHILD, "committed", occurrence, "0", ready=""))
    services.change(settings)
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=2)


def test_one_partition_killed_between_commit_and_write_has_every_feature_as_the_oracle_counts_it(
    stack: Settings, tmp_path: Path
) -> None:
    settings = deploy(stack, "one-partition", partitions=1, batch_records_max=40)
    services = Services(settings, tmp_path / "logs")
    log = publish(Publisher(settings), build_stream(seed=14, count=RECORDS))
    try:
        services.await_killed(services.start_module(CHILD, "committed", "4", "0", ready=""))
        services.start("process")
        assert_exactly_once(settings, log, services.await_true, partitions=1)
    finally:
        services.stop()


@pytest.mark.verify  # CI has the fault `tiny-cache-slow-redis`
def test_a_tiny_cache_with_slow_redis_and_no_kill_reads_no_stale_partial(stack: Settings, tmp_path: Path) -> None:
    """Evicted while its write is in flight and read again, a partial would be the one before: it is pinned instead."""
    settings = deploy(stack, "tiny-cache", partitions=1, batch_records_max=15, cache_entities_max=10)
    services = Services(settings, tmp_path / "logs")
    log = publish(Publisher(settings), build_stream(seed=15, count=RECORDS))
    try:
        services.start_module(CHILD, "never", "0", "0.05")
        assert_exactly_once(settings, log, services.await_true, partitions=1)
    finally:
        services.stop()


def test_a_wiped_view_is_rebuilt_though_some_of_its_units_get_no_records(services: Services) -> None:
    """Payments alone after the wipe: the units of labels lend them partials, and are missed by nobody else."""
    settings = services.settings
    publisher = Publisher(settings)
    log = publish(publisher, build_stream(seed=17, count=RECORDS // 4))
    first = services.start("process")
    services.await_true(lambda: log_of(first).count('"caught_up"') == 4, "every unit caught up")
    services.end(first)
    # a second start knows no unit whole: it has to ask Redis
    second = services.start("process")
    services.await_true(lambda: log_of(second).count('"caught_up"') == 4, "every unit caught up")
    client = connect(settings.redis)
    for key in list(client.scan_iter(f"weir:{settings.cluster}:*")):
        client.delete(key)
    log += publish(publisher, build_stream(seed=18, count=RECORDS // 4, first=RECORDS // 4))
    assert_exactly_once(settings, log, services.await_true, partitions=2)
    await_applied(settings, {"l00": 0, "l01": 0}, services.await_true)


def test_versions_mixed_in_one_topic_are_all_decided_and_counted(services: Services) -> None:
    settings = services.settings
    stream = [(key, event) for key, event in build_stream(seed=16, count=RECORDS) if event is not None]
    first_use = {event["transaction_id"]: (key, event) for key, event in reversed(stream)}
    log = publish(Publisher(settings), list(reversed(first_use.values())), versions=(1, 2))
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=2)
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(len(log), services.await_true)
        assert outputs.letters() == []


def test_a_verdict_stands_though_its_cause_is_repaired_and_a_replay_counts_and_decides_once(
    stack: Settings, tmp_path: Path
) -> None:
    """``[c][c, schema unknown][c]``, killed before the write; the schema is registered; start; replay.

    Judged again in catch-up, the middle one would be counted there and once more when it is replayed.
    """
    settings = deploy(stack, "repaired", partitions=1).model_copy(update={"home": tmp_path})
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    services, publisher = Services(settings, tmp_path / "logs"), Publisher(settings)
    card = "card-repaired"
    payments = [build_payment(f"repaired-{number}", card_id=card) for number in range(4)]
    coming = _next_schema_id(settings)
    middle = (card, frame(coming, encode_body(payments[1]) + b"\x00"))  # one more nullable field, null
    values = [(card, publisher.value(payment)) for payment in payments]
    try:
        publisher.send([values[0], middle, values[2]])
        services.await_killed(services.start_module(CHILD, "committed", "1", "0", ready=""))
        assert _register_wider(settings) == coming
        services.start("process")
        services.start("score")
        with closing(Outputs(settings)) as outputs:
            outputs.await_settled(3, services.await_true)
            (letter,) = outputs.letters()
            assert (letter.reason, letter.schema_id) == ("unknown_schema_id", coming)
            reader = await_applied(settings, {"t00": 3}, services.await_true)
            assert _count(reader, card) == 2.0
            replay = services.run("dlq", "replay", "--reason", "unknown_schema_id", "--apply", "--json")
            assert json.loads(replay)["letters"] == {"replayed": 1}
            outputs.await_settled(4, services.await_true)
            publisher.send([values[3]])
            wanted = sorted(payment["transaction_id"] for payment in payments)
            services.await_true(lambda: len(outputs.decisions()) >= len(wanted), "the decisions")
            assert sorted(decision["transaction_id"] for decision in outputs.decisions()) == wanted
            (last,) = [row for row in outputs.rows() if row["transaction_id"] == "repaired-3"]
            assert last["card_event_count_1h"] == 4.0
        services.await_true(lambda: _count(reader, card) == 4.0, "redis counting four")
    finally:
        services.stop()


def _count(reader: FeatureReader, card: str) -> float:
    return float(
        look_up(shipped_kernel(), reader, "card", card, now_ms=int(time.time() * 1_000))["features"][
            "card_event_count_1h"
        ]
    )


def _next_schema_id(settings: Settings) -> int:
    """Return the id that the registry will give to the next schema: it counts."""
    probe = {"type": "record", "name": "Probe", "fields": [{"name": f"a{uuid.uuid4().hex}", "type": "int"}]}
    with closing(Registry(settings.registry)) as registry:
        return registry.register(f"{settings.cluster}-probe-value", json.dumps(probe)) + 1


def _register_wider(settings: Settings) -> int:
    """Register the transactions contract with one more nullable field of a name never used."""
    wider = json.loads(schema_json("transactions"))
    wider["fields"].append({"name": f"a{uuid.uuid4().hex}", "type": ["null", "string"], "default": None})
    with closing(Registry(settings.registry)) as registry:
        return registry.register(subject(settings.topics.transactions), json.dumps(wider))
