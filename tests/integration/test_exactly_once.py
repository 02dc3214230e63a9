"""Exactly once on real servers: kills at every step, a tiny cache with slow Redis, against an oracle that counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.conftest import create_deployment, settings_for
from tests.integration.payments import Publisher
from tests.integration.services import Services
from tests.integration.streams import assert_exactly_once, build_stream, publish

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


@pytest.mark.parametrize("step", ["gathered", "computed", "committing", "committed", "applied"])
def test_a_processor_killed_at_a_step_counts_and_publishes_each_record_once(services: Services, step: str) -> None:
    """``[batch][batch][batch KILL ...`` then a new start: it folds from the log what Redis has not seen."""
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=11, count=RECORDS))
    services.await_killed(services.start_module(CHILD, step, "3", "0", ready=""))
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=2)


@pytest.mark.parametrize("step", ["catch_up_folded", "catch_up_applied"])
def test_a_processor_killed_again_while_it_catches_up_counts_each_record_once(services: Services, step: str) -> None:
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=12, count=RECORDS))
    services.await_killed(services.start_module(CHILD, "committed", "3", "0", ready=""))
    services.await_killed(services.start_module(CHILD, step, "1", "0", ready=""))
    services.start("process")
    assert_exactly_once(settings, log, services.await_true, partitions=2)


def test_kills_between_commit_and_write_one_after_another_lose_and_double_nothing(services: Services) -> None:
    settings = services.settings
    log = publish(Publisher(settings), build_stream(seed=13, count=RECORDS))
    for occurrence in ("1", "2", "1"):
        services.await_killed(services.start_module(CHILD, "committed", occurrence, "0", ready=""))
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
