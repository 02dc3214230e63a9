"""The cells of the growth run, and the cards of its wide worlds."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import numpy as np

from tests.bench.growth import CELLS, Cell, Found, as_text
from tests.bench.wide import WideWorld, build_world

NOW_MS = 1_790_000_000_000


def test_every_cell_is_one_change_from_the_same_middle() -> None:
    middle = asdict(Cell(""))
    for cells in CELLS.values():
        changed = [
            {key for key, value in asdict(cell).items() if key != "group" and value != middle[key]} for cell in cells
        ]
        assert set() in changed
        assert len(set().union(*changed)) == 1


def test_no_two_cells_share_a_name() -> None:
    names = [cell.name for cells in CELLS.values() for cell in cells]
    assert len(set(names)) == len(names)


def test_a_wide_world_has_each_card_once_and_no_id_twice() -> None:
    world = WideWorld(build_world(60).population, copies=3)
    cards: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    for payments in world.draw_each_once(NOW_MS):
        cards.update(payments["card_id"].to_pylist())
        ids.update(payments["transaction_id"].to_pylist())
    assert len(cards) == world.cards == 180
    assert set(cards.values()) == set(ids.values()) == {1}


def test_a_backlog_names_the_cards_that_were_filled_in_before() -> None:
    world = WideWorld(build_world(60).population, copies=3)
    known = {card for payments in world.draw_each_once(NOW_MS) for card in payments["card_id"].to_pylist()}
    drawn = world.draw(NOW_MS + np.arange(2_000), "again")
    met = set(drawn["card_id"].to_pylist())
    assert met <= known
    assert len(met) > 170


def test_the_table_has_a_line_a_cell_and_says_what_failed() -> None:
    found = [Found(Cell("entities", cards=1_000_000), 41_234.4, 20.4, 80.6, 800.0)]
    lines = as_text(found, ["g-x: too slow"]).splitlines()
    assert lines[2] == "| entities | 1,000,000 | 4 | 8,000 | 1 | 41,234 | 20 | 81 | 800 | 800 |"
    assert "Failed: g-x: too slow" in lines
