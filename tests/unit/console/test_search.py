"""Search in the console: filters in the address, a table with links, pages, CSV, and what is said with no archive."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from typing import Any

import orjson
import pytest

from tests.unit.console.browser import BASE, EVIL, Browser
from tests.unit.console.world import BURST, ConsoleWorld
from tests.unit.inference.examples import DECISION
from tests.unit.inference.test_api import CARD_NUMBER
from weir.console.pages import search
from weir.schemas.errors import Refused, Transient
from weir.schemas.search import Place

NOON_MS = 1_767_268_800_000


@pytest.fixture
def world(world: ConsoleWorld) -> ConsoleWorld:
    world.api.search.decisions = [build(number) for number in range(120)]
    return world


def build(number: int, **changes: Any) -> tuple[Place, dict[str, Any]]:
    at_ms = NOON_MS + 1_000 * number
    decision = {"transaction_id": f"t{number}", "card_id": f"c{number % 3}", "decision_time_ms": at_ms}
    return Place(at_ms, 0, number), DECISION | decision | {"reasons": [BURST]} | changes


def find_links(page: str, words: str) -> list[str]:
    return [unescape(part.rpartition('href="')[2].partition('"')[0]) for part in page.split(f">{words}</a>")[:-1]]


def test_the_page_asks_nothing_until_it_is_asked(world: ConsoleWorld, anna: Browser) -> None:
    page = anna.get(f"{BASE}/search").text
    assert 'name="merchant"' in page
    assert 'name="device"' not in page  # decisions do not carry it
    assert world.api.search.asked == []


def test_what_is_found_is_linked_and_pages_follow_one_another(anna: Browser) -> None:
    page, found = anna.get(f"{BASE}/search?card=c1&decision=REVIEW&decision=DECLINE&rule=").text, 0
    assert page.count("<tr>") - 1 == 40
    assert find_links(page, "Next page") == []
    assert f"{BASE}/entity?kind=card&amp;id=c1" in page
    assert f"{BASE}/transaction?id=t118" in page
    page = anna.get(f"{BASE}/search?decision=").text
    while True:
        found += page.count("<tr>") - 1
        if not (links := find_links(page, "Next page")):
            break
        page = anna.get(links[0]).text
    assert found == 120


def test_a_decision_is_found_by_the_id_of_its_request(world: ConsoleWorld, anna: Browser) -> None:
    world.api.search.request_ids = {Place(NOON_MS + 7_000, 0, 7): "order-7"}
    page = anna.get(f"{BASE}/search?request_id=order-7").text
    assert page.count("<tr>") - 1 == 1
    assert f"{BASE}/transaction?id=t7" in page
    assert 'name="request_id" value="order-7"' in page


def test_a_time_is_utc_and_its_end_is_not_in_it(world: ConsoleWorld, anna: Browser) -> None:
    page = anna.get(f"{BASE}/search?from=2026-01-01T12:00:10&to=2026-01-01T12:00").text
    assert "expected a time after" in unescape(page)
    page = anna.get(f"{BASE}/search?from=2026-01-01T12:01&to=2026-01-01T12:01:05").text
    assert page.count("<tr>") - 1 == 5
    assert 'value="2026-01-01T12:01:05"' in page  # what was asked stays in the form
    refused = anna.get(f"{BASE}/search?from=noon")
    assert refused.status_code == 422
    assert "expected a time such as 2026-01-31T09:30" in refused.text
    assert len(world.api.search.asked) == 1


@pytest.mark.parametrize(
    "query", ["score_min=2", "score_min=high", "request_id=a+b", f"card={CARD_NUMBER}", "after=nonsense"]
)
def test_what_the_api_refuses_is_said_and_what_was_typed_stays(anna: Browser, query: str) -> None:
    answer = anna.get(f"{BASE}/search?{query}&merchant=shop-7")
    assert answer.status_code == 422
    assert "expected" in answer.text
    assert 'value="shop-7"' in answer.text


def test_without_an_archive_the_page_says_how_to_start_one(world: ConsoleWorld, anna: Browser) -> None:
    world.api.search.decisions = None
    answer = anna.get(f"{BASE}/search?card=c1")
    assert answer.status_code == 404
    assert "The operator starts the archive with: weir archive" in answer.text
    assert anna.get(f"{BASE}/search.csv?card=c1").status_code == 404


@pytest.mark.parametrize(
    "error", [Refused("a newer version wrote it"), Transient("search: 8 are waiting", cause="busy")]
)
def test_an_archive_that_does_not_answer_is_said(world: ConsoleWorld, anna: Browser, error: Exception) -> None:
    world.api.search.error = error  # type: ignore[assignment]
    answer = anna.get(f"{BASE}/search?card=c1")
    assert answer.status_code == 503
    assert str(error) in answer.text


def test_an_export_has_all_that_is_found_as_text_that_nothing_runs_of(world: ConsoleWorld, anna: Browser) -> None:
    acting = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", EVIL, 'a"b,c']
    world.api.search.decisions = [
        build(number, transaction_id=text, amount_minor=-5) for number, text in enumerate(acting)
    ]
    answer = anna.get(f"{BASE}/search.csv?card=")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions.csv"'
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    ids = [row["transaction_id"] for row in reversed(rows)]
    assert ids[:4] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)"]
    assert ids[4:6] == ["\\t=1", "\\r=1"]
    assert ids[7] == 'a"b,c'
    assert not [cell for row in rows for cell in row.values() if cell != "-5" and cell[:1] in set("=+-@\t\r\n")]
    assert {row["amount_minor"] for row in rows} == {"-5"}
    assert rows[0]["reasons"] == "CARD_BURST"


def test_an_export_is_bounded_and_its_name_says_so(
    world: ConsoleWorld, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "EXPORT_ROWS", 90)
    monkeypatch.setattr(search, "_API_ROWS", 40)
    answer = anna.get(f"{BASE}/search.csv?card=")
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions-first-90.csv"'
    assert len([*csv.reader(io.StringIO(answer.text))]) == 91
    assert len(world.api.search.asked) == 3


def test_a_cards_page_shows_its_newest_decisions(world: ConsoleWorld, anna: Browser) -> None:
    page = anna.get(f"{BASE}/entity?kind=card&id=c1").text
    assert "Newest decisions" in page
    assert f"{BASE}/transaction?id=t118" in page
    assert page.count(f"{BASE}/transaction?id=") == 20
    world.api.search.error = Transient("search: no answer")
    answer = anna.get(f"{BASE}/entity?kind=card&id=c1")
    assert answer.status_code == 200
    assert "The archive does not answer just now" in answer.text
    assert "archive" not in anna.get(f"{BASE}/entity?kind=device&id=d1").text.lower()


def test_markup_in_what_is_found_does_nothing(world: ConsoleWorld, anna: Browser) -> None:
    world.api.search.decisions = [build(1, transaction_id=EVIL, merchant_id=EVIL, decided_by=EVIL)]
    page = anna.get(f"{BASE}/search?score_min=0").text
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_a_decision_leads_to_what_its_card_did_until_then(world: ConsoleWorld, anna: Browser) -> None:
    at_ms = world.now_ms
    past = [
        DECISION | {"transaction_id": f"p{n}", "card_id": "card-p", "decision_time_ms": at_ms + n} for n in range(3)
    ]
    later = DECISION | {"transaction_id": "later", "card_id": "card-p"}
    other = DECISION | {"transaction_id": "other", "card_id": "card-o"}
    placed = [*((at_ms + n, each) for n, each in enumerate(past)), (at_ms + 90_000, later), (at_ms, other)]
    world.api.search.decisions = [(Place(at, 0, n), each) for n, (at, each) in enumerate(placed)]
    world.api.decisions.stored["p2"] = orjson.dumps(past[2])
    page = anna.get("/streams/transactions/transaction?id=p2").text
    path = unescape(re.search(r'href="(/streams/transactions/before[^"]+)"', page)[1])  # type: ignore[index]
    shown = anna.get(path).text
    assert re.findall(r"transaction\?id=(p\d|later|other)", shown) == ["p2", "p2", "p1", "p0"]
    assert anna.get("/streams/transactions/before?id=p2").status_code == 404
    assert anna.get("/streams/transactions/before?id=p2&key=c&at=soon").status_code == 404
    world.api.search.decisions = None
    assert "No decision is archived yet" in anna.get(path).text
