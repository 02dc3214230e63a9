"""The console on real servers, by its own command: what a person does there changes what is decided and learnt."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.console.conftest import BASE, Open, log_in
from tests.integration.outputs import Follower
from tests.integration.payments import Publisher, build_payment
from tests.integration.services import Services, log_of
from tests.integration.test_cases_live import CARD, SHOP, decode_labels, journey
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.settings import Settings

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(400)]
DAY_MS = 86_400_000
RISK, NO_VALUE = "merchant_label_risk_30d", "-"
DEAR_MINOR = 50_000
DEAR = f"""\
- name: dear
  why: as much as a laptop
  when: transaction_amount > {DEAR_MINOR}
  then: REVIEW
"""
CHEAP_COUNT, DEAR_COUNT = 12, 5
"""Payments of the past, below and above the amount of the rule."""


@pytest.fixture
def services(deployment: Settings, tmp_path: Path) -> Iterator[Services]:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    with_keys = deployment.api.model_copy(update={"keys": "required"})
    running = Services(deployment.model_copy(update={"home": tmp_path, "api": with_keys}), tmp_path / "logs")
    yield running
    running.stop()


def start_api(services: Services) -> str:
    """Start the API; return its address."""
    said = log_of(services.start("serve", "--port", "0", ready="serving http"))
    return said.partition("serving ")[2].split()[0].rstrip(":")


def start_console(services: Services, api: str) -> str:
    """Start a console of an API; return its address."""
    own = services.settings.console.model_copy(update={"api_url": api})
    services.change(services.settings.model_copy(update={"console": own}))
    said = log_of(services.start("console", "--port", "0", ready="serving the console"))
    return re.search(r"serving the console at (\S+)", said)[1]  # type: ignore[index]


def read_risk(page: Page) -> str:
    """Return the share of fraud among the shop's labels of 30 days, as its page shows it now."""
    page.reload()
    return page.get_by_title(RISK, exact=True).locator("b").inner_text()


def test_a_fraud_sequence_is_opened_claimed_decided_and_its_labels_move_the_risk_of_the_shop(
    services: Services, open_page: Open
) -> None:
    settings = services.settings
    key = services.run("keys", "create", "anna", "--scopes", "read,review").strip()
    for verb in (("run",), ("index",), ("cases", "follow")):
        services.start(*verb)
    url = start_console(services, start_api(services))
    page = log_in(open_page(url), key)
    page.get_by_text("No case.").wait_for()
    watching = page.context.new_page()
    watching.goto(f"{url}/streams/transactions/live?decision=REVIEW")
    watching.locator(".status.on").wait_for()
    Publisher(settings).send_payments(journey(int(time.time() * 1_000) - 8 * DAY_MS))
    row = page.get_by_role("row").filter(has_text=CARD)
    watching.get_by_role("link", name="t2").click()
    watching.get_by_role("link", name=SHOP).first.click()
    watching.get_by_role("heading", name=f"Merchant {SHOP}").wait_for()
    assert read_risk(watching) == NO_VALUE
    row.wait_for()  # without a touch: the queue is drawn again by itself
    row.get_by_role("button", name=re.compile("Claim")).click()
    page.get_by_role("heading", name=re.compile("^Case")).wait_for()
    page.get_by_role("link", name="t2").click()
    page.get_by_text("REVIEW").first.wait_for()
    page.go_back()
    page.get_by_role("radio", name="Fraud").check()
    page.get_by_label("Reason").fill("the customer called")
    page.get_by_role("button", name="Give verdict").click()
    page.get_by_text("Correct it").wait_for()
    page.get_by_role("link", name="Queue").click()
    page.get_by_text("No case.").wait_for()
    with closing(Follower(settings, settings.topics.labels)) as follower:
        services.await_true(lambda: len(follower.poll()) >= 2, "the labels")
        labels = decode_labels(settings, follower)
    assert {(each["card_id"], each["is_fraud"], each["source"]) for each in labels} == {(CARD, True, "analyst")}
    services.await_true(lambda: read_risk(watching) != NO_VALUE, "the shop's label risk on its page")
    assert 0.0 < float(read_risk(watching)) <= 1.0


class Payer:
    """Has payments decided through the API, one after the other."""

    def __init__(self, api: str, key: str) -> None:
        self._client = httpx.Client(base_url=api, timeout=30, headers={"authorization": f"Bearer {key}"})
        self._count = 0

    def decide(self) -> dict[str, Any]:
        """Return the recorded decision on a new payment that is dear."""
        self._count += 1
        event = build_payment(f"new-{self._count}", card_id=f"card-new-{self._count}", amount_minor=2 * DEAR_MINOR)
        answer = self._client.post("/v1/decide", json=event, params={"wait_ms": 10_000})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def try_rules(services: Services, page: Page, text: str, why: str) -> dict[str, tuple[int, int]]:
    """Edit the rules and try them on the past; return how many decisions of each outcome there are and would be."""
    page.goto(page.url.partition("/streams/")[0] + f"{BASE}/rules")
    page.get_by_label("The rules as a text").fill(text)
    page.get_by_label("Why, for who reads").fill(why)
    tried = page.get_by_role("heading", name="What it would do")

    def is_tried() -> bool:
        page.get_by_role("button", name="Check and try").click()
        tried.wait_for()
        return page.get_by_role("button", name="Publish").count() == 1  # not while it is being tried

    services.await_true(is_tried, "the rules tried on the past")
    rows = page.get_by_role("table", name="What it would do").locator("tbody tr").all_inner_texts()
    return {outcome: (int(now), int(would)) for outcome, now, would in map(str.split, rows)}


def publish_rules(page: Page) -> None:
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("is in force: every process").wait_for()


def test_a_rule_is_edited_tried_on_the_past_in_shadow_and_then_decides(services: Services, open_page: Open) -> None:
    key = services.run("keys", "create", "lead", "--scopes", "read,score,rules").strip()
    services.start("run")
    amounts = [DEAR_MINOR // 10] * CHEAP_COUNT + [2 * DEAR_MINOR] * DEAR_COUNT
    Publisher(services.settings).send_payments(
        [build_payment(f"past-{n}", card_id=f"card-{n}", amount_minor=each) for n, each in enumerate(amounts)]
    )
    with closing(Follower(services.settings, services.settings.topics.decisions)) as follower:
        services.await_true(lambda: len(follower.poll()) == len(amounts), "the decisions of the past")
    services.run("archive", "--until-caught-up")
    api = start_api(services)
    page = log_in(open_page(start_console(services, api)), key)
    before = read_rules(page)
    with closing(Payer(api, key)) as payer:
        shadow = try_rules(services, page, f"{before}{DEAR}  mode: shadow\n", "look at it first")
        assert sum(now for now, _ in shadow.values()) == len(amounts)
        assert all(now == would for now, would in shadow.values())
        publish_rules(page)
        mode = page.get_by_role("row", name="dear").get_by_role("cell").nth(2)
        expect(mode).to_have_text("shadow")
        services.await_true(lambda: payer.decide()["shadow_rules"] == ["dear"], "a decision with the rule in shadow")
        assert payer.decide()["decided_by"] == "model"
        services.run("archive", "--until-caught-up")
        page.get_by_role("row", name="dear").get_by_role("link", name="dear").click()
        page.get_by_role("link", name="new-", exact=False).first.wait_for()  # where it held in shadow
        live = try_rules(services, page, f"{before}{DEAR}", "it finds what we look for")
        reviewed, would_be = live["REVIEW"]
        assert would_be - reviewed >= DEAR_COUNT
        publish_rules(page)
        expect(mode).to_have_text("live")
        services.await_true(lambda: payer.decide()["decided_by"] == "dear", "a decision by the rule")
        last = payer.decide()
        assert (last["decision"], last["shadow_rules"]) == ("REVIEW", [])
    page.get_by_text("look at it first").wait_for()  # both are in the history
    page.get_by_text("it finds what we look for").wait_for()


def read_rules(page: Page) -> str:
    """Return the rules in force, as their text is edited."""
    page.get_by_role("link", name="Rules", exact=True).click()
    text = page.get_by_label("The rules as a text").input_value()
    return text if text.endswith("\n") else f"{text}\n"
