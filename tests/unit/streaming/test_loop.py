"""The loop over a stage that keeps nothing of its records: where units begin, and what they do after a failure."""

from collections.abc import Iterable, Sequence
from operator import length_hint
from typing import Any, cast

import pytest

from tests.unit.streaming.loops import P0, P1, FakeSource, FakeStage, build_loop, run_loop
from weir.infra.kafka.sink import Offsets, Rows
from weir.infra.redis.unit import Unit
from weir.schemas.errors import Refused, Transient, WeirError
from weir.streaming.loop import AWAY_SECONDS_MAX, CALM_SECONDS, Loop, LoopConfig
from weir.streaming.stage import Further, Outcome
from weir.streaming.state.cache import StaleState
from weir.streaming.unit_state import NoState


def test_a_partition_without_committed_offset_begins_at_the_first_record_that_is_left() -> None:
    source = FakeSource({P0: [3, 4, 5]}, low={P0: 3})
    stage = FakeStage(source)
    run_loop(source, stage, 3)
    assert source.calls == ["resume 0@3"]
    assert stage.seen == [(0, 3), (0, 4), (0, 5)]


def test_a_partition_goes_on_at_what_is_committed() -> None:
    source = FakeSource({P0: [0, 1, 2, 3], P1: [0, 1]}, committed_at={P0: 2})
    stage = FakeStage(source)
    run_loop(source, stage, 3)
    assert sorted(stage.seen) == [(0, 2), (0, 3), (1, 0), (1, 1)]


def test_after_a_failed_batch_its_partitions_go_back_to_what_is_committed() -> None:
    source = FakeSource({P0: [0, 1, 2, 3]})
    stage = FakeStage(source, [None, Transient("aborted"), None])
    slept = run_loop(source, stage, 5)
    assert source.calls == ["resume 0@0", "forget 0", "resume 0@2"]
    assert stage.seen == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert len(slept) == 1


def test_a_broker_that_is_away_is_asked_again_with_growing_pauses() -> None:
    source = FakeSource({P0: [0]}, away=True)
    slept = run_loop(source, FakeStage(source), 6)
    assert len(slept) == 6
    assert slept[0] < 0.2
    assert slept[5] > 1.0


def test_a_dependency_that_stays_away_ends_the_process() -> None:
    now = [0.0]

    def wait_long(_: float) -> None:
        now[0] += AWAY_SECONDS_MAX / 2 + 1.0

    source = FakeSource({P0: [0]}, away=True)
    with pytest.raises(WeirError, match="gave up"):
        run_loop(source, FakeStage(source), 6, sleep=wait_long, monotonic=lambda: now[0])


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

    source = FakeSource({})
    loop = build_loop(source, FakeStage(source), between=look, monotonic=lambda: now)
    if ends:
        with pytest.raises(WeirError, match="gave up"):
            loop.run(lambda: False)
    else:
        loop.run(lambda: length_hint(left) == 0)
    assert now > AWAY_SECONDS_MAX


def test_a_unit_whose_state_is_stale_begins_again_though_it_had_no_records() -> None:
    source = FakeSource({P0: [0, 1], P1: [0]})
    script = [None, None, StaleState([Unit("f", 1)], "redis lost entries"), None]

    def look() -> None:
        error = script.pop(0) if script else None
        if error is not None:
            raise error

    stage = FakeStage(source)
    run_loop(source, stage, 5, between=look)
    assert stage.begun == [0, 1, 1]
    assert source.calls == ["resume 0@0", "resume 1@0", "forget 1", "resume 1@0"]
    assert stage.seen == [(0, 0), (0, 1), (1, 0)]


def test_an_error_that_is_not_transient_ends_the_process() -> None:
    source = FakeSource({P0: [0]})
    with pytest.raises(ZeroDivisionError):
        run_loop(source, FakeStage(source, [ZeroDivisionError()]), 2)


def test_records_deleted_before_they_were_seen_are_refused_with_the_mend() -> None:
    source = FakeSource({P0: [5]}, committed_at={P0: 2}, low={P0: 5})
    with pytest.raises(Refused, match="above the committed 2"):
        run_loop(source, FakeStage(source), 2)


def test_offsets_of_another_topic_of_the_name_are_refused_with_the_mend() -> None:
    source = FakeSource({P0: [0, 1, 2, 3]}, committed_at={P0: 2}, note="id-0")
    with pytest.raises(Refused, match=r"not the topic that group g .* start over"):
        run_loop(source, FakeStage(source), 2)


def test_offsets_from_before_topics_were_noted_are_believed() -> None:
    source = FakeSource({P0: [0, 1, 2, 3]}, committed_at={P0: 2}, note="")
    stage = FakeStage(source)
    run_loop(source, stage, 2)
    assert stage.seen == [(0, 2), (0, 3)]


def test_a_log_that_ends_below_what_is_committed_is_refused_with_the_mend() -> None:
    source = FakeSource({P0: [0, 1]}, committed_at={P0: 3})
    with pytest.raises(Refused, match=r"rows\[0\]@3, but the log ends at 2: .* start over"):
        run_loop(source, FakeStage(source), 2)


def test_a_partition_that_is_revoked_while_it_waits_is_not_resumed() -> None:
    source = FakeSource({P0: [0], P1: [0]}, away=True)
    stage = FakeStage(source)

    def come_back(_: float) -> None:
        source.away = False
        source.revoke([P1], False)

    run_loop(source, stage, 3, sleep=come_back)
    assert stage.seen == [(0, 0)]


def test_rows_are_decided_once_it_is_noted_that_their_records_were_computed() -> None:
    """What ends the process in between is no record's fault, and what fails there leaves nothing committed.

    The rows themselves are on their way before.
    """
    source = FakeSource({P0: [0, 1]})
    told: list[str] = []

    class Deciding(FakeStage):
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

        def finish(self, rows: Iterable[Rows]) -> None:
            for each in rows:
                told.append(f"sent {each.topic}")  # noqa: PERF401 - likewise
            super().finish([])

    class Noting(NoState):
        def note_computed(self, units: Sequence[Unit]) -> None:
            told.append(f"computed {[unit.partition for unit in units]}")

    stage = Deciding(source)
    state = Noting(stage, cast(Any, source), group="g", topic_id="id-1", start_over="start over")
    config = LoopConfig("process", 2, 0.0, sleep=lambda _: None, on_step=told.append)
    left = iter(range(5))
    Loop(config, [stage], cast(Any, source), state, stage).run(lambda: next(left, None) is None)
    begun = ["gathered", "computed", "computed [0]", "committing", "sent features", "decide"]
    assert told == [*begun, *begun, "decided", "sent decisions", "committed", "visible"]
    assert source.committed_at == {P0: 2}


def test_no_unit_begins_before_every_member_has_joined_for_as_long_as_that_may_take() -> None:
    source = FakeSource({P0: [0]}, has_joined=False)
    stage = FakeStage(source)
    run_loop(source, stage, 5, monotonic=lambda: 100.0)
    assert stage.begun == []
    seconds = iter(range(0, 1_000, 5))
    run_loop(source, stage, 5, monotonic=lambda: next(seconds))
    assert stage.begun == [0]
