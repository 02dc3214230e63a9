"""``weir run`` on real servers: exactly once with its decisions, alone and next to the two processes it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import first_in_ci
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher
from tests.integration.services import Child, Services, log_of
from tests.integration.streams import Log, assert_exactly_once, build_stream, publish
from tests.integration.test_exactly_once import CHILD, deploy
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.inspect.lag import read_lag
from weir.inference.run import run_fused
from weir.infra.settings import Settings
from weir.schemas.errors import Refused

pytestmark = pytest.mark.server

RECORDS = 400


@pytest.fixture
def services(stack: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    """Two partitions, batches so small that there are many, and a model."""
    settings = deploy(stack, request.node.name, batch_records_max=40).model_copy(update={"home": tmp_path})
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    running = Services(settings, tmp_path / "logs")
    yield running
    running.stop()


def _assert_decided_once(services: Services, log: Log, *, marked: bool | None) -> None:
    """Every row has one decision of the same coordinate, and says who made it where that is known."""
    assert_exactly_once(services.settings, log, services.await_true, partitions=2)
    with closing(Outputs(services.settings)) as outputs:
        outputs.await_settled(len(log), services.await_true)
        rows = outputs.rows()
        services.await_true(lambda: len(outputs.decisions()) >= len(rows), f"{len(rows)} decisions")
        made = Counter((each["source_partition"], each["source_offset"]) for each in outputs.decisions())
        assert made == Counter((row["source_partition"], row["source_offset"]) for row in rows)
        if marked is not None:
            assert {row["decided"] for row in rows} == {True if marked else None}


@pytest.mark.parametrize("step", first_in_ci("committed", "gathered", "computed", "committing", "decided", "applied"))
def test_killed_at_a_step_it_counts_publishes_and_decides_each_record_once(services: Services, step: str) -> None:
    log = publish(Publisher(services.settings), build_stream(seed=21, count=RECORDS))
    services.await_killed(services.start_module(CHILD, step, "3", "0", "run", ready=""))
    services.start("run")
    _assert_decided_once(services, log, marked=True)


def _has_caught_up(child: Child) -> bool:
    return log_of(child).count('"caught_up"') >= 4


@pytest.mark.verify  # as the fault `run-switched`
def test_changing_from_one_mode_to_the_other_and_back_decides_each_record_once(services: Services) -> None:
    """``[process + score][run + score][process + score]`` under load: the scorer is there all the while."""
    publisher = Publisher(services.settings)
    services.start("score")
    log = []
    for turn, verb in enumerate(("process", "run", "process")):
        child = services.start(verb)
        log += publish(publisher, build_stream(seed=30 + turn, count=RECORDS // 2, first=turn * RECORDS))
        services.await_true(partial(_has_caught_up, child), "every unit caught up")
        services.end(child)
    services.start("run")
    _assert_decided_once(services, log, marked=None)


@pytest.mark.verify  # as the fault `run-both`
def test_both_modes_at_once_share_the_partitions_and_decide_each_record_once(services: Services) -> None:
    publisher = Publisher(services.settings)
    services.start("score")
    separate, fused = services.start("process"), services.start("run", "--instance", "1")
    log = publish(publisher, build_stream(seed=41, count=RECORDS))
    _assert_decided_once(services, log, marked=None)
    services.end(fused)
    log += publish(publisher, build_stream(seed=42, count=RECORDS // 2, first=RECORDS))
    _assert_decided_once(services, log, marked=None)
    services.end(separate)


def test_a_scorer_started_after_it_passes_by_what_is_decided(services: Services) -> None:
    """No offsets of its own and decisions in the log: nothing of that is the scorer's, so it is no loss of offsets."""
    publisher = Publisher(services.settings)
    fused = services.start("run")
    log = publish(publisher, build_stream(seed=51, count=RECORDS // 2))
    _assert_decided_once(services, log, marked=True)
    services.end(fused)
    services.start("score")
    services.start("process")
    log += publish(publisher, build_stream(seed=52, count=RECORDS // 2, first=RECORDS))
    _assert_decided_once(services, log, marked=None)


@pytest.mark.verify  # CI has the fault `run-switched`
def test_it_begins_when_what_was_made_before_is_decided(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """``[process]`` and no scorer: rows would be left undecided for good. With a scorer it begins, and they are not."""
    publisher = Publisher(services.settings)
    separate = services.start("process")
    log = publish(publisher, build_stream(seed=61, count=RECORDS // 4))
    with closing(Outputs(services.settings)) as outputs:
        outputs.await_settled(len(log), services.await_true)
    services.end(separate)
    monkeypatch.setattr("weir.inference.run.UNDECIDED_SECONDS_MAX", 1.0)
    with pytest.raises(Refused, match="nobody has decided; start `weir score`"):
        run_fused(services.settings, instance=0, should_stop=lambda: False)
    scorer = services.start("score")
    fused = services.start("run")
    log += publish(publisher, build_stream(seed=62, count=RECORDS // 4, first=RECORDS))
    _assert_decided_once(services, log, marked=None)
    services.end(scorer)
    services.end(fused)
    services.start("run")  # what a scorer has not read since is all decided
    log += publish(publisher, build_stream(seed=63, count=RECORDS // 4, first=2 * RECORDS))
    _assert_decided_once(services, log, marked=None)


@pytest.mark.verify  # CI has the fault `run-both`
def test_rows_that_lie_between_decided_ones_are_found_and_not_left_undecided(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``[run][run + process][run]`` and no scorer: what the second made is between rows that are decided."""
    publisher = Publisher(services.settings)

    def publish_and_settle(seed: int, first: int) -> Log:
        sent = publish(publisher, build_stream(seed=seed, count=RECORDS // 4, first=first))
        with closing(Outputs(services.settings)) as outputs:
            outputs.await_settled(len(log) + len(sent), services.await_true)
        return sent

    log: Log = []
    fused = services.start("run", "--instance", "1")
    log += publish_and_settle(71, 0)
    # two partitions of events and two processes: one has each, so one partition's are processed and not decided
    separate = services.start("process", "--instance", "2")
    services.await_true(lambda: log_of(separate).count('"caught_up"') == 2, "half of the units")
    log += publish_and_settle(72, RECORDS)
    services.end(separate)
    log += publish_and_settle(73, 2 * RECORDS)
    services.end(fused)
    with closing(Outputs(services.settings)) as outputs:
        outputs.await_settled(len(log), services.await_true)
        assert {row["decided"] for row in outputs.rows()} == {True, None}
    owed = {row.partition: row.lag_records for row in read_lag(services.settings) if row.stage == "score"}
    assert any(owed.values()), owed
    monkeypatch.setattr("weir.inference.run.UNDECIDED_SECONDS_MAX", 1.0)
    with pytest.raises(Refused, match="nobody has decided; start `weir score`"):
        run_fused(services.settings, instance=1, should_stop=lambda: False)
    scorer = services.start("score", "--with-index")
    services.start("run", "--instance", "1")
    log += publish_and_settle(74, 3 * RECORDS)
    _assert_decided_once(services, log, marked=None)
    services.await_true(lambda: not any(row.lag_records for row in read_lag(services.settings)), "a lag of 0")
    services.end(scorer)
    log += publish_and_settle(75, 4 * RECORDS)
    lags = {row.stage: row.lag_records for row in read_lag(services.settings)}
    assert lags["score"] == 0, lags
