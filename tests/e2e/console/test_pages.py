"""The console's pages in a real browser, over an API of twins that can be sent away."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import pytest
from playwright.sync_api import Browser, Dialog, Page, ViewportSize, expect

from tests.e2e.console.accessibility import find_overflow, find_violations
from tests.e2e.console.conftest import BASE, Open, keep_picture, log_in
from tests.unit.console.world import ANNA, BEN, BURST, IDLE_SECONDS, LEAD, RULE, SPENDING, ConsoleWorld, build_review
from tests.unit.inference.examples import DECISION, TRANSACTION
from tests.unit.inference.twins import build_measured
from tests.unit.infra.user_files.files import write_csv
from weir.inference.api.quality.route import SHOWN as QUALITY
from weir.inference.model_card import QUALITY_FILE
from weir.schemas.search import Place

pytestmark = pytest.mark.browser
NARROW: ViewportSize = {"width": 1280, "height": 720}
EVIL = "<img src=x onerror=alert(1)>\u202egnp.exe\x07"


def test_the_keys_work_through_the_queue(world: ConsoleWorld, url: str, open_page: Open) -> None:
    first, second, _ = world.add(
        [build_review(f"k{number}", f"card-k{number}", now_ms=world.now_ms, stake=9e5 - number) for number in range(3)]
    )
    page = log_in(open_page(url), ANNA)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("c")
    page.wait_for_url(f"**/cases/{second}")
    page.keyboard.press("l")
    expect(page.get_by_role("radio", name="Legitimate")).to_be_checked()
    page.keyboard.type("a receipt, and a call")  # letters in a field are letters
    page.keyboard.press("Control+Enter")
    page.get_by_text("a receipt, and a call").first.wait_for()
    page.keyboard.press("n")
    page.wait_for_url(f"**/cases/{first}")
    assert world.desk.show(second).case.verdict == "legitimate"
    page.keyboard.press("q")
    page.get_by_role("heading", name="Queue").wait_for()
    expect(page.get_by_text(second)).to_have_count(0)


def test_single_letters_can_be_switched_off(world: ConsoleWorld, url: str, open_page: Open) -> None:
    world.add([build_review("o1", "card-o1", now_ms=world.now_ms)])
    page = log_in(open_page(url), ANNA)
    page.keyboard.press("?")
    page.get_by_label("Single letters act as keys").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("j")
    expect(page.locator("tr.here")).to_have_count(0)


def test_of_two_who_claim_at_once_one_holds_the_case(world: ConsoleWorld, url: str, open_page: Open) -> None:
    (case_id,) = world.add([build_review("two", "card-two", now_ms=world.now_ms)])
    anna, ben = log_in(open_page(url), ANNA), log_in(open_page(url), BEN)
    for page in (anna, ben):
        page.goto(f"{url}{BASE}/cases/{case_id}")
    anna.get_by_role("button", name="Claim").click()
    anna.get_by_role("button", name="Release").wait_for()
    ben.get_by_role("button", name="Claim").click()
    ben.get_by_text("Somebody else holds this case").wait_for()
    expect(ben.get_by_role("button", name="Give verdict")).to_have_count(0)
    assert world.desk.show(case_id).case.holder == "anna"


def test_everything_but_the_live_page_works_without_scripts(world: ConsoleWorld, url: str, browser: Browser) -> None:
    (case_id,) = world.add([build_review("plain", "card-plain", now_ms=world.now_ms)])
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    log_in(page, ANNA)
    page.get_by_role("button", name="Claim").click()
    page.get_by_role("radio", name="Fraud").check()
    page.get_by_label("Reason").fill("called")
    page.get_by_role("button", name="Give verdict").click()
    page.get_by_text("Correct it").wait_for()
    assert world.desk.show(case_id).case.verdict == "fraud"
    context.close()


def test_markup_in_ids_does_nothing(world: ConsoleWorld, url: str, open_page: Open) -> None:
    world.add([build_review(EVIL, EVIL, now_ms=world.now_ms, merchant_id=EVIL)])
    page = log_in(open_page(url), ANNA)
    alerts: list[str] = []

    def note(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    shown = "<img src=x onerror=alert(1)>\\u202egnp.exe\\x07"
    page.get_by_role("link", name=shown).click()
    page.get_by_role("heading", name=shown).wait_for()
    page.go_back()
    page.locator("[data-open]").click()
    page.get_by_role("article").get_by_role("link", name=shown).click()
    page.get_by_role("heading", name=shown).wait_for()
    assert page.locator("main img").count() == 0
    assert alerts == []


def test_what_is_away_is_said_and_the_rest_works(world: ConsoleWorld, url: str, open_page: Open) -> None:
    (case_id,) = world.add([build_review("t-away", "card-1", now_ms=world.now_ms)])
    page = log_in(open_page(url), ANNA)
    world.api.partials.away = "redis: nobody answers"
    page.goto(f"{url}{BASE}/transaction?id=t-away")
    page.get_by_text("redis: nobody answers").wait_for()
    page.goto(f"{url}{BASE}/cases/{case_id}")
    page.get_by_role("button", name="Claim").click()
    page.get_by_role("button", name="Release").wait_for()
    world.api.partials.away = ""
    world.send_database_away()
    page.get_by_role("link", name="t-away").click()
    page.get_by_role("heading", name="Transaction t-away").wait_for()
    page.get_by_role("link", name="Queue").click()
    page.get_by_text("database: nobody answers").wait_for()


def test_a_session_that_ends_asks_for_the_key_again_and_leads_back(
    world: ConsoleWorld, url: str, open_page: Open
) -> None:
    page = log_in(open_page(url), ANNA)
    page.goto(f"{url}{BASE}/queue?state=closed")
    world.clock += IDLE_SECONDS + 1
    page.wait_for_url("**/login?ended=1")  # the page refreshes itself, and that kept nothing alive
    page.get_by_text("Your session has ended").wait_for()
    page.goto(f"{url}{BASE}/queue?state=closed")
    log_in(page, ANNA)
    assert page.url.endswith("/queue?state=closed")


def test_the_live_page_shows_decisions_as_they_come_and_never_more_than_it_can_hold(
    world: ConsoleWorld, url: str, open_page: Open
) -> None:
    page = log_in(open_page(url), ANNA)
    page.goto(f"{url}{BASE}/live?decision=REVIEW")
    page.locator(".status.on").wait_for()
    world.feed.see([DECISION | {"transaction_id": EVIL}, DECISION | {"transaction_id": "fine", "decision": "APPROVE"}])
    page.get_by_role("link", name="<img src=x onerror=alert(1)>").wait_for()
    expect(page.locator("#live tr")).to_have_count(1)
    assert page.locator("main img").count() == 0
    for first in range(0, 400, 100):  # no more at once than the API keeps for one who reads
        world.feed.see([DECISION | {"transaction_id": f"many-{first + number}"} for number in range(100)])
        page.get_by_role("link", name=f"many-{first + 99}", exact=True).wait_for()
    expect(page.locator("#live tr")).to_have_count(200)
    page.get_by_role("button", name="Pause").click()
    world.feed.see([DECISION | {"transaction_id": "paused"}])
    page.get_by_role("button", name="Resume (1)").wait_for()
    expect(page.get_by_role("link", name="paused")).to_have_count(0)
    page.get_by_role("button", name="Resume (1)").click()
    page.get_by_role("link", name="paused").wait_for()


def test_a_search_leads_to_decisions_their_pages_and_a_file(world: ConsoleWorld, url: str, open_page: Open) -> None:
    found = DECISION | {"card_id": "card-s", "decision_time_ms": world.now_ms}
    world.api.search.decisions = [
        (Place(world.now_ms + number, 0, number), found | {"transaction_id": f"s{number}"}) for number in range(60)
    ]
    world.api.decisions.stored["s59"] = orjson.dumps(found | {"transaction_id": "s59"})
    page = log_in(open_page(url), ANNA)
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("Card", exact=True).fill("card-s")
    page.get_by_role("checkbox", name="review").check()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("[data-rows] tbody tr")).to_have_count(50)
    expect(page.get_by_role("checkbox", name="review")).to_be_checked()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert Path(download.value.path()).read_text().count("\n") == 61
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("[data-rows] tbody tr")).to_have_count(10)
    page.go_back()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Transaction s59").wait_for()


def test_the_live_page_says_why_the_api_refuses_a_filter(url: str, open_page: Open) -> None:
    page = log_in(open_page(url), ANNA)
    page.goto(f"{url}{BASE}/live?card=4111111111111111")
    page.get_by_text("expected a token, found a card number").wait_for()


def test_a_queue_of_a_day_is_shown_whole_and_drawn_again_without_a_touch(
    world: ConsoleWorld, url: str, open_page: Open
) -> None:
    dice = random.Random(7)
    cases = world.add(
        [
            build_review(
                f"t-{90_412 + 21 * number}",
                f"card-{17 * number % 23:06d}",
                now_ms=world.now_ms - dice.randrange(3_000_000),
                stake=dice.randrange(1_000, 900_000),
                score=dice.random(),
                reasons=[RULE] if number % 5 == 0 else [BURST, SPENDING],
                decided_by="rule:impossible_travel" if number % 5 == 0 else "model",
            )
            for number in range(30)
        ],
        burst_ms=3_600_000,
    )
    world.desk.claim(cases[1], "ben")
    world.desk.claim(cases[3], "anna")
    page = log_in(open_page(url), ANNA)
    expect(page.locator("[data-rows] tbody tr")).to_have_count(len(cases))
    keep_picture(page, "queue")
    page.goto(f"{url}{BASE}/cases/{cases[3]}")
    page.keyboard.press("f")
    page.keyboard.type("the customer called: the card was at home")
    keep_picture(page, "case")
    page.get_by_role("article").first.get_by_role("link").first.click()
    page.get_by_role("heading", name="Why").wait_for()
    keep_picture(page, "transaction")
    page.get_by_role("link", name="Queue").click()
    world.add([build_review("t-new", "card-new", now_ms=world.now_ms)])
    page.get_by_text("card-new").wait_for()


def test_a_case_is_opened_from_a_decision_and_linked_to_another(world: ConsoleWorld, url: str, open_page: Open) -> None:
    world.know(build_review("h1", "card-h1", now_ms=world.now_ms, decision="APPROVE", tags=["alert:NEW_SHOP_RUSH"]))
    world.know(build_review("h2", "card-h2", now_ms=world.now_ms - 7_200_000, decision="DECLINE", reasons=[RULE]))
    page = log_in(open_page(url), ANNA)
    page.goto(f"{url}{BASE}/transaction?id=h1")
    page.get_by_text("Open a case").first.click()
    page.get_by_label("Why somebody should look").fill("the customer called")
    page.get_by_role("button", name="Open a case").click()
    page.get_by_role("heading", name="Linked transactions").wait_for()
    page.get_by_text("alert:NEW_SHOP_RUSH").wait_for()
    page.get_by_text("Link another transaction").click()
    page.get_by_label("Id of the transaction").fill("h404")
    page.get_by_label("Why it belongs here").fill("the same device, an hour later")
    page.get_by_role("button", name="Link", exact=True).click()
    page.get_by_role("alert").get_by_text("no decision on this transaction").wait_for()
    assert find_violations(page) == []
    page.get_by_label("Id of the transaction").fill("h2")  # why is still there
    page.get_by_role("button", name="Link", exact=True).click()
    row = page.get_by_role("table", name="Linked transactions").get_by_role("row", name="h2")
    expect(row).to_contain_text("the same device, an hour later")
    keep_picture(page, "linked-case")
    row.get_by_role("link", name="h2").click()
    page.get_by_role("heading", name="Transaction h2").wait_for()
    page.get_by_text("It is in no case").wait_for()
    page.go_back()
    page.get_by_role("button", name="Unlink h2").click()
    page.get_by_text("None.", exact=True).wait_for()
    page.get_by_role("link", name="h1").first.click()
    (case_id,) = world.list_undecided()
    page.get_by_role("link", name=case_id).wait_for()


def test_a_dead_letter_is_repaired_and_sent_after_a_second_look(world: ConsoleWorld, url: str, open_page: Open) -> None:
    world.add_letter(key=EVIL.encode(), reason="lead_repairs")
    page = log_in(open_page(url), LEAD)
    page.get_by_role("link", name="Dead letters").click()
    page.get_by_role("link", name="lead_repairs").click()
    page.get_by_label("Change fields first").fill("amount_minor=500\ncard_id=c2")
    page.get_by_role("button", name="Look at it").click()
    page.get_by_role("heading", name="Is this right?").wait_for()
    assert find_violations(page) == []
    assert world.letters.sent == []
    page.get_by_role("button", name="Yes, send it").click()
    page.get_by_text("replayed", exact=True).wait_for()
    assert [step.record.key for step in world.letters.sent if step.record] == [b"c2"]


def test_a_canary_is_ended_and_the_slider_shows_what_a_threshold_does_with_and_without_a_script(
    world: ConsoleWorld, url: str, open_page: Open, browser: Browser
) -> None:
    world.curves.measured = build_measured()
    world.choices.choose("canary", "3")
    page = log_in(open_page(url), LEAD)
    page.get_by_role("link", name="Models", exact=True).click()
    assert find_violations(page) == []
    page.get_by_label("Why the canary 3 is taken back").fill("declines too much")
    page.get_by_role("button", name="End the canary").click()
    page.get_by_text("It is taken back").wait_for()
    page.get_by_role("table", name="In force").get_by_role("link").click()
    assert find_violations(page) == []
    page.get_by_role("link", name="What its thresholds do").click()
    caught = page.locator("[data-figure=fraud_caught]")
    slider = page.get_by_role("slider", name="Threshold")
    expect(caught).to_have_text("8")
    slider.press("ArrowRight")
    expect(caught).to_have_text("6")
    keep_picture(page, "thresholds")
    slider.press("End")
    expect(caught).to_have_text("0")
    expect(page.locator("#threshold")).to_have_text("0.900")
    expect(slider).to_have_attribute("aria-valuetext", "0.900")
    assert find_violations(page) == []
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**at=2**")
    expect(caught).to_have_text("0")
    plain = browser.new_context(java_script_enabled=False, storage_state=page.context.storage_state()).new_page()
    plain.goto(page.url)
    expect(plain.locator("[data-figure=fraud_caught]")).to_have_text("0")
    plain.context.close()


def test_a_file_is_sent_scored_and_downloaded(world: ConsoleWorld, url: str, open_page: Open, tmp_path: Path) -> None:
    page = log_in(open_page(url), LEAD)
    page.get_by_role("link", name="Uploads").click()
    event = TRANSACTION | {"event_time_ms": world.now_ms - 1_000}
    sent = write_csv(tmp_path / "day.csv", [event | {"transaction_id": f"up-{n}"} for n in range(100)])
    page.get_by_label("CSV with a header line").set_input_files(sent)
    page.get_by_role("button", name="Send and score").click()
    page.get_by_text("100 of 100").wait_for()
    assert find_violations(page) == []
    with page.expect_download() as downloading:
        page.get_by_role("link", name="CSV", exact=True).click()
    rows = downloading.value.path().read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["transaction_id", *(f"up-{n}" for n in range(100))]
    page.get_by_role("button", name="Delete the upload").click()
    page.get_by_text("No file is kept").wait_for()


def test_quality_is_shown_day_by_day_and_exported(world: ConsoleWorld, url: str, open_page: Open) -> None:
    (day,) = QUALITY["days"]
    days = [day | {"day": f"2025-12-{number:02}", "decided": 20_000 + 7 * number} for number in range(8, 0, -1)]
    kept = world.api.served.models_dir / QUALITY_FILE
    kept.write_bytes(orjson.dumps(QUALITY | {"days": days}))
    page = log_in(open_page(url), ANNA)
    page.get_by_role("link", name="Quality").click()
    page.get_by_role("row", name="2025-12-08").wait_for()
    assert find_violations(page) == []
    keep_picture(page, "quality")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="CSV").click()
    assert downloading.value.path().read_text().count("\n") == 1 + len(days)
    kept.unlink()


def find_faults(page: Page) -> list[str]:
    """Return what is wrong with a page for who cannot see it, and for who has a small screen."""
    return [*find_violations(page), *find_overflow(page)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_used_by_everybody(world: ConsoleWorld, url: str, open_page: Open, scheme: str) -> None:
    reviews = [build_review(f"{scheme}{n}", f"card-{scheme}{n}", now_ms=world.now_ms) for n in range(3)]
    cases = world.add(reviews)
    world.api.search.decisions = [(Place(1, 0, n), dict(each.decision)) for n, each in enumerate(reviews)]
    world.around.known = frozenset({f"{scheme}0"})
    world.desk.claim(cases[0], "anna")
    world.desk.claim(cases[1], "ben")
    world.know(build_review(f"{scheme}free", "card-free", now_ms=world.now_ms, tags=["alert:MULE"]))
    world.desk.link(cases[0], f"{scheme}free", "anna", "the same device")
    world.curves.measured = build_measured()
    page = open_page(url)
    page.set_viewport_size(NARROW)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found = {"login": find_faults(page)}
    log_in(page, ANNA)
    page.keyboard.press("j")
    found["queue"] = find_faults(page)
    for path in (
        *(f"cases/{case_id}" for case_id in cases),
        f"transaction?id={scheme}0", f"transaction?id={scheme}free", f"evidence?id={scheme}0",
        f"before?id={scheme}0&key=card-{scheme}0&at=9999999999999", f"entity?kind=card&id=card-{scheme}0",
        f"linked?id={scheme}0", f"normal?id={scheme}0",
        "search?id=nothing", "search?decision=REVIEW", "search?score_min=2", "live", "letters", world.add_letter(),
        "rules", "lists", "models", "models/model?version=1", "models/thresholds?version=1", "quality", "uploads",
        "features", "nothing",
    ):  # fmt: skip
        page.goto(f"{url}{BASE}/{path}")
        found[path] = find_faults(page)
    page.keyboard.press("?")
    found["the keys of a page"] = find_faults(page)
    admin = open_page(url)
    admin.set_viewport_size(NARROW)
    admin.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    log_in(admin, LEAD)
    for path in ("keys", "audit"):
        admin.goto(f"{url}{BASE}/{path}")
        found[path] = find_faults(admin)
    assert {path: faults for path, faults in found.items() if faults} == {}
    admin.locator("main").evaluate("each => { each.style.width = '1400px' }")
    assert find_overflow(admin)[0].endswith("px wide in 1280")  # what is too wide is found
