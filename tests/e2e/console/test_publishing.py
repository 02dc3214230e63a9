"""Rules and lists in a real browser: changed by one person, and by two where the project asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.console.accessibility import find_violations
from tests.e2e.console.conftest import BASE, Open, log_in
from tests.e2e.console.serving import serving_console
from tests.unit.console.world import LEAD, RUTH, ConsoleWorld
from tests.unit.inference.examples import DECISION
from tests.unit.inference.published.rules_twin import GOOD, Tries
from weir.inference.published.gate import Trial
from weir.schemas.search import Place

pytestmark = pytest.mark.browser
GOES_TOO_FAR = Trial(failed=(("share declined", "the share declined grows by 3.000 points"),))
WOULD_BE = Trial(
    figures={
        "judged": 4_321,
        "decided": {"APPROVE": 4_300, "REVIEW": 21},
        "would_be": {"APPROVE": 4_280, "REVIEW": 41},
        "flips": {"APPROVE \u2192 REVIEW": 20},
    }
)
SHADOW = GOOD + "    mode: shadow\n"


def test_rules_are_edited_tried_published_and_taken_back(world: ConsoleWorld, url: str, open_page: Open) -> None:
    world.tries.found = GOES_TOO_FAR
    world.propose_rules(GOOD)  # they wait on the page for another person
    page = log_in(open_page(url), LEAD)
    page.get_by_role("link", name="Rules").click()
    before = page.get_by_label("The rules as a text").input_value()
    page.get_by_label("The rules as a text").fill(before.replace("then: REVIEW", "then: REVIW", 1))
    page.get_by_role("button", name="Check and try").click()
    page.get_by_text("did you mean 'REVIEW'").wait_for()
    page.get_by_label("The rules as a text").fill(GOOD)
    page.get_by_label("Why, for who reads").fill("fewer reviews")
    page.get_by_role("button", name="Check and try").click()
    page.get_by_text("grows by 3.000 points").wait_for()
    assert find_violations(page) == []
    page.get_by_label("Why it is right all the same").fill("agreed")
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("fewer reviews (forced: agreed; not passed: share declined)").wait_for()
    page.get_by_label("Why", exact=True).last.fill("too few")
    page.get_by_label("Put a version in force again").select_option("none")
    page.get_by_role("button", name="Take back").click()
    page.get_by_text("nothing is published").wait_for()
    assert page.get_by_label("The rules as a text").input_value() == before
    assert [act.action for act in world.published.acts] == ["publish", "rollback"]


def test_entries_of_lists_are_added_found_and_removed(world: ConsoleWorld, url: str, open_page: Open) -> None:
    world.tries.found = GOES_TOO_FAR
    page = log_in(open_page(url), LEAD)
    page.get_by_role("link", name="Lists").click()
    page.get_by_label("Entries, one a line").fill("c1\nc2")
    page.get_by_label("Reason of what is added").fill("chargebacks in May")
    page.get_by_label("Until, in UTC").fill("2026-01-01T12:00")
    page.get_by_label("Why, for who reads").fill("seen today")
    page.get_by_role("button", name="Add").click()
    page.get_by_text("grows by 3.000 points").wait_for()
    assert find_violations(page) == []
    page.get_by_label("Why it is right all the same").fill("agreed")
    page.get_by_role("button", name="Add").click()
    page.get_by_text("2 entries changed").wait_for()
    world.tries.found = Tries().found
    assert find_violations(page) == []
    page.get_by_label("Begins with").fill("c2")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("link", name="c1").count() == 0
    page.get_by_label("Entries, one a line").fill("c2")
    page.get_by_label("Why, for who reads").fill("not them")
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("1 entry changed").wait_for()
    page.get_by_label("Why", exact=True).last.fill("none of them")
    page.get_by_label("Put a version in force again").select_option("none")
    page.get_by_role("button", name="Take back").click()
    page.get_by_text("nothing is published").wait_for()
    assert [act.action for act in world.lists.acts] == ["publish", "change", "rollback"]


@pytest.fixture
def of_two(tmp_path: Path) -> Iterator[tuple[ConsoleWorld, str]]:
    """A deployment where rules and allow lists ask for two people."""
    world = ConsoleWorld(tmp_path)
    world.four_eyes = '["rules", "allow"]'
    world.tries.found = WOULD_BE
    with serving_console(world) as url:
        yield world, url
    world.close()


def propose_rules(page: Page, text: str, why: str) -> None:
    """Edit the rules, check them, look at what they would do, and propose them."""
    page.get_by_role("link", name="Rules", exact=True).click()
    page.get_by_label("The rules as a text").fill(text)
    page.get_by_label("Why, for who reads").fill(why)
    page.get_by_role("button", name="Check and try").click()
    page.get_by_role("heading", name="What it would do").wait_for()
    page.get_by_role("row", name="REVIEW 21 41").wait_for()
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("waits for a second person: it is not in force").wait_for()
    page.get_by_text("another person approves it").wait_for()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def settle(page: Page, what: str, why: str) -> None:
    page.get_by_label("Why it is approved or rejected").fill(why)
    page.get_by_role("button", name=what).click()


def test_a_rule_is_edited_tried_in_shadow_and_live_each_time_by_two_people(
    of_two: tuple[ConsoleWorld, str], open_page: Open
) -> None:
    world, url = of_two
    ruth, lead = log_in(open_page(url), RUTH), log_in(open_page(url), LEAD)
    mode = ruth.get_by_role("row", name="night").get_by_role("cell").nth(2)
    for text, shown in ((SHADOW, "shadow"), (GOOD, "live")):
        before = len(world.published.acts)
        propose_rules(ruth, text, f"night is {shown}")
        lead.goto(f"{url}{BASE}/rules")
        lead.get_by_role("heading", name="by ruth").wait_for()
        lead.get_by_text("Of 4321 past decisions").wait_for()
        assert find_violations(lead) == []
        assert len(world.published.acts) == before
        settle(lead, "Approve", "agreed")
        lead.get_by_text("is in force: every process").wait_for()
        expect(lead.get_by_text("Waiting for a second person")).to_have_count(0)
        ruth.goto(f"{url}{BASE}/rules")
        expect(mode).to_have_text(shown)
        ruth.get_by_text(f"night is {shown} (proposed by ruth; approved: agreed)").wait_for()
    assert [(act.who, act.text) for act in world.published.acts] == [("lead", SHADOW), ("lead", GOOD)]
    found = DECISION | {"transaction_id": "in-shadow", "shadow_rules": ["night"]}
    world.api.search.decisions = [(Place(world.now_ms, 0, 0), found), (Place(world.now_ms, 0, 1), dict(DECISION))]
    ruth.get_by_role("link", name="night").click()
    ruth.get_by_role("link", name="in-shadow").wait_for()
    expect(ruth.locator("[data-rows] tbody tr")).to_have_count(1)


def test_an_allowance_is_rejected_by_a_second_person_and_nothing_is_in_force(
    of_two: tuple[ConsoleWorld, str], open_page: Open
) -> None:
    world, url = of_two
    ruth, lead = log_in(open_page(url), RUTH), log_in(open_page(url), LEAD)
    ruth.get_by_role("link", name="Lists", exact=True).click()
    ruth.locator("#side").select_option("allow")
    ruth.locator("#entity").select_option("merchant")
    ruth.get_by_label("Entries, one a line").fill("shop-1")
    ruth.get_by_label("Why, for who reads").fill("a partner")
    ruth.get_by_role("button", name="Add").click()
    ruth.get_by_text("waits for a second person: it is not in force").wait_for()
    lead.get_by_role("link", name="Lists", exact=True).click()
    lead.get_by_text("+ allow merchant shop-1").wait_for()
    settle(lead, "Reject", "not a partner")
    lead.get_by_text("is rejected: what is in force stays").wait_for()
    ruth.reload()
    ruth.get_by_text("was rejected by lead: not a partner").wait_for()
    assert world.lists.acts == []
