"""Every table of every page can be had as CSV, and nothing of such a file is run."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from importlib import resources

import orjson
import pytest

from tests.unit.console.browser import BASE, Browser, token_in
from tests.unit.console.test_models import GATES, folder_of
from tests.unit.console.test_uploads import send
from tests.unit.console.world import ConsoleWorld, build_review
from tests.unit.inference.twins import build_measured
from weir.console.pages import site
from weir.console.tables import read_table
from weir.inference.api.examples import build_evidence
from weir.inference.api.quality.route import SHOWN
from weir.inference.model_card import QUALITY_FILE
from weir.schemas.search import Place
from weir.schemas.streams.payments import payments
from weir.training.gates.card import write_gates

ACTING = '=HYPERLINK("http://x")'
NO_ROWS = ("pairs", "live")
"""Classes of tables that are no lists: what is known of one thing, and rows that come by themselves."""
OF_A_FORM = {"checked", "again"}
"""Tables that are shown once, as the answer to a form: there is no address to have them from."""
OWN_FILE = {"search.html", "audit.html", "lists.html", "quality.html", "thresholds.html"}
"""Templates whose table has a file of its own, with more rows or figures than the page shows."""
PAGES = [
    "queue", "transaction?id=t1", "evidence?id=t1", "before?id=t1&key=card-1&at=9999999999999", "linked?id=t1",
    "normal?id=t1", "entity?kind=card&id=card-1", "search?score_min=0", "letters", "letters/3/0", "rules", "lists",
    "models", "models/model?version=1", "models/thresholds?version=1", "quality", "uploads", "features", "keys",
    "audit",
]  # fmt: skip


@pytest.fixture
def filled(world: ConsoleWorld, lead: Browser) -> ConsoleWorld:
    """A console whose every page has a row."""
    reviews = [build_review(f"t{n}", "card-1", now_ms=world.now_ms, merchant_id=ACTING) for n in range(3)]
    (case_id,) = world.add(reviews)
    world.know(build_review(ACTING, "card-2", now_ms=world.now_ms))
    world.desk.link(case_id, ACTING, "ann", "the same device")
    world.api.search.decisions = [(Place(n, 0, n), dict(each.decision)) for n, each in enumerate(reviews)]
    world.evidence["t1"] = build_evidence(payments) | {"features": {"vector": {"card_amount_sum_1h": 2_599.0}}}
    world.around.known = frozenset({"t1"})
    world.around.links["ids"][0]["keys"][0]["id"] = ACTING
    world.add_letter(key=ACTING.encode())
    world.choices.choose("champion", "1")
    world.curves.measured = build_measured()
    write_gates(folder_of(world), GATES, "0", at_seconds=0)
    (world.api.served.models_dir / QUALITY_FILE).write_bytes(orjson.dumps(SHOWN))
    at = f"{BASE}/lists"
    assert lead.send(f"{at}/add", at, side="block", entity="card", why="seen", entries="c1").status_code == 303
    cookie = "; ".join(f"{name}={value}" for name, value in lead.cookies.items())
    token = token_in(lead.get(f"{BASE}/uploads"))
    assert send(lead, {"cookie": cookie, "x-token": token}).status_code == 204
    return world


def tables_of(page: str) -> list[dict[str, str]]:
    """Return the attributes of each table."""
    return [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<table([^>]*)>", page)]


def files_of(page: str) -> list[str]:
    """Return where each link to a file leads."""
    return [unescape(each) for each in re.findall(r'<a href="([^"]*(?:\.csv|[?;]csv=)[^"]*)"', page)]


def test_every_table_of_every_page_leads_to_its_file(filled: ConsoleWorld, lead: Browser) -> None:
    assert filled.around.known
    seen = set()
    for path in [*PAGES, *(f"cases/{case_id}" for case_id in filled.list_undecided())]:
        answer = lead.get(f"{BASE}/{path}")
        assert answer.status_code == 200, path
        files = files_of(answer.text)
        for table in tables_of(answer.text):
            if set(table.get("class", "").split()) & set(NO_ROWS):
                continue
            name = table.get("data-csv", "")
            mine = [each for each in files if f"csv={name}" in each.partition("?")[2].split("&") or ".csv" in each]
            assert mine, (path, table)
            found = lead.get(mine[0])
            assert found.headers["content-type"] == "text/csv; charset=utf-8", mine[0]
            rows = list(csv.reader(io.StringIO(found.text)))
            assert len(rows) > 1, mine[0]
            assert {len(row) for row in rows[1:]} == {len(rows[0])}, mine[0]
            assert not [cell for row in rows for cell in row if cell[:1] in set("=+-@\t\r\n") and not _is_number(cell)]
            seen.add(name)
    declared = {name for page in templates().values() for name in re.findall(r'data-csv="([^"]+)"', page)}
    assert declared <= seen, "PAGES of this file have no page with the others"


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell))


def templates() -> dict[str, str]:
    folder = resources.files("weir.console").joinpath("templates")
    return {each.name: each.read_text() for each in folder.iterdir() if each.name.endswith(".html")}


def test_no_template_has_a_table_without_a_name_for_its_file() -> None:
    for name, page in templates().items():
        for table in tables_of(page):
            is_exempt = set(table.get("class", "").split()) & set(NO_ROWS) or table.get("aria-labelledby") in OF_A_FORM
            assert is_exempt or "data-csv" in table or name in OWN_FILE, (name, table)


def test_a_formula_in_an_id_is_a_text_in_the_file(filled: ConsoleWorld, lead: Browser) -> None:
    assert filled.letters.letters
    rows = list(csv.DictReader(io.StringIO(lead.get(f"{BASE}/letters?csv=letters").text)))
    assert rows[0]["Card"] == f"'{ACTING}"
    rows = list(csv.DictReader(io.StringIO(lead.get(f"{BASE}/linked?id=t1&csv=linked").text)))
    assert rows[0]["Card"] == f"'{ACTING}"


def test_the_queue_is_exported_whole_with_its_filters_and_money_as_numbers(
    filled: ConsoleWorld, lead: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.add([build_review(f"q{n}", f"card-q{n}", now_ms=filled.now_ms, stake=1e4 + n) for n in range(70)])
    (file,) = files_of(lead.get(f"{BASE}/queue?state=open").text)
    assert "state=open" in file
    monkeypatch.setattr(site, "_API_ROWS", 30)
    answer = lead.get(file)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert 'filename="queue.csv"' in answer.headers["content-disposition"]
    assert len(rows) == 71
    assert [float(row["Expected loss"]) for row in rows] == sorted(
        (float(row["Expected loss"]) for row in rows), reverse=True
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", rows[0]["Opened"])
    assert "Claim" not in rows[0]
    monkeypatch.setattr(site, "EXPORT_ROWS", 50)
    answer = lead.get(file)
    assert 'filename="queue-first-60.csv"' in answer.headers["content-disposition"]


def test_a_name_that_is_no_table_of_the_page_is_not_found(anna: Browser) -> None:
    assert anna.get(f"{BASE}/features?csv=queue").status_code == 404
    assert anna.get(f"{BASE}/transaction?id=nobody&csv=windows").status_code == 404


def test_what_a_cell_shows_is_what_a_file_has() -> None:
    page = (
        '<table data-csv="other"><tr><td>no</td></tr></table>'
        '<table data-csv="it"><thead><tr><th>A</th><th>B</th><th class="act"><span>Do</span></th></tr></thead>'
        '<tr><td>x &amp;\n <b>y</b><br>z</td><td data-value="-2.5">2.50</td>'
        '<td class="act"><form><button>Go</button></form></td></tr>'
        '<tr><td><time title="2026">1 min</time> ago</td><td>-</td></tr>'
        '<tr><td><svg><title>drawn</title></svg>told</td><td data-value="7">7</td></tr></table>'
    )
    assert read_table(page, "it") == [["A", "B"], ["x & y z", -2.5], ["2026 ago", ""], ["told", 7]]
    assert read_table(page, "none") is None
