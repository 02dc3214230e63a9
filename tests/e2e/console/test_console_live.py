"""The console on real servers, by its own command: a fraud sequence on the topic ends as labels on another."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.e2e.console.conftest import Open, log_in
from tests.integration.outputs import Follower
from tests.integration.payments import Publisher
from tests.integration.services import Services, log_of
from tests.integration.test_cases_live import CARD, SHOP, decode_labels, journey
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.settings import Settings

pytestmark = [pytest.mark.server, pytest.mark.browser]
DAY_MS = 86_400_000
RISK, NO_VALUE = "merchant_label_risk_30d", "-"


@pytest.fixture
def services(deployment: Settings, tmp_path: Path) -> Iterator[Services]:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    with_keys = deployment.api.model_copy(update={"keys": "required"})
    running = Services(deployment.model_copy(update={"home": tmp_path, "api": with_keys}), tmp_path / "logs")
    yield running
    running.stop()


def start_console(services: Services) -> str:
    """Start the API and a console of it; return the console's address."""
    api = log_of(services.start("serve", "--port", "0", ready="serving http")).partition("serving ")[2].split()[0]
    own = services.settings.console.model_copy(update={"api_url": api.rstrip(":")})
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
    url = start_console(services)
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
