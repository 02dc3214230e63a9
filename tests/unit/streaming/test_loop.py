"""The loop over a stage that keeps nothing of its records: where units begin, and what they do after a failure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import length_hint
from threading import Event
from typing import Any, cast

import pytest

from weir.infra.kafka.group_position import Standing, begin_at_committed
from weir.infra.kafka.sink import Offsets, Rows
from weir.infra.kafka.source import Gathered, Partition
from weir.infra.redis.unit import Unit
from weir.schemas.errors import Refused, Transient, WeirError
from weir.streaming.loop import AWAY_SECONDS_MAX, CALM_SECONDS, Loop, LoopConfig
from weir.streaming.stage import Further, Outcome
from weir.streaming.state.cache import StaleState
from weir.streaming.state.view_writer import Write
from weir.streaming.unit_state import NoState

SECONDS_MAX = 20.0
P0: Partition = ("rows", 0)
P1: Partition = ("rows", 1)


@dataclass
class _Record:
    number: int

    def offset(self) -> int:
        return self.number


@dataclass
class _Source:
    """A log in memory behind the input's port; ``committed_at`` is what the group has committed."""

    logs: dict[Partition, list[int]]
    committed_at: dict[Partition, int] = field(default_factory=dict)
    low: dict[Partition, int] = field(default_factory=dict)
    at: dict[Partition, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    away: bool = False
    note: str = "id-1"

    def subscribe(self, topics: list[str], *, on_assigned: Callable, on_revoked: Callable) -> None:
        assert topics == ["rows"]
        self.revoke = on_revoked
        on_assigned(list(self.logs))

    def gather(self, max_records: int, *, timeout_seconds: float, linger_seconds: float) -> Gathered:
        del timeout_seconds, linger_seconds
        gathered = Gathered()
        for partition, at in self.at.items():
            found = [_Record(offset) for offset in self.logs[partition] if offset >= at][:max_records]
            if found:
                gathered.records[partition] = found
        return gathered

    def committed(self, partition: Partition) -> tuple[int | None, str]:
        if self.away:
            raise Transient("kafka: away")
        return self.committed_at.get(partition), self.note

    def watermarks(self, partition: Partition) -> tuple[int, int]:
        return self.low.get(partition, 0), max(self.logs[partition], default=-1) + 1

    def resume(self, partition: Partition, offset: int) -> None:
        self.calls.append(f"resume {partition[1]}@{offset}")
        self.at[partition] = offset

    def forget(self, partition: Partition) -> None:
        self.calls.append(f"forget {partition[1]}")
        del self.at[partition]

    def advance(self, partition: Partition, next_offset: int) -> None:
        self.at[partition] = next_offset

    def end_offset_cached(self, partition: Partition) -> int:
        return len(self.logs[partition])


class _Stage:
    """Takes what it is given, unless the next entry of a script says what happens instead; commits it too."""

    kind, topic, transactional = "f", "rows", True

    def __init__(self, source: _Source, script: list[Exception | None] | None = None) -> None:
        self.source = source
        self.script = script or []
        self.begun: list[int] = []
        self.seen: list[tuple[int, int]] = []

    def begin(self, partition: Partition, found: Standing) -> int:
        self.begun.append(partition[1])
        return begin_at_committed(partition, found)

    def process(self, records: dict[int, list[Any]]) -> Outcome:
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        self.seen += [(number, record.offset()) for number, part in records.items() for record in part]
        return Outcome()

    def send(self, rows: object, records: object, offsets: Offsets) -> None:
        del rows, records
        self.sent = offsets

    def finish(self) -> None:
        self.source.committed_at |= self.sent.next_offsets


def _build(source: _Source, stage: _Stage, **changes: Any) -> Loop:
    config = LoopConfig("score", 2, 0.0, **({"sleep": lambda _: None} | changes))
    state = NoState(stage, cast(Any, source), group="g", topic_id="id-1", start_over="start over")
    return Loop(config, [stage], cast(Any, source), state, stage)


def _run(source: _Source, stage: _Stage, turns: int, **changes: object) -> list[float]:
    slept: list[float] = []
    left = iter(range(turns))
    _build(source, stage, **({"sleep": slept.append} | changes)).run(lambda: next(left, None) is None)
    return slept


def test_a_partition_without_committed_offset_begins_at_the_first_record_that_is_left() -> None:
    source = _Source({P0: [3, 4, 5]}, low={P0: 3})
    stage = _Stage(source)
    _run(source, stage, 3)
    assert source.calls == ["resume 0@3"]
    assert stage.seen == [(0, 3), (0, 4), (0, 5)]


def test_a_partition_goes_on_at_what_is_committed() -> None:
    source = _Source({P0: [0, 1, 2, 3], P1: [0, 1]}, committed_at={P0: 2})
    stage = _Stage(source)
    _run(source, stage, 3)
    assert sorted(stage.seen) == [(0, 2), (0, 3), (1, 0), (1, 1)]


def test_after_a_failed_batch_its_partitions_go_back_to_what_is_committed() -> None:
    source = _Source({P0: [0, 1, 2, 3]})
    stage = _Stage(source, [None, Transient("aborted"), None])
    slept = _run(source, stage, 5)
    assert source.calls == ["resume 0@0", "forget 0", "resume 0@2"]
    assert stage.seen == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert len(slept) == 1


def test_a_broker_that_is_away_is_asked_again_with_growing_pauses() -> None:
    source = _Source({P0: [0]}, away=True)
    slept = _run(source, _Stage(source), 6)
    assert len(slept) == 6
    assert slept[0] < 0.2
    assert slept[5] > 1.0


def test_a_dependency_that_stays_away_ends_the_process() -> None:
    now = [0.0]

    def wait_long(_: float) -> None:
        now[0] += AWAY_SECONDS_MAX / 2 + 1.0

    source = _Source({P0: [0]}, away=True)
    with pytest.raises(WeirError, match="gave up"):
        _run(source, _Stage(source), 6, sleep=wait_long, monotonic=lambda: now[0])


@pytest.mark.parametrize(("quiet_seconds", "ends"), [(CALM_SECONDS + 1.0, False), (CALM_SECONDS - 1.0, True)])
def test_failures_that_a_calm_lies_between_are_not_added_up(quiet_seconds: float, ends: bool) -> None:
    """``[away] quiet [away] quiet ...`` for longer than the bound, on a topic that has no records at all."""
    now, turns = 0.0, int(2 * AWAY_SECONDS_MAX / quiet_seconds) + 10
    left = iter(range(turns))

    def look() -> None:
        nonlocal now
        if next(left) % 2 == 0:
            raise Transient("redis: away")
        now += quiet_seconds

    source = _Source({})
    loop = _build(source, _Stage(source), between=look, monotonic=lambda: now)
    if ends:
        with pytest.raises(WeirError, match="gave up"):
            loop.run(lambda: False)
    else:
        loop.run(lambda: length_hint(left) == 0)
    assert now > AWAY_SECONDS_MAX


def test_a_unit_whose_state_is_stale_begins_again_though_it_had_no_records() -> None:
    source = _Source({P0: [0, 1], P1: [0]})
    script = [None, None, StaleState([Unit("f", 1)], "redis lost entries"), None]

    def look() -> None:
        error = script.pop(0) if script else None
        if error is not None:
            raise error

    stage = _Stage(source)
    _run(source, stage, 5, between=look)
    assert stage.begun == [0, 1, 1]
    assert source.calls == ["resume 0@0", "resume 1@0", "forget 1", "resume 1@0"]
    assert stage.seen == [(0, 0), (0, 1), (1, 0)]


def test_an_error_that_is_not_transient_ends_the_process() -> None:
    source = _Source({P0: [0]})
    with pytest.raises(ZeroDivisionError):
        _run(source, _Stage(source, [ZeroDivisionError()]), 2)


def test_records_deleted_before_they_were_seen_are_refused_with_the_mend() -> None:
    source = _Source({P0: [5]}, committed_at={P0: 2}, low={P0: 5})
    with pytest.raises(Refused, match="above the committed 2"):
        _run(source, _Stage(source), 2)


def test_offsets_of_another_topic_of_the_name_are_refused_with_the_mend() -> None:
    source = _Source({P0: [0, 1, 2, 3]}, committed_at={P0: 2}, note="id-0")
    with pytest.raises(Refused, match=r"not the topic that group g .* start over"):
        _run(source, _Stage(source), 2)


def test_offsets_from_before_topics_were_noted_are_believed() -> None:
    source = _Source({P0: [0, 1, 2, 3]}, committed_at={P0: 2}, note="")
    stage = _Stage(source)
    _run(source, stage, 2)
    assert stage.seen == [(0, 2), (0, 3)]


def test_a_log_that_ends_below_what_is_committed_is_refused_with_the_mend() -> None:
    source = _Source({P0: [0, 1]}, committed_at={P0: 3})
    with pytest.raises(Refused, match=r"rows\[0\]@3, but the log ends at 2: .* start over"):
        _run(source, _Stage(source), 2)


def test_a_partition_that_is_revoked_while_it_waits_is_not_resumed() -> None:
    source = _Source({P0: [0], P1: [0]}, away=True)
    stage = _Stage(source)

    def come_back(_: float) -> None:
        source.away = False
        source.revoke([P1], False)

    _run(source, stage, 3, sleep=come_back)
    assert stage.seen == [(0, 0)]


def test_rows_are_decided_once_it_is_noted_that_their_records_were_computed() -> None:
    """What ends the process in between is no record's fault, and what fails there leaves nothing committed.

    The rows themselves are on their way before.
    """
    source = _Source({P0: [0, 1, 2, 3]})
    told: list[str] = []

    class Deciding(_Stage):
        def process(self, records: dict[int, list[Any]]) -> Outcome:
            outcome = super().process(records)
            outcome.rows.append(Rows("features", [None], [b"f"]))
            outcome.then = self.decide
            return outcome

        def decide(self) -> Further:
            told.append("decide")
            if told.count("decide") == 1:
                raise Transient("away")
            return Further(Rows("decisions", [None], [b"d"]), lambda _: told.append("visible"))

        def send(self, rows: Any, records: object, offsets: Offsets) -> None:
            for each in rows:
                told.append(f"sent {each.topic}")  # noqa: PERF401 - making the next rows tells, too
            super().send(rows, records, offsets)

    class Noting(NoState):
        def note_computed(self, units: Sequence[Unit]) -> None:
            told.append(f"computed {[unit.partition for unit in units]}")

    stage = Deciding(source)
    state = Noting(stage, cast(Any, source), group="g", topic_id="id-1", start_over="start over")
    config = LoopConfig("process", 2, 0.0, sleep=lambda _: None, on_step=told.append)
    left = iter(range(4))
    Loop(config, [stage], cast(Any, source), state, stage).run(lambda: next(left, None) is None)
    begun = ["gathered", "computed", "computed [0]", "committing", "sent features", "decide"]
    assert told == [*begun, *begun, "decided", "sent decisions", "committed", "visible"]
    assert source.committed_at == {P0: 2}


class _Slow(_Stage):
    """Ends its first commit once the next batch was computed; the script is of commits."""

    def __init__(self, source: _Source, outcomes: list[Exception | None] | None = None) -> None:
        super().__init__(source)
        self.outcomes = outcomes or []
        self.told: list[str] = []
        self.sends = 0
        self.next = Event()

    def process(self, records: dict[int, list[Any]]) -> Outcome:
        self.told.append(f"computed {[record.offset() for part in records.values() for record in part]}")
        if self.sends:
            self.next.set()
        return super().process(records)

    def send(self, rows: object, records: object, offsets: Offsets) -> None:
        self.sends += 1
        self.told.append(f"sent to {max(offsets.next_offsets.values())}")
        super().send(rows, records, offsets)

    def finish(self) -> None:
        end = max(self.sent.next_offsets.values())
        if self.sends == 1:
            assert self.next.wait(SECONDS_MAX)
        error = self.outcomes.pop(0) if self.outcomes else None
        if error is not None:
            self.told.append(f"failed at {end}")
            raise error
        self.told.append(f"committed to {end}")
        super().finish()


def test_a_batch_is_computed_while_the_one_before_is_committed_and_sent_only_after_that() -> None:
    source = _Source({P0: [0, 1, 2, 3]})
    stage = _Slow(source)
    _run(source, stage, 4)
    assert stage.told == [
        "computed [0, 1]", "sent to 2", "computed [2, 3]", "committed to 2", "sent to 4", "committed to 4",
    ]  # fmt: skip


def test_what_was_computed_on_a_batch_whose_commit_fails_is_void_and_is_computed_again() -> None:
    source = _Source({P0: [0, 1, 2, 3]})
    stage = _Slow(source, [Transient("aborted")])
    _run(source, stage, 6)
    assert stage.told[:4] == ["computed [0, 1]", "sent to 2", "computed [2, 3]", "failed at 2"]
    assert stage.told[4:6] == ["computed [0, 1]", "sent to 2"]
    assert source.calls == ["resume 0@0", "forget 0", "resume 0@0"]
    assert source.committed_at == {P0: 4}


def test_a_batch_without_records_of_the_unit_whose_commit_fails_is_void_too() -> None:
    """It may have read what the other changed."""
    source = _Source({P0: [], P1: []})
    stage = _Slow(source, [Transient("aborted")])

    def come() -> None:
        if len(source.calls) == 2:
            source.logs[P1 if stage.sends else P0] = [0, 1]

    _run(source, stage, 10, between=come)
    assert sorted(source.calls[2:]) == ["forget 0", "forget 1", "resume 0@0", "resume 1@0"]
    assert source.committed_at == {P0: 2, P1: 2}


def test_the_next_batch_is_computed_on_what_the_one_under_way_changed() -> None:
    source = _Source({P0: [0, 1, 2, 3]})
    stage = _Slow(source)

    class Telling(NoState):
        def pin(self, writes: Sequence[Write]) -> None:
            stage.told.append(f"pinned to {writes[0].end}")

        def apply(self, writes: Sequence[Write]) -> None:
            stage.told.append(f"applied to {writes[0].end}")

    state = Telling(stage, cast(Any, source), group="g", topic_id="id-1", start_over="start over")
    left = iter(range(4))
    config = LoopConfig("process", 2, 0.0)
    Loop(config, [stage], cast(Any, source), state, stage).run(lambda: next(left, None) is None)
    told = stage.told
    assert told.index("sent to 2") < told.index("pinned to 2") < told.index("computed [2, 3]")
    assert told.index("committed to 2") < told.index("applied to 2")


def test_a_partition_is_let_go_of_when_no_commit_is_under_way() -> None:
    source = _Source({P0: [0, 1, 2, 3]})
    stage = _Slow(source)
    gather = source.gather

    def gather_after_rebalance(*given: Any, **named: Any) -> Gathered:
        if "sent to 2" in stage.told and P0 in source.at:
            stage.next.set()
            source.revoke([P0], False)
            stage.told.append("let go")
            del source.at[P0]
        return gather(*given, **named)

    source.gather = gather_after_rebalance  # type: ignore[method-assign]
    _run(source, stage, 5)
    assert stage.told == ["computed [0, 1]", "sent to 2", "committed to 2", "let go"]


def test_the_commit_under_way_is_finished_when_the_process_is_told_to_stop() -> None:
    source = _Source({P0: [0, 1]})
    stage = _Slow(source)
    stage.next.set()
    _run(source, stage, 2)
    assert source.committed_at == {P0: 2}
