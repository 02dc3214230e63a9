"""Keys in the console: shown to administrators, without what opens, and revoked after a second look."""

from __future__ import annotations

from fastapi import FastAPI

from tests.unit.console.browser import Browser
from tests.unit.console.world import ANNA, LEAD, RITA, ConsoleWorld

PAGE = "/streams/transactions/keys"


def test_a_key_is_revoked_after_a_second_look(world: ConsoleWorld, app: FastAPI) -> None:
    lead, anna = Browser(app), Browser(app)
    lead.log_in(LEAD)
    anna.log_in(ANNA)
    page, key = lead.get(PAGE).text, world.keys[ANNA]
    assert key.id in page
    assert not any(text[14:] in page or one.hash.hex() in page for text, one in world.keys.items())
    asked = lead.send(f"{PAGE}/{key.id}/ask", PAGE)
    assert "Revoke the key of anna?" in asked.text
    assert world.keys[ANNA].revoked_ms is None
    assert lead.send(f"{PAGE}/{key.id}/revoke", PAGE).status_code == 303
    assert world.keys[ANNA].revoked_by == "lead"
    assert "by lead" in lead.get(PAGE).text
    assert anna.get("/streams/transactions/queue").status_code == 303


def test_the_last_administrator_stays(world: ConsoleWorld, app: FastAPI) -> None:
    lead = Browser(app)
    lead.log_in(LEAD)
    key = world.keys[LEAD]
    assert "It is yours" in lead.send(f"{PAGE}/{key.id}/ask", PAGE).text
    refused = lead.send(f"{PAGE}/{key.id}/revoke", PAGE)
    assert (refused.status_code, "the last valid key" in refused.text) == (409, True)
    assert world.keys[LEAD].revoked_ms is None


def test_others_see_no_keys(world: ConsoleWorld, app: FastAPI) -> None:
    browser = Browser(app)
    browser.log_in(RITA)
    assert browser.get(PAGE).status_code == 403
    assert PAGE not in browser.get("/streams/transactions/queue").text
    assert browser.send(f"{PAGE}/{world.keys[ANNA].id}/revoke", "/streams/transactions/queue").status_code == 403
    assert world.keys[ANNA].revoked_ms is None


def test_a_form_without_the_token_revokes_nothing(world: ConsoleWorld, app: FastAPI) -> None:
    lead = Browser(app)
    lead.log_in(LEAD)
    for path in (f"{world.keys[ANNA].id}/revoke", f"{world.keys[ANNA].id}/ask"):
        assert lead.post(f"{PAGE}/{path}").status_code == 403
    for path in ("..%2f/revoke", "0badcafe/other"):
        assert lead.send(f"{PAGE}/{path}", PAGE).status_code == 404
    assert world.keys[ANNA].revoked_ms is None
