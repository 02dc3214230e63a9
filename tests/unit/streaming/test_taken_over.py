"""What a process that decides notes of partitions that it took over: until when rows are left to a scorer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from weir.infra.kafka.group_position import format_note, read_undecided_until
from weir.infra.redis.unit import Unit
from weir.streaming.state import folded
from weir.streaming.state.catch_up import Recovered
from weir.streaming.state.folded import FoldedState
from weir.streaming.state.view_writer import Write

UNIT = Unit("t", 0)
NEWEST_MS = 700


def _note_after_taking_over(
    monkeypatch: pytest.MonkeyPatch,
    committed: tuple[int | None, str],
    newest_row_ms: Callable[[], int] | None = lambda: NEWEST_MS,
) -> str:
    def catch_up(*_: object) -> Iterator[Recovered]:
        yield Recovered(UNIT, 5, 0)

    monkeypatch.setattr(folded, "catch_up", catch_up)
    source = SimpleNamespace(committed=lambda _: committed)
    store = SimpleNamespace(home_partitions=lambda _: 2)
    context = SimpleNamespace(source=source, store=store, view=None, topic_ids={"t": "id"})
    stage = SimpleNamespace(kind="t", topic="transactions")
    state = FoldedState([stage], cast("Any", context), cast("Any", None), name="t", newest_row_ms=newest_row_ms)
    assert list(state.begin(UNIT)) == [Recovered(UNIT, 5, 0)]
    return state.note(Write(UNIT, 5, 9, [], False))


@pytest.mark.parametrize(
    ("committed", "until_ms"),
    [
        ((None, ""), 0),  # the first there is
        ((5, format_note("id", 2)), NEWEST_MS),  # of one that leaves deciding to a scorer
        ((5, "id"), NEWEST_MS),  # of the release before
        ((5, format_note("id", 2, undecided_until_ms=300)), 300),  # of one like this
        ((5, format_note("id", 2, undecided_until_ms=0)), 0),
    ],
)
def test_rows_of_who_decides_nothing_are_left_to_a_scorer_and_those_of_its_like_are_not(
    monkeypatch: pytest.MonkeyPatch, committed: tuple[int | None, str], until_ms: int
) -> None:
    assert read_undecided_until(_note_after_taking_over(monkeypatch, committed)) == until_ms


def test_who_decides_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    like_itself = (5, format_note("id", 2, undecided_until_ms=300))
    assert _note_after_taking_over(monkeypatch, like_itself, None) == format_note("id", 2)
