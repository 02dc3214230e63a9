"""What is loaded into a page when it is asked for, and the API's own page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.console.accessibility import find_violations
from tests.e2e.console.conftest import BASE, Open, keep_picture, log_in
from tests.integration.test_http_connections import Child
from tests.unit.console.test_around import found, link, normal, window
from tests.unit.console.world import ANNA, ConsoleWorld, build_review

pytestmark = pytest.mark.browser
FROM_MS = 1_767_268_800_000 - 30 * 86_400_000


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Child]:
    started = Child(tmp_path, seconds=30)
    yield started
    started.stop()


def test_links_and_the_normal_of_a_card_are_loaded_into_the_page_of_its_transaction(
    world: ConsoleWorld, url: str, open_page: Open
) -> None:
    world.add([build_review("ring-1", "card-ring-1", now_ms=world.now_ms)])
    farm = [f"card-ring-{number}" for number in range(2, 7)]
    world.around.known = frozenset({"ring-1"})
    links = [link("device", *farm), link("ip", *farm[:2], "card-cafe-1"), link("customer")]
    world.around.links = found(*links) | {"key": "card-ring-1", "from_ms": FROM_MS}
    world.around.normal = normal(
        window("card_amount_sum_1h", 182_400.0, 900.0, 2_599.0, 9_900.0, 1.0),
        window("card_event_count_5m", 4.0, 1.0, 1.0, 2.0, 0.99),
        window("card_amount_mean_7d", 2_400.0, 1_900.0, 2_599.0, 3_900.0, 0.44),
    )
    page = log_in(open_page(url), ANNA)
    page.goto(f"{url}{BASE}/transaction?id=ring-1")
    for part in ("normal", "linked"):
        page.locator(f"#{part}").get_by_role("link", name="Look").click()
        page.locator(f"#{part} table").wait_for()
    drawing = page.get_by_role("img", name="6 other cards linked: 5 by device, 3 by ip; 2 by more than one.")
    expect(drawing).to_be_visible()
    expect(page.locator("#normal").get_by_text("unusual", exact=True)).to_have_count(2)
    assert find_violations(page) == []
    page.locator("#normal-title").evaluate("each => { each.scrollIntoView(); scrollBy(0, -50) }")
    keep_picture(page, "around")
    with page.expect_download() as downloading:
        page.locator("#linked").get_by_role("link", name="CSV").click()
    assert downloading.value.suggested_filename == "linked.csv"
    assert downloading.value.path().read_text().count("\n") == 1 + 8


def test_the_page_of_the_api_names_every_path_and_shows_an_example(api: Child, open_page: Open) -> None:
    page = open_page(f"http://127.0.0.1:{api.port}")
    page.goto(f"http://127.0.0.1:{api.port}/docs")
    row = page.locator(".opblock-summary", has_text="/v1/score").first
    row.click()
    page.get_by_text("card_id").first.wait_for()
    row.evaluate("each => each.scrollIntoView()")
    keep_picture(page, "api")
