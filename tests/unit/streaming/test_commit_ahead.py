"""What the loop makes of the next batch while the brokers commit one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Event
from typing import Any, cast

import pytest

from tests.unit.streaming.loops import P0, P1, FakeSource, FakeStage, run_loop
from weir.infra.kafka.sink import Offsets, Rows
from weir.infra.kafka.source import Gathered
from weir.schemas.errors import Transient, WeirError
from weir.streaming.loop import Loop, LoopConfig
from weir.streaming.stage import Further, Outcome, do_nothing
from weir.streaming.state.view_writer import Write
from weir.streaming.unit_state import NoState

SECONDS_MAX = 20.0


class _Slow(FakeStage):
    """Ends the commit of its second batch once the third was computed; the script is of commits."""

    def __init__(self, source: FakeSource, outcomes: list[Exception | None] | None = None) -> None:
        super().__init__(source)
        self.outcomes = outcomes or []
        self.told: list[str] = []
        self.sends = 0
        self.next = Event()

    def process(self, records: dict[int, list[Any]]) -> Outcome:
        self.told.append(f"computed {[record.offset() for part in records.values() for record in part]}")
        if self.sends > 1:
            self.next.set()
        return super().process(records)

    def send(self, rows: object, records: object, offsets: Offsets) -> None:
        self.sends += 1
        self.told.append(f"sent to {max(offsets.next_offsets.values())}")
        super().send(rows, records, offsets)

    def finish(self, rows: Iterable[Rows]) -> None:
        end = max(self.sent.next_offsets.values())
        if self.sends == 2:
            assert self.next.wait(SECONDS_MAX)
        error = self.outcomes.pop(0) if self.outcomes else None
        if error is not None:
            self.told.append(f"failed at {end}")
            raise error
        self.told.append(f"committed to {end}")
        super().finish(rows)


def test_a_batch_is_computed_while_the_one_before_is_committed_and_sent_only_after_that() -> None:
    source = FakeSource({P0: [0, 1, 2, 3, 4, 5]})
    stage = _Slow(source)
    run_loop(source, stage, 5)
    assert stage.told[3:] == [
        "computed [2, 3]", "sent to 4", "computed [4, 5]", "committed to 4", "sent to 6", "committed to 6",
    ]  # fmt: skip


def test_the_first_batch_of_a_unit_is_committed_before_the_second_is_computed() -> None:
    """Else a record that ends its reader would end each start at once, before the batch below it is committed."""
    computed = Event()

    class SlowAtFirst(_Slow):
        def process(self, records: dict[int, list[Any]]) -> Outcome:
            if self.sends:
                computed.set()
            return super().process(records)

        def finish(self, rows: Iterable[Rows]) -> None:
            if self.sends == 1:
                assert not computed.wait(0.3)
            super().finish(rows)

    source = FakeSource({P0: [0, 1, 2, 3]})
    stage = SlowAtFirst(source)
    stage.next.set()
    run_loop(source, stage, 3)
    assert stage.told[:4] == ["computed [0, 1]", "sent to 2", "committed to 2", "computed [2, 3]"]


def test_what_was_computed_on_a_batch_whose_commit_fails_is_void_and_is_computed_again() -> None:
    source = FakeSource({P0: [0, 1, 2, 3, 4, 5]})
    stage = _Slow(source, [None, Transient("aborted")])
    run_loop(source, stage, 8)
    assert stage.told[3:7] == ["computed [2, 3]", "sent to 4", "computed [4, 5]", "failed at 4"]
    assert stage.told[7:9] == ["computed [2, 3]", "sent to 4"]
    assert source.calls == ["resume 0@0", "forget 0", "resume 0@2"]
    assert source.committed_at == {P0: 6}


def test_a_batch_without_records_of_the_unit_whose_commit_fails_is_void_too() -> None:
    """It may have read what the other changed."""
    source = FakeSource({P0: [0], P1: [0]})
    stage = _Slow(source, [None, None, Transient("aborted")])
    stage.next.set()

    def come(step: str) -> None:
        # once both have committed: records of one, and while these are committed, of the other
        ends = {partition: log[-1] + 1 for partition, log in source.logs.items()}
        if step == "committed" and source.committed_at == ends == {P0: 1, P1: 1}:
            source.logs[P0] = [0, 1, 2]
        elif step == "committing" and ends == {P0: 3, P1: 1}:
            source.logs[P1] = [0, 1, 2]

    run_loop(source, stage, 16, on_step=come)
    assert sorted(source.calls[2:]) == ["forget 0", "forget 1", "resume 0@1", "resume 1@1"]
    assert source.committed_at == {P0: 3, P1: 3}


def test_a_batch_is_decided_while_the_next_one_is_computed_and_what_decides_is_replaced_at_no_such_time() -> None:
    deciding, computed, told = Event(), Event(), list[str]()

    class Deciding(FakeStage):
        """Has its second batch decided once the third is computed."""

        def process(self, records: dict[int, list[Any]]) -> Outcome:
            [part] = records.values()
            first = part[0].offset()
            if first == 4:
                assert deciding.wait(SECONDS_MAX)
                told.append("computed 4")
                computed.set()

            def decide() -> Further:
                if first == 2:
                    told.append("deciding 2")
                    deciding.set()
                    assert computed.wait(SECONDS_MAX)
                told.append(f"decided {first}")
                return Further(Rows("decisions", [None], [b"%d" % first]), do_nothing)

            outcome = super().process(records)
            outcome.then = decide
            return outcome

        def finish(self, rows: Iterable[Rows]) -> None:
            made = list(rows)
            told.extend(f"published {value.decode()}" for each in made for value in each.values)
            super().finish(made)

    stage = Deciding(FakeSource({P0: [0, 1, 2, 3, 4, 5]}))
    run_loop(stage.source, stage, 5, between=lambda: told.append("replaced"))
    of_second = told[told.index("published 0") + 1 : told.index("decided 4")]
    assert [each for each in of_second if each != "replaced"] == [
        "deciding 2", "computed 4", "decided 2", "published 2",
    ]  # fmt: skip
    within = of_second[of_second.index("deciding 2") : of_second.index("published 2")]
    assert "replaced" not in within
    assert "replaced" in of_second[of_second.index("published 2") :]  # else a stream at work would never see another


def test_commits_that_always_fail_end_the_process_though_units_begin_again_meanwhile() -> None:
    source = FakeSource({P0: [0, 1]})
    stage = _Slow(source, [Transient("aborted")] * 1_000)
    stage.next.set()
    slept: list[float] = []
    with pytest.raises(WeirError, match="gave up"):
        run_loop(source, stage, 1_000, sleep=slept.append, monotonic=lambda: 5.0 * len(slept))
    assert slept[-1] > slept[0]


def test_the_next_batch_is_computed_on_what_the_one_under_way_changed() -> None:
    source = FakeSource({P0: [0, 1, 2, 3, 4, 5]})
    stage = _Slow(source)

    class Telling(NoState):
        def pin(self, writes: Sequence[Write]) -> None:
            stage.told.append(f"pinned to {writes[0].end}")

        def apply(self, writes: Sequence[Write]) -> None:
            stage.told.append(f"applied to {writes[0].end}")

    state = Telling(stage, cast(Any, source), group="g", topic_id="id-1", start_over="start over")
    left = iter(range(5))
    config = LoopConfig("process", 2, 0.0)
    Loop(config, [stage], cast(Any, source), state, stage).run(lambda: next(left, None) is None)
    told = stage.told
    assert told.index("sent to 4") < told.index("pinned to 4") < told.index("computed [4, 5]")
    assert told.index("committed to 4") < told.index("applied to 4")


def test_a_partition_is_let_go_of_when_no_commit_is_under_way() -> None:
    source = FakeSource({P0: [0, 1, 2, 3]})
    stage = _Slow(source)
    gather = source.gather

    def gather_after_rebalance(*given: Any, **named: Any) -> Gathered:
        if "sent to 4" in stage.told and P0 in source.at:
            stage.next.set()
            source.revoke([P0], False)
            stage.told.append("let go")
            del source.at[P0]
        return gather(*given, **named)

    source.gather = gather_after_rebalance  # type: ignore[method-assign]
    run_loop(source, stage, 6)
    assert stage.told[3:] == ["computed [2, 3]", "sent to 4", "committed to 4", "let go"]


def test_the_commit_under_way_is_finished_when_the_process_is_told_to_stop() -> None:
    source = FakeSource({P0: [0, 1]})
    stage = _Slow(source)
    stage.next.set()
    run_loop(source, stage, 2)
    assert source.committed_at == {P0: 2}
