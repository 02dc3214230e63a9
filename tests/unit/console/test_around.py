"""What is around a transaction in the console: a drawing, a table, and what is said where nothing is archived."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.unit.console.browser import BASE, EVIL, Browser
from tests.unit.console.world import ConsoleWorld, build_review
from weir.console.graph import ROW, build_graph
from weir.console.normal import build_rows
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments


def link(entity: str, *cards: str, number: int = 0) -> dict[str, Any]:
    keys = [{"id": card, "events": 2, "newest_ms": 1_767_268_800_000} for card in cards]
    return {"entity": entity, "id": f"{entity}-1", "number": number or len(cards), "keys": keys}


def found(*links: dict[str, Any]) -> dict[str, Any]:
    return {"id": "t1", "key": "card-1", "from_ms": 0, "to_ms": 1, "whole": True, "ids": list(links)}


def window(
    name: str, value: float | None, low: float, median: float, high: float, share: float | None
) -> dict[str, Any]:
    return {
        "feature": name, "value": value, "count": 40, "low": low, "median": median, "high": high, "share_below": share,
    }  # fmt: skip


def normal(*windows: dict[str, Any]) -> dict[str, Any]:
    return {"id": "t1", "key": "card-1", "from_ms": 0, "rows": 40, "too_few": 20, "windows": list(windows)}


def test_a_card_that_shares_two_ids_is_drawn_once_with_two_lines() -> None:
    graph = build_graph(found(link("device", "a", "b"), link("ip", "b", "c"), link("merchant")), "card")
    assert graph is not None
    others = {node.id: node.shared for node in graph.nodes if node.kind == "other"}
    assert others == {"b": 2, "a": 1, "c": 1}
    assert [node.id for node in graph.nodes if node.kind == "id"] == ["device-1", "ip-1"]
    assert len(graph.lines) == 2 + 4
    assert graph.text.startswith("3 other cards linked: 2 by device, 2 by ip; 1 by more than one")
    for node in graph.nodes:
        assert node.y >= 0
        assert node.y + node.height <= graph.height
        assert node.x + node.width <= graph.width
    columns = {kind: sorted(node.y for node in graph.nodes if node.kind == kind) for kind in ("id", "other")}
    for ys in columns.values():
        assert all(b - a >= ROW - 1 for a, b in pairwise(ys))
    assert build_graph(found(link("device")), "card") is None


def test_the_drawing_is_named_and_each_box_says_whose_it_is(world: ConsoleWorld, anna: Browser) -> None:
    world.around.known = frozenset({"t1"})
    world.around.links = found(link("device", EVIL, *(f"c{n}" for n in range(11)), number=3_412), link("ip"))
    page = anna.get(f"{BASE}/linked?id=t1").text
    assert "<script>alert" not in page
    assert "\u202e" not in page
    (svg,) = re.findall(r"<svg class=\"graph\".*?</svg>", page, re.DOTALL)
    tree = ElementTree.fromstring(svg)
    assert tree.attrib["role"] == "img"
    assert tree.find("title").attrib["id"] == tree.attrib["aria-labelledby"]  # type: ignore[union-attr]
    titles = [each.findtext("title") for each in tree.findall("g")]
    assert "device device-1" in titles
    assert "card c3" in titles
    assert "3,412 other cards, cut off after the newest 12" in page
    assert "no other card" in page
    assert f"{BASE}/entity?kind=device&amp;id=device-1" in page
    world.around.links["whole"] = False
    assert "only the newest days" in anna.get(f"{BASE}/linked?id=t1").text


def test_a_window_is_shown_against_its_normal(world: ConsoleWorld, anna: Browser) -> None:
    world.around.known = frozenset({"t1"})
    world.around.normal = normal(
        window("card_amount_sum_1h", 182_400.0, 900.0, 2_599.0, 9_900.0, 1.0),
        window("card_event_count_1h", 1.0, 1.0, 1.0, 3.0, 0.5),
        window("card_event_gap_30d", None, 1.0, 1.0, 3.0, None),
        window("card_amount_max_1d", 5.0, 1.0, 1.0, 3.0, None) | {"count": 7},
    )
    rows = build_rows(world.around.normal, payments)
    assert [row.is_outside for row in rows] == [True, False, False, False]
    assert [row.where for row in rows] == ["above all of 40", "above 50 % of 40", "missing now", "too few: 7 of 20"]
    assert rows[0].bar is not None
    assert rows[0].bar.low < rows[0].bar.high < rows[0].bar.value <= rows[0].bar.width
    assert [row.bar is None for row in rows] == [False, False, True, True]
    page = anna.get(f"{BASE}/normal?id=t1").text
    assert page.count(">unusual<") == 1
    assert "1,824.00 USD" in page
    assert "Of 40 earlier transactions of this card" in page


def test_a_transaction_leads_to_both(world: ConsoleWorld, anna: Browser) -> None:
    world.add([build_review("t1", "card-1", now_ms=world.now_ms)])
    page = anna.get(f"{BASE}/transaction?id=t1").text
    for part in ("linked", "normal"):
        assert f'hx-get="{BASE}/{part}?id=t1" hx-target="#{part}" hx-select="#{part}"' in page


@pytest.mark.parametrize("part", ["linked", "normal"])
def test_where_nothing_is_archived_it_says_so(world: ConsoleWorld, anna: Browser, part: str) -> None:
    assert "was erased" in anna.get(f"{BASE}/{part}?id=t1").text
    world.around.known = None
    assert "The operator starts the archive with: weir archive" in anna.get(f"{BASE}/{part}?id=t1").text
    world.around.error = Transient("around: no answer within 8 s; ask again")
    answer = anna.get(f"{BASE}/{part}?id=t1")
    assert (answer.status_code, "no answer within 8 s" in answer.text) == (503, True)
    assert anna.get(f"{BASE}/{part}").status_code == 404
