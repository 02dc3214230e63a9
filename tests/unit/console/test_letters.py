"""Dead letters in the console: what is shown, what each key may do, and that nothing is sent without a second look."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI

from tests.unit.console.browser import BASE, EVIL, Browser
from tests.unit.console.world import RITA, ConsoleWorld
from tests.unit.streaming.dead_letter_samples import unframe
from weir.schemas.errors import Transient


def test_a_letter_is_looked_at_repaired_and_sent_once(world: ConsoleWorld, lead: Browser) -> None:
    page = f"{BASE}/{world.add_letter()}"
    assert page in lead.get(f"{BASE}/letters").text
    looked = lead.send(f"{page}/check", page, set="amount_minor = 500\r\n")
    assert looked.status_code == 200
    assert re.search(r"amount_minor</th>.*-5.*500", looked.text)
    assert world.letters.sent == []
    for _ in range(2):
        lead.send(f"{page}/replay", page, set="amount_minor = 500\r\n")
    (sent,) = world.letters.sent
    assert unframe(sent.record.value)["amount_minor"] == 500  # type: ignore[union-attr]
    assert "Send it again" not in lead.get(page).text
    assert page not in lead.get(f"{BASE}/letters").text
    assert page in lead.get(f"{BASE}/letters?state=replayed").text


def test_what_would_not_help_is_told_before_and_after(world: ConsoleWorld, lead: Browser) -> None:
    page = f"{BASE}/{world.add_letter()}"
    looked = lead.send(f"{page}/check", page, set="amount_minor=many")
    assert "It would not be sent, unrepairable" in looked.text
    assert "amount_minor=many" in looked.text
    sent = lead.send(f"{page}/replay", page, set="amount_minor=many")
    assert sent.status_code == 409
    wrong = lead.send(f"{page}/check", page, set="amount_minor=1\r\n500")
    assert (wrong.status_code, "line 2" in wrong.text) == (422, True)
    assert world.letters.sent == []


def test_a_letter_is_discarded_after_a_second_look(world: ConsoleWorld, lead: Browser) -> None:
    page = f"{BASE}/{world.add_letter()}"
    assert "Yes, discard it" in lead.send(f"{page}/check", page, what="discard", set="").text
    assert world.letters.sent == []
    assert lead.send(f"{page}/discard", page).status_code == 303
    assert page in lead.get(f"{BASE}/letters?state=discarded").text


def test_who_may_only_read_sees_letters_and_changes_nothing(world: ConsoleWorld, app: FastAPI) -> None:
    page = f"{BASE}/{world.add_letter()}"
    browser = Browser(app)
    browser.log_in(RITA)
    assert "<textarea" not in browser.get(page).text
    assert browser.send(f"{page}/replay", page).status_code == 403
    assert world.letters.sent == []


def test_a_form_without_the_token_sends_nothing(world: ConsoleWorld, lead: Browser) -> None:
    page = f"{BASE}/{world.add_letter()}"
    for change in ("check", "replay", "discard"):
        assert lead.post(f"{page}/{change}", token="0" * 64).status_code == 403
    assert world.letters.sent == []


def test_markup_in_a_letter_is_text(world: ConsoleWorld, lead: Browser) -> None:
    page = f"{BASE}/{world.add_letter(card_id=EVIL, key=EVIL.encode(), reason=EVIL, message=EVIL)}"
    for shown in (lead.get(page), lead.get(f"{BASE}/letters")):
        assert shown.status_code == 200
        assert not {"<script>alert", "\u202e", "\x07"} & set(re.findall(r"<script>alert|[\u202e\x07]", shown.text))


def test_a_record_that_ends_processes_is_marked(world: ConsoleWorld, lead: Browser) -> None:
    assert "does so again" in lead.get(f"{BASE}/{world.add_letter(reason='decoder_died')}").text


@pytest.mark.parametrize("place", ["letters/3/9", "letters/x/9", "letters/3/-1", f"letters/3/{'9' * 30}"])
def test_a_place_without_a_letter_is_not_found(lead: Browser, place: str) -> None:
    assert lead.get(f"{BASE}/{place}").status_code == 404


def test_a_filter_that_makes_no_sense_is_told(lead: Browser) -> None:
    assert lead.get(f"{BASE}/letters?topic=others").status_code == 422
    assert lead.get(f"{BASE}/letters?state=nothing&after=x").status_code == 422


def test_with_kafka_away_the_page_says_so(world: ConsoleWorld, lead: Browser) -> None:
    world.letters.away = Transient("kafka: nobody answers")
    answer = lead.get(f"{BASE}/letters")
    assert (answer.status_code, "kafka: nobody answers" in answer.text) == (503, True)
