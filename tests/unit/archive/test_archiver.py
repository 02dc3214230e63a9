"""The loop around tables: when rows are committed, partitions that are added, a store that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.archive.test_rows import build_maker
from tests.unit.archive.test_table import offsets, reopen
from weir.archive import archiver as archiver_module
from weir.archive.archiver import Archiver
from weir.archive.follower import Follower, Pace
from weir.archive.log import Read
from weir.archive.metering import Meter
from weir.archive.place import Place
from weir.archive.table import ArchiveTable
from weir.monitoring.metrics import REGISTRY
from weir.schemas.errors import Transient
from weir.streaming.stage import do_nothing

TOPIC = "payments"


@dataclass
class Record:
    """What the client's message answers."""

    number: int
    at: int
    held: bytes = b"t:1"
    set_headers: list[Any] = field(default_factory=list)

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.at

    def key(self) -> bytes:
        return b"card-1"

    def value(self) -> bytes:
        return self.held

    def headers(self) -> None:
        return None


class Log:
    """Hands out what it was told to, then says that there is no more."""

    def __init__(self, *reads: Sequence[Record]) -> None:
        self.reads = list(reads)
        self.assigned: list[Mapping[Any, int]] = []

    def assign(self, starts: Mapping[Any, int]) -> None:
        self.assigned.append(dict(starts))

    def read(self, records_max: int, timeout_seconds: float) -> Read:
        del records_max, timeout_seconds
        return Read({TOPIC: list(self.reads.pop(0))}, {}) if self.reads else Read()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path)).below(TOPIC)


def build_follower(
    table: ArchiveTable, *, seconds: float = 1e9, rows: int = 1_000, clock: Any = lambda: 0.0
) -> Follower:
    table.begin([0])
    follower = Follower(table, build_maker(), None, Pace(seconds, rows), clock)
    follower.begin({0: 0})
    return follower


def run(
    follower: Follower,
    log: Log,
    ends: Mapping[int, int],
    *,
    takes_added: bool = True,
    upkeep: Callable[[], None] = do_nothing,
) -> None:
    meter = Meter(lambda _: ends, {TOPIC: 1_000})
    loop = Archiver(
        {TOPIC: follower},
        log,  # type: ignore[arg-type]
        meter,
        takes_added=takes_added,
        should_stop=lambda: not log.reads,
        on_step=do_nothing,
        upkeep=upkeep,
    )
    loop.run()


def test_rows_are_committed_by_their_number_their_age_and_at_the_end(place: Place) -> None:
    table, clock = reopen(place), [0.0]
    follower = build_follower(table, seconds=5.0, rows=3, clock=lambda: clock[0])
    follower.take([Record(0, 0), Record(0, 1)])
    assert not follower.is_due()
    follower.take([Record(0, 2)])
    assert follower.is_due()
    assert follower.commit(do_nothing) == 3
    follower.take([Record(0, 3)])
    clock[0] = 4.9
    assert not follower.is_due()
    clock[0] = 5.0
    assert follower.is_due()
    run(follower, Log([Record(0, 4)]), {0: 5})
    assert (offsets(place), table.begin([0])) == ([0, 1, 2, 3, 4], {0: 5})


def test_a_record_that_was_taken_is_not_taken_again(place: Place) -> None:
    table = reopen(place)
    run(build_follower(table), Log([Record(0, 0), Record(0, 1)], [Record(0, 1), Record(0, 4)], [Record(0, 0)]), {0: 5})
    assert offsets(place) == [0, 1, 4]


def test_partitions_that_are_added_are_followed_from_their_first_record(place: Place) -> None:
    log = Log([Record(0, 0)], [Record(1, 0), Record(0, 1)])
    run(build_follower(reopen(place)), log, {0: 2, 1: 1})
    assert log.assigned == [{(TOPIC, 0): 0, (TOPIC, 1): 0}]
    assert (offsets(place, 0), offsets(place, 1)) == ([0, 1], [0])
    assert reopen(place).begin([0, 1]) == {0: 2, 1: 1}


def test_an_archiver_of_given_partitions_leaves_others_alone(place: Place) -> None:
    log = Log([Record(0, 0)], [])
    run(build_follower(reopen(place)), log, {0: 1, 1: 1}, takes_added=False)
    assert log.assigned == []


def test_upkeep_has_its_turn_when_the_log_has_no_more_than_was_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver_module, "READ_RECORDS_MAX", 2)
    turns: list[int] = []
    log = Log([Record(0, 0), Record(0, 1)], [Record(0, 2)], [Record(0, 3), Record(0, 4)], [])
    follower = build_follower(reopen(place))
    run(follower, log, {0: 5}, upkeep=lambda: turns.append(follower.positions[0]))
    assert turns == [3, 5]


def test_a_store_that_does_not_answer_is_waited_for_with_what_is_in_hand(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, failures = reopen(place), [3]
    waits: list[float] = []
    append = table.append

    def fail_at_first(*given: Any) -> None:
        if failures[0]:
            failures[0] -= 1
            raise Transient("archive: the store is full", cause="full")
        append(*given)

    monkeypatch.setattr(table, "append", fail_at_first)
    monkeypatch.setattr(time, "sleep", waits.append)
    run(build_follower(table, rows=1), Log([Record(0, 0)], [Record(0, 1)], []), {0: 2})
    assert offsets(place) == [0, 1]
    assert waits == [0.25, 0.5, 1.0]


def test_a_store_that_stays_away_ends_the_process_and_its_heir_continues(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise Transient("archive: the store is full", cause="full")

    table = reopen(place)
    monkeypatch.setattr(table, "append", fail)
    monkeypatch.setattr(archiver_module, "AWAY_SECONDS_MAX", -1.0)
    with pytest.raises(Transient, match="the store is full"):
        run(build_follower(table, rows=1), Log([Record(0, 0)], []), {0: 1})
    run(build_follower(reopen(place)), Log([Record(0, 0)], [Record(0, 1)]), {0: 2})
    assert offsets(place) == [0, 1]


def _sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_an_archiver_says_how_far_it_is_behind_and_what_it_holds(place: Place) -> None:
    follower = build_follower(reopen(place))
    meter = Meter(lambda _: {0: 7}, {TOPIC: 86_400_000})
    follower.take([Record(0, 0), Record(0, 1)])
    assert meter.turn({TOPIC: follower})
    assert _sample("weir_archive_retention_seconds", topic=TOPIC) == 86_400
    assert _sample("weir_lag_records", stage="archive", topic=TOPIC, partition="0") == 5
    assert _sample("weir_archive_files", topic=TOPIC) == 0
    behind = _sample("weir_archive_behind_seconds", topic=TOPIC)
    assert behind is not None
    assert abs(time.time() - behind - 0.001) < 60  # the older record is of the first second of 1970
    assert not meter.turn({TOPIC: follower})  # it is too early to ask again

    commits, rows = (_sample(f"weir_archive_{what}_total", topic=TOPIC) or 0.0 for what in ("commits", "rows"))
    with meter.committing(follower):
        follower.commit(do_nothing)
    assert Meter(lambda _: {0: 7}, {}).turn({TOPIC: follower})
    assert _sample("weir_archive_behind_seconds", topic=TOPIC) == 0
    assert _sample("weir_archive_files", topic=TOPIC) == 1
    assert _sample("weir_archive_commits_total", topic=TOPIC) == commits + 1
    assert _sample("weir_archive_rows_total", topic=TOPIC) == rows + 2


def test_brokers_that_do_not_answer_leave_what_was_said_of_the_log(place: Place) -> None:
    def away(_: str) -> Mapping[int, int]:
        raise Transient("kafka: away")

    follower = build_follower(reopen(place))
    assert Meter(lambda _: {0: 3}, {}).turn({TOPIC: follower})
    assert Meter(away, {}).turn({TOPIC: follower})
    assert _sample("weir_lag_records", stage="archive", topic=TOPIC, partition="0") == 3
