"""Search finds what a plain look at every decision finds, in the same order, page by page, whatever the files are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.archive.search_tables import CODEC, DAY_MS, T0_MS, At, DecidedTable, Decision, draw
from weir.archive.columns import FIXED, REQUEST_ID
from weir.archive.erasing import find_holding
from weir.archive.holding import Wanted as Erased
from weir.archive.joining import find_days, join_day, utc_now
from weir.archive.place import Place as Folder
from weir.archive.search import blocks, find
from weir.archive.search.days import DayCounter
from weir.archive.search.find import DecisionSearch
from weir.archive.search.opened import NoTable
from weir.archive.table import no_step
from weir.schemas.currencies import compute_base_minor
from weir.schemas.search import Place, Search, read_cursor, write_cursor
from weir.schemas.streams.payments import payments
from weir.schemas.wanted import Wanted

WANTED = [
    Wanted(),
    Wanted(frozenset({"DECLINE", "REVIEW"})),
    Wanted(ids={"card_id": "card-3"}),
    Wanted(ids={"merchant_id": "merchant-1"}),
    Wanted(frozenset({"APPROVE"}), {"card_id": "card-1", "merchant_id": "merchant-0"}),
    Wanted(rule="rule:a"),
    Wanted(rule="rule:c"),
    Wanted(score_min=0.9),
    Wanted(score_min=0.0),
    Wanted(ids={"card_id": "nobody"}),
]


class Clock:
    """Seconds that pass by as much at each look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> DecidedTable:
    """Three days: one that is joined, one of many commits, one of a few whose append times overlap."""
    made, dice, number = DecidedTable(tmp_path_factory.mktemp("archive")), random.Random(7), 0
    for day, commits, rows in ((0, 3, 40), (1, 14, 6), (2, 4, 15)):
        for commit in range(commits):
            begin = T0_MS + day * DAY_MS + commit * 60_000
            times = [begin + dice.randrange(90_000) // 500 * 500 for _ in range(rows)]
            made.add([(at, draw(dice, number + each)) for each, at in enumerate(times)])
            number += rows
        if day == 0:
            for each in find_days(made.table, utc_now(), open_too=True):
                join_day(made.table, each, no_step)
    return made


def expect(decided: dict[At, Decision], search: Search) -> list[Decision]:
    places = [
        at for at, row in decided.items() if search.first_ms <= at[0] < search.end_ms and is_wanted(search.wanted, row)
    ]
    return [decided[at] for at in sorted(places, reverse=True)]


def is_wanted(wanted: Wanted, row: Decision) -> bool:
    if wanted.outcomes and row["decision"] not in wanted.outcomes:
        return False
    if wanted.score_min is not None and not (row["score"] is not None and row["score"] >= wanted.score_min):
        return False
    if wanted.rule is not None and wanted.rule not in [row["decided_by"], *row["shadow_rules"]]:
        return False
    return all(row[name] == value for name, value in wanted.ids.items())


def read_pages(search: DecisionSearch, asked: Search) -> Iterator[list[Decision]]:
    """Yield every page; the cursor goes through its text, as it does for a client."""
    after: Place | None = None
    while True:
        page = search.find(Search(asked.wanted, asked.first_ms, asked.end_ms, asked.limit, after))
        yield page.decisions
        if page.next is None:
            return
        assert after is None or page.next < after
        after = read_cursor(write_cursor(page.next))


def open_search(decided: DecidedTable, clock: Any = None) -> DecisionSearch:
    return DecisionSearch(decided.root, payments, "decisions", clock or Clock(0))


@pytest.mark.parametrize("limit", [11, 200])
@pytest.mark.parametrize("wanted", WANTED)
def test_pages_are_all_that_is_wanted_newest_first(decided: DecidedTable, wanted: Wanted, limit: int) -> None:
    asked = Search(wanted, limit=limit)
    pages = [*read_pages(open_search(decided), asked)]
    assert [row for page in pages for row in page] == expect(decided.decisions, asked)
    assert all(len(page) == limit for page in pages[:-1])


@pytest.mark.parametrize("wanted", WANTED[:4])
def test_a_time_bounds_what_is_found(decided: DecidedTable, wanted: Wanted) -> None:
    search, middle = open_search(decided), sorted(decided.decisions)[140][0]
    for first_ms, end_ms in ((0, middle), (middle, T0_MS + 9 * DAY_MS), (middle, middle + 1), (T0_MS + DAY_MS, middle)):
        asked = Search(wanted, first_ms, max(end_ms, first_ms + 1), limit=50)
        assert [row for page in read_pages(search, asked) for row in page] == expect(decided.decisions, asked)


@pytest.mark.parametrize("kept", [0, 70, 1_000_000])
@pytest.mark.parametrize("wanted", WANTED[:-1])
def test_a_search_that_takes_long_ends_its_pages_early_and_misses_nothing(
    decided: DecidedTable, wanted: Wanted, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "ROWS_KEPT_MAX", kept)
    monkeypatch.setattr(blocks, "COMMITS", 2)
    asked = Search(wanted, limit=200)
    pages = [*read_pages(open_search(decided, Clock(find.SECONDS)), asked)]
    assert [row for page in pages for row in page] == expect(decided.decisions, asked)
    assert 3 < len(pages) < 60


def test_a_decision_is_found_by_the_id_of_its_request(tmp_path: Path) -> None:
    made, dice = DecidedTable(tmp_path), random.Random(3)
    for number, request_id in enumerate(["order-7", "", "order-8", "order-7"]):
        made.add([(T0_MS + number * 1_000, draw(dice, number, decision="REVIEW"))], request_id)
    search = open_search(made)
    found = search.find(Search(request_id="order-7")).decisions
    assert [each["transaction_id"] for each in found] == ["t3", "t0"]
    assert search.find(Search(Wanted(frozenset({"DECLINE"})), request_id="order-7")).decisions == []
    assert search.find(Search(request_id="order-9")).decisions == []


def test_rows_of_an_archive_without_request_ids_are_found_by_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, fewer = random.Random(3), pa.schema([each for each in FIXED if each.name != REQUEST_ID])
    with monkeypatch.context() as older:
        for module in ("table", "rows"):
            older.setattr(f"weir.archive.{module}.FIXED", fewer)
        made = DecidedTable(tmp_path)
        made.add([(T0_MS, draw(dice, 0))], "order-7")
    search = open_search(made)
    assert search.find(Search(request_id="order-7")).decisions == []
    made.table.add_columns(CODEC.arrow_schema)
    made.add([(T0_MS + 1, draw(dice, 1))], "order-7")  # into the block that is in memory already
    assert [each["transaction_id"] for each in search.find(Search(request_id="order-7")).decisions] == ["t1"]
    assert [each["transaction_id"] for each in search.find(Search()).decisions] == ["t1", "t0"]


def test_decisions_that_come_between_two_pages_move_nothing(tmp_path: Path) -> None:
    made, dice = DecidedTable(tmp_path), random.Random(1)
    made.add([(T0_MS + number, draw(dice, number)) for number in range(20)])
    search, before = open_search(made), dict(made.decisions)
    first = search.find(Search(limit=8))
    made.add([(T0_MS + 500 + number, draw(dice, 100 + number)) for number in range(5)])
    for day in find_days(made.table, utc_now(), open_too=True):
        assert join_day(made.table, day, no_step).is_done
    second = search.find(Search(limit=50, after=first.next))
    assert first.decisions + second.decisions == expect(before, Search())
    assert second.archived_to_ms == T0_MS + 504


def test_what_is_erased_is_in_no_page_though_it_was_in_memory(tmp_path: Path) -> None:
    made, dice = DecidedTable(tmp_path), random.Random(3)
    made.add([(T0_MS + number, draw(dice, number)) for number in range(60)])
    search = open_search(made)
    assert search.find(Search(Wanted(ids={"card_id": "card-2"}))).decisions
    counter = DayCounter(made.root, payments, "decisions")
    (before,) = counter.count(1).days.values()
    erase_card(made, "card-2")
    left = {at: row for at, row in made.decisions.items() if row["card_id"] != "card-2"}
    assert len(left) < 60
    assert search.find(Search(limit=200)).decisions == expect(left, Search())
    assert search.find(Search(Wanted(ids={"card_id": "card-2"}))).decisions == []
    (after,) = counter.count(1).days.values()
    assert sum(each.number for each in before.values()) - sum(each.number for each in after.values()) == 60 - len(left)


def erase_card(made: DecidedTable, card: str) -> None:
    from weir.archive.erasing import _empty_file, delete_left_over  # noqa: PLC0415 - without its seal, which needs a key

    wanted = Erased(card, "card_id", is_key=True)
    found = find_holding(made.table, wanted)
    assert found.paths
    for path, day in found.paths.items():
        _empty_file(found.table, path, day, wanted)
    delete_left_over(found.table)


def test_only_the_newest_blocks_are_kept(decided: DecidedTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS_KEPT_MAX", 90)
    search = open_search(decided)
    for _ in range(2):
        search.find(Search(Wanted(rule="nothing")))
    kept = [block for block, _ in search._blocks._kept.values()]
    assert 0 < sum(block.rows for block in kept) <= 90
    assert max(block.newest_ms for block in kept) == max(decided.decisions)[0]


def test_a_day_is_counted_by_outcome_with_its_money(decided: DecidedTable) -> None:
    counter = DayCounter(decided.root, payments, "decisions")
    found = counter.count(30)
    assert found.has_money
    expected: dict[date, dict[str, list[int]]] = {}
    for at, row in decided.decisions.items():
        day = datetime.fromtimestamp(at[0] / 1_000, UTC).date()
        count = expected.setdefault(day, {}).setdefault(row["decision"], [0, 0])
        count[0] += 1
        count[1] += compute_base_minor(row["amount_minor"], row["currency"])
    assert {
        day: {name: [count.number, count.money] for name, count in counts.items()} for day, counts in found.days.items()
    } == expected
    assert counter.count(30) == found
    assert [*counter.count(2).days] == sorted(expected)[-2:]


def test_an_archive_without_decisions_says_so(tmp_path: Path) -> None:
    for open_it in (
        lambda: DecisionSearch(Folder(str(tmp_path)), payments, "decisions", Clock(0)),
        lambda: DayCounter(Folder(str(tmp_path)), payments, "decisions"),
    ):
        with pytest.raises(NoTable, match="`weir archive` makes it"):
            open_it()
    empty = DecidedTable(tmp_path)
    page = open_search(empty).find(Search())
    assert (page.decisions, page.next, page.archived_to_ms) == ([], None, None)
    assert DayCounter(empty.root, payments, "decisions").count(5).days == {}
