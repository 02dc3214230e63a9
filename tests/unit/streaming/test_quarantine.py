"""When a unit is a suspect: two starts did not get past one offset; until a whole batch was examined and sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from weir.infra.redis.unit import Unit
from weir.schemas.contracts import schema_json
from weir.schemas.placeholders import BUILT_IN
from weir.streaming import quarantine
from weir.streaming.isolation import Examined
from weir.streaming.kernels import shipped_kernel
from weir.streaming.label_stage import LabelStage, LabelStageConfig
from weir.streaming.quarantine import Quarantine

UNIT, OTHER = Unit("l", 0), Unit("l", 1)
FOLDER = LabelStage(
    LabelStageConfig("labels", "labels.dlq", 2, "g", "__dlq.", BUILT_IN, shipped_kernel()),
    lambda _: pytest.fail("no schema is asked for here"),
)


class _Record:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return "labels"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return b"%d" % self._offset

    def headers(self) -> None:
        return None


class _Starts:
    """Counts as Redis does, for as long as it lives."""

    def __init__(self) -> None:
        self.counts: dict[tuple[Unit, int], int] = {}
        self.cleared: list[Unit] = []

    def note_start(self, unit: Unit, offset: int) -> int:
        self.counts[unit, offset] = self.counts.get((unit, offset), 0) + 1
        return self.counts[unit, offset]

    def clear_starts(self, unit: Unit) -> None:
        self.cleared.append(unit)
        self.counts = {at: count for at, count in self.counts.items() if at[0] != unit}


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """What was examined; records 3 and 4 end their decoder, and there is time for five."""
    calls: list[list[bytes]] = []

    def examine(reader: str, values: Sequence[bytes], schema_of: Any, *, deadline: float) -> Examined:
        del schema_of, deadline
        assert reader == schema_json("labels")
        calls.append(list(values))
        end = min(len(values), 5)
        return Examined(end, {place: "exit code -11" for place in range(end) if values[place] in {b"3", b"4"}})

    monkeypatch.setattr(quarantine, "examine", examine)
    return calls


def _sort(one: Quarantine, offsets: Sequence[int], unit: Unit = UNIT) -> tuple[list[int], list[int]]:
    found = one.sort(FOLDER, unit, offsets[0], [_Record(offset) for offset in offsets], one.begin())
    assert found.size == len(found.safe) + len(found.dead)
    return [r.offset() for r in found.safe], [d.message.offset() for d in found.dead]


def test_the_third_process_at_one_offset_examines_and_the_first_two_do_not(examined: list[list[bytes]]) -> None:
    starts = _Starts()
    for _ in range(2):
        assert _sort(Quarantine(starts), [2, 3]) == ([2, 3], [])
    assert examined == []
    assert _sort(Quarantine(starts), [2, 3]) == ([2], [3])


def test_a_process_counts_itself_once_per_unit_however_many_batches_it_decides(examined: list[list[bytes]]) -> None:
    starts = _Starts()
    one = Quarantine(starts)
    for offsets in ([0], [1], [1], [2]):  # the third batch is the second one again, after an abort
        _sort(one, offsets)
    _sort(one, [0], OTHER)
    assert starts.counts == {(UNIT, 0): 1, (OTHER, 0): 1}
    assert examined == []


def test_progress_between_starts_is_no_suspicion(examined: list[list[bytes]]) -> None:
    starts = _Starts()
    for offset in range(6):
        _sort(Quarantine(starts), [offset])
    assert examined == []


def test_a_process_that_dies_after_it_computed_its_records_is_no_suspicion(examined: list[list[bytes]]) -> None:
    starts = _Starts()
    for _ in range(6):
        one = Quarantine(starts)
        _sort(one, [0])
        one.clear(UNIT)
        one.clear(UNIT)  # its next batch
    assert examined == []
    assert starts.cleared == [UNIT] * 6
    one = Quarantine(starts)
    _sort(one, [0], OTHER)
    one.clear(UNIT)  # not begun here: another process's
    assert starts.cleared == [UNIT] * 6


def test_a_unit_that_comes_back_is_another_start(examined: list[list[bytes]]) -> None:
    one = Quarantine(_Starts())
    for _ in range(3):
        one.let_go(UNIT)
        _sort(one, [0])
    assert examined == [[b"0"]]


def test_a_suspect_is_examined_until_a_whole_batch_was_sound(examined: list[list[bytes]]) -> None:
    starts = _Starts()
    starts.counts[UNIT, 1] = 2
    one = Quarantine(starts)
    assert _sort(one, [1, 2, 3]) == ([1, 2], [3])
    assert _sort(one, [4]) == ([], [4])
    assert _sort(one, range(10, 17)) == ([10, 11, 12, 13, 14], [])  # cut: 15 and 16 were not examined
    assert _sort(one, [15, 16]) == ([15, 16], [])
    assert len(examined) == 4
    assert _sort(one, [17]) == ([17], [])
    assert len(examined) == 4


def test_the_dead_letter_names_the_reason_and_the_place_and_no_content(examined: list[list[bytes]]) -> None:
    starts = _Starts()
    starts.counts[UNIT, 3] = 2
    one = Quarantine(starts)
    (dead,) = one.sort(FOLDER, UNIT, 3, [_Record(3)], one.begin()).dead
    assert (dead.stage, dead.error.reason, dead.coordinates_only) == ("decode", "decoder_died", False)
    assert "labels[0]@3" in str(dead.error)
    assert "exit code -11" in str(dead.error)
    assert len(examined) == 1


@pytest.fixture
def unstartable(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No process can be started; how many records each examination was to look at."""
    calls: list[int] = []

    def examine(reader: str, values: Sequence[bytes], schema_of: Any, *, deadline: float) -> Examined:
        del reader, schema_of, deadline
        calls.append(len(values))
        return Examined(obstacle="no fork server")

    monkeypatch.setattr(quarantine, "examine", examine)
    return calls


def test_a_record_that_no_process_can_examine_is_set_aside_and_says_why(unstartable: list[int]) -> None:
    starts = _Starts()
    starts.counts[UNIT, 3] = 2
    one = Quarantine(starts)
    found = one.sort(FOLDER, UNIT, 3, [_Record(3), _Record(4)], one.begin())
    assert (found.safe, found.size) == ([], 1)
    assert (found.dead[0].error.reason, found.dead[0].coordinates_only) == ("not_examined", False)
    assert "no fork server" in str(found.dead[0].error)
    assert "labels[0]@3" in str(found.dead[0].error)
    assert unstartable == [2]


def test_the_rest_of_its_batch_is_decided_one_record_at_a_time_and_what_follows_as_ever(unstartable: list[int]) -> None:
    starts = _Starts()
    starts.counts[UNIT, 1] = 2
    one = Quarantine(starts)
    assert _sort(one, [1, 2, 3]) == ([], [1])
    assert _sort(one, [2, 3, 4, 5]) == ([2], [])
    assert _sort(one, [3, 4, 5]) == ([3], [])
    assert _sort(one, [4, 5]) == ([4, 5], [])
    assert unstartable == [3]


def test_without_a_process_to_examine_them_every_killer_is_passed_and_few_of_the_others_are_lost(
    unstartable: list[int],
) -> None:
    starts, killers, decided, dead, offset = _Starts(), {7, 8, 30}, [], [], 0
    for _ in range(40):
        one = Quarantine(starts)
        while offset < 50:
            safe, aside = _sort(one, range(offset, min(offset + 20, 50)))
            if killers & set(safe):
                break  # the process ends; nothing of this batch is committed
            decided += safe
            dead += aside
            offset += len(safe) + len(aside)
    assert unstartable
    assert sorted(decided + dead) == list(range(50))
    assert killers <= set(dead)
    assert len(dead) <= 2 * len(killers)
