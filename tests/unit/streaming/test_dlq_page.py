"""Pages of dead letters: every letter on one page, once, the newest first, at a bounded cost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streaming.dead_letter_samples import letter
from tests.unit.streaming.letter_log import TOPIC, MemoryLog
from weir.streaming.dlq import page as page_module
from weir.streaming.dlq.letter import Coordinate, DeadLetter
from weir.streaming.dlq.log import Selection
from weir.streaming.dlq.page import read_cursor, read_page


def build_letters(places: list[tuple[int, int]], times: list[int]) -> list[DeadLetter]:
    return [
        letter(at=Coordinate(TOPIC, partition, offset), appended_ms=at_ms, value=None)
        for (partition, offset), at_ms in zip(places, times, strict=True)
    ]


def read_all(log: MemoryLog, selection: Selection, limit: int, wanted: set[int]) -> list[list[DeadLetter]]:
    pages, cursor = [], ""
    while True:
        after = read_cursor(cursor) if cursor else None
        found = read_page(log, selection, lambda each: each.at.offset in wanted, limit=limit, after=after)
        pages.append(found.letters)
        cursor = found.cursor
        if not cursor:
            return pages


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), unique=True, max_size=60),
    st.integers(1, 7),
    st.sets(st.integers(0, 400)),
    st.integers(0, 9),
)
def test_each_letter_is_on_one_page_and_pages_are_newest_first(
    places: list[tuple[int, int]], limit: int, unwanted: set[int], seed: int
) -> None:
    wanted = set(range(401)) - unwanted
    step = random.Random(seed).randint(1, 3)
    letters = build_letters(places, [1_000 + step * offset for _, offset in places])
    pages = read_all(MemoryLog(letters), Selection(), limit, wanted)
    shown = [each.at for page in pages for each in page]
    newest_first = sorted(letters, key=lambda each: (each.appended_ms, each.at), reverse=True)
    assert shown == [each.at for each in newest_first if each.at.offset in wanted]
    assert all(len(page) == limit for page in pages[:-2])


def test_a_page_looks_at_a_bounded_number_and_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "LOOKED_MAX", 20)
    monkeypatch.setattr(page_module, "_PIECE", 10)
    log = MemoryLog(build_letters([(0, offset) for offset in range(100)], list(range(100))))
    found = read_page(log, Selection(), lambda each: each.at.offset == 3, limit=5, after=None)
    assert (found.letters, log.looked, found.cursor) == ([], 20, "0-80")
    assert [each.at.offset for page in read_all(log, Selection(), 5, {3}) for each in page] == [3]


def test_a_newest_page_reads_the_newest_alone() -> None:
    log = MemoryLog(build_letters([(0, offset) for offset in range(3_000)], list(range(3_000))))
    found = read_page(log, Selection(), lambda _: True, limit=50, after=None)
    assert [each.at.offset for each in found.letters] == list(range(2_999, 2_949, -1))
    assert log.looked == 500


@pytest.mark.parametrize("text", ["", "0", "0-", "-1", "0-1_", "0-1_x-2", "0-1\n", "0-1_" * 3, "0-9999999999999999999"])
def test_another_text_is_no_cursor(text: str) -> None:
    assert read_cursor(text) is None
