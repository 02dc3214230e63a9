"""The console as an analyst's browser asks it, without a browser: login, sessions, forms, what each key may do."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.console.browser import BASE, EVIL, Browser, token_in
from tests.unit.console.world import (
    ANNA,
    BEN,
    CLICKS,
    IDLE_SECONDS,
    LEAD,
    RITA,
    SECONDS_MAX,
    TILL,
    ConsoleWorld,
    build_review,
)
from tests.unit.inference.twins import Client
from weir.inference.api.examples import build_evidence
from weir.schemas.streams.payments import payments


@pytest.fixture
def case_id(world: ConsoleWorld) -> str:
    return world.add([build_review("t1", "card-1", now_ms=world.now_ms)])[0]


def test_a_page_asks_for_a_key_and_leads_back(app: FastAPI) -> None:
    browser = Browser(app)
    sent = browser.get(f"{BASE}/queue?state=open")
    assert (sent.status_code, sent.headers["location"]) == (
        303, "/login?next=%2Fstreams%2Ftransactions%2Fqueue%3Fstate%3Dopen",
    )  # fmt: skip
    page = browser.get(sent.headers["location"])
    answer = browser.post(sent.headers["location"], token=token_in(page), key=ANNA)
    assert answer.headers["location"] == f"{BASE}/queue?state=open"
    assert browser.get(answer.headers["location"]).status_code == 200


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "/logout"])
def test_a_login_leads_to_no_other_place(app: FastAPI, wanted: str) -> None:
    browser = Browser(app)
    path = f"/login?next={wanted}"
    assert browser.post(path, token=token_in(browser.get(path)), key=ANNA).headers["location"] == "/"


@pytest.mark.parametrize(
    ("key", "said"), [("nonsense", "unknown"), (TILL, "the scope read"), (CLICKS, "a stream that this console shows")]
)
def test_a_key_that_opens_nothing_here_is_refused_and_not_repeated(app: FastAPI, key: str, said: str) -> None:
    browser = Browser(app)
    answer = browser.log_in(key)
    assert (answer.status_code, said in answer.text, key in answer.text) == (403, True, False)
    assert "weir_session" not in browser.cookies


def test_the_cookie_is_for_this_site_alone_and_new_at_each_login(app: FastAPI) -> None:
    browser = Browser(app)
    browser.cookies["weir_session"] = "planted"
    (first,) = [line for line in browser.log_in(ANNA).headers.get_list("set-cookie") if "weir_session" in line]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(first.split("; "))
    before = browser.cookies["weir_session"]
    assert before != "planted"
    browser.log_in(ANNA)
    assert browser.cookies["weir_session"] != before
    browser.cookies["weir_session"] = before
    assert browser.get(f"{BASE}/queue").status_code == 303, "the login before is ended"


def test_behind_https_the_cookie_never_travels_without_it(world: ConsoleWorld) -> None:
    browser = Browser(world.build(httpx.AsyncClient(base_url="http://127.0.0.1"), secure=True))
    lines = browser.log_in(ANNA).headers.get_list("set-cookie")
    assert all("Secure" in line and line.startswith("__Host-") for line in lines)


def test_a_session_ends_without_use_and_in_any_case(world: ConsoleWorld, anna: Browser) -> None:
    world.clock += IDLE_SECONDS - 1
    assert anna.get(f"{BASE}/queue").status_code == 200
    world.clock += IDLE_SECONDS - 1
    assert anna.get(f"{BASE}/queue", **{"hx-request": "true"}).status_code == 200
    world.clock += 2
    part = anna.get(f"{BASE}/queue", **{"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login?ended=1"), "a refresh is no use"
    anna.log_in(ANNA)
    for _ in range(int(SECONDS_MAX // IDLE_SECONDS)):
        world.clock += IDLE_SECONDS - 1
        anna.get(f"{BASE}/queue")
    world.clock += IDLE_SECONDS - 1
    assert anna.get(f"{BASE}/queue").status_code == 303


def test_a_revoked_key_ends_its_sessions(world: ConsoleWorld, anna: Browser) -> None:
    world.revoke(ANNA)
    assert anna.get(f"{BASE}/queue").status_code == 303


def test_a_key_that_logs_in_often_ends_its_own_oldest_session_alone(app: FastAPI, anna: Browser) -> None:
    first, *others = [Browser(app) for _ in range(11)]
    for browser in (first, *others):
        browser.log_in(BEN)
    assert first.get(f"{BASE}/queue").status_code == 303
    assert {browser.get(f"{BASE}/queue").status_code for browser in (anna, *others)} == {200}


@pytest.mark.parametrize("key", [TILL, CLICKS])
def test_a_key_that_may_not_log_in_ends_nobodys_session(app: FastAPI, world: ConsoleWorld, key: str) -> None:
    begun: list[str] = []
    world.sessions.begin = lambda text, *_: begun.append(text)  # type: ignore[assignment]
    assert Browser(app).log_in(key).status_code == 403
    assert begun == []


def test_sessions_that_ended_are_forgotten_at_the_next_login(app: FastAPI, world: ConsoleWorld, anna: Browser) -> None:
    world.clock += IDLE_SECONDS + 1
    Browser(app).log_in(BEN)
    assert [session.key.name for session in world.sessions._open.values()] == ["ben"]
    assert anna.get(f"{BASE}/queue").status_code == 303


def test_a_live_page_of_an_ended_session_is_told_so(app: FastAPI) -> None:
    answer = Browser(app).get(f"{BASE}/live/events", accept="text/event-stream")
    assert (answer.status_code, answer.text) == (200, "event: ended\ndata: {}\n\n")


def test_a_live_page_says_that_the_api_is_unreachable_and_asks_again(world: ConsoleWorld) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = httpx.AsyncClient(transport=httpx.MockTransport(fail), base_url="http://127.0.0.1")
    browser = Browser(world.build(client))
    browser.log_in(ANNA)
    assert browser.get(f"{BASE}/live/events").text == "retry: 3000\nevent: away\ndata: {}\n\n"


def test_a_logout_ends_the_session_on_the_server(anna: Browser) -> None:
    kept = dict(anna.cookies)
    anna.send("/logout", f"{BASE}/queue")
    anna.cookies = kept
    assert anna.get(f"{BASE}/queue").status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64])
@pytest.mark.parametrize("change", ["claim", "release", "notes", "links", "unlink", "verdict"])
def test_a_form_without_the_token_of_its_session_changes_nothing(
    world: ConsoleWorld, anna: Browser, case_id: str, change: str, token: str
) -> None:
    world.know(build_review("t2", "card-2", now_ms=world.now_ms))
    fields = {"text": "x", "verdict": "fraud", "reason": "x", "why": "x", "event": "t2"}
    answer = anna.post(f"{BASE}/cases/{case_id}/{change}", token=token, **fields)
    assert answer.status_code == 403
    assert [act.act for act in world.desk.show(case_id).acts] == ["opened"]
    assert anna.post(f"{BASE}/cases", token=token, **fields).status_code == 403
    assert world.list_undecided() == [case_id]


def test_a_token_of_another_session_is_none(app: FastAPI, anna: Browser, case_id: str) -> None:
    ben = Browser(app)
    ben.log_in(BEN)
    stolen = token_in(ben.get(f"{BASE}/queue"))
    assert anna.post(f"{BASE}/cases/{case_id}/claim", token=stolen).status_code == 403
    assert anna.post("/logout", token=stolen).status_code == 403
    assert Browser(app).post("/login", token=stolen, key=ANNA).status_code == 403


def test_a_case_is_claimed_noted_decided_and_corrected(world: ConsoleWorld, anna: Browser, case_id: str) -> None:
    page = f"{BASE}/cases/{case_id}"
    assert anna.send(f"{page}/claim", page).headers["location"] == page
    anna.send(f"{page}/notes", page, text="the shop\r\nis known")
    anna.send(f"{page}/verdict", page, verdict="fraud", reason="the customer called")
    anna.send(f"{page}/verdict", page, verdict="legitimate", reason="a receipt")
    file = world.desk.show(case_id)
    assert [(act.by, act.act, act.text) for act in file.acts[1:]] == [
        ("anna", "claimed", None),
        ("anna", "note", "the shop\nis known"),
        ("anna", "fraud", "the customer called"),
        ("anna", "legitimate", "a receipt"),
    ]


def test_a_case_is_opened_from_the_page_of_any_decision_which_then_leads_to_it(
    world: ConsoleWorld, anna: Browser
) -> None:
    world.know(build_review("t2", "card-2", now_ms=world.now_ms, decision="APPROVE", score=0.02))
    page = f"{BASE}/transaction?id=t2"
    assert "It is in no case" in anna.get(page).text
    refused = anna.send(f"{BASE}/cases", page, event="t2", reason="card 4111 1111 1111 1111")
    assert (refused.status_code, "without a card number" in refused.text) == (422, True)
    assert "card 4111" not in refused.text.partition("<textarea")[0]
    opened = anna.send(f"{BASE}/cases", page, event="t2", reason="the customer\r\ncalled")
    (case_id,) = world.list_undecided()
    assert (opened.status_code, opened.headers["location"]) == (303, f"{BASE}/cases/{case_id}")
    (act,) = world.desk.show(case_id).acts
    assert (act.by, act.act, act.text) == ("anna", "opened", "the customer\ncalled")
    shown = anna.get(page).text
    assert f'href="{BASE}/cases/{case_id}"' in shown
    assert "It is in no case" not in shown
    unknown = anna.send(f"{BASE}/cases", page, event="t404", reason="called")
    assert unknown.status_code == 404


def test_a_case_is_linked_to_others_and_shows_them_with_their_decisions(
    world: ConsoleWorld, anna: Browser, case_id: str
) -> None:
    world.know(build_review("t2", "card-2", now_ms=world.now_ms, decision="APPROVE", score=0.02, tags=["alert:MULE"]))
    page = f"{BASE}/cases/{case_id}"
    wrong = anna.send(f"{page}/links", page, event="t404", why="the same device")
    assert (wrong.status_code, "the same device" in wrong.text, 'value="t404"' in wrong.text) == (404, True, True)
    own = anna.send(f"{page}/links", page, event="t1", why="itself")
    assert (own.status_code, "one of this case&#39;s own" in own.text) == (409, True)
    assert anna.send(f"{page}/links", page, event=" t2 ", why="the same device").status_code == 303
    shown = anna.get(page).text
    assert re.search(r'id=t2">.*APPROVE.*0\.020.*anna</td><td>the same device', shown)
    assert anna.send(f"{page}/unlink", page, event="t2").status_code == 303
    assert world.desk.show(case_id).links == []
    assert [act.act for act in world.desk.show(case_id).acts] == ["opened", "linked", "unlinked"]


def test_an_alert_is_shown_with_the_decision_that_has_it(world: ConsoleWorld, anna: Browser) -> None:
    alert = build_review("t5", "card-5", now_ms=world.now_ms, decision="APPROVE", tags=["ODD", "alert:MULE"])
    (case_id,) = world.add([alert])
    page = anna.get(f"{BASE}/cases/{case_id}").text
    assert '<span class="badge">alert:MULE</span>' in page
    assert "ODD" not in page


def test_two_analysts_never_hold_one_case(app: FastAPI, anna: Browser, case_id: str) -> None:
    ben, page = Browser(app), f"{BASE}/cases/{case_id}"
    ben.log_in(BEN)
    anna.send(f"{page}/claim", page)
    refused = ben.send(f"{page}/claim", page)
    assert (refused.status_code, "Somebody else holds this case" in refused.text) == (409, True)
    typed = ben.send(f"{page}/notes", page, text="4111 1111 1111 1111 and more")
    assert (typed.status_code, "may be one" in typed.text) == (422, True)


def test_who_may_only_read_sees_no_button_and_changes_nothing(world: ConsoleWorld, app: FastAPI, case_id: str) -> None:
    rita, page = Browser(app), f"{BASE}/cases/{case_id}"
    rita.log_in(RITA)
    world.know(build_review("t2", "card-2", now_ms=world.now_ms))
    for path in (page, f"{BASE}/transaction?id=t2"):
        assert not re.search(
            "claim|unlink|link another|open a case", rita.get(path).text.lower().partition("<dialog")[0]
        )
    assert rita.send(f"{page}/claim", page).status_code == 403
    assert rita.send(f"{page}/links", page, event="t2", why="x").status_code == 403
    assert rita.send(f"{BASE}/cases", page, event="t2", reason="x").status_code == 403
    assert len(world.desk.show(case_id).acts) == 1


def test_only_an_administrator_takes_a_case_away(app: FastAPI, anna: Browser, case_id: str) -> None:
    lead, ben, page = Browser(app), Browser(app), f"{BASE}/cases/{case_id}"
    lead.log_in(LEAD)
    ben.log_in(BEN)
    anna.send(f"{page}/claim", page)
    assert ben.send(f"{page}/release", page, force="1").status_code == 403
    assert lead.send(f"{page}/release", page, force="1").status_code == 303


@pytest.mark.parametrize("path", ["queue", "live", "search", "cases/abc", "transaction?id=t", "entity?kind=card&id=c"])
def test_a_stream_of_others_is_as_none(anna: Browser, path: str) -> None:
    assert anna.get(f"/streams/clicks/{path}").status_code == anna.get(f"/streams/none/{path}").status_code == 404


def test_markup_in_ids_is_text_on_every_page(world: ConsoleWorld, anna: Browser) -> None:
    case_id = world.add([build_review(EVIL, EVIL, now_ms=world.now_ms, decided_by=EVIL, reasons=[
        {"code": EVIL, "detail": EVIL}], merchant_id=EVIL)])[0]  # fmt: skip
    asked, of_key = httpx.QueryParams(id=EVIL), httpx.QueryParams(key=EVIL)
    for path in ("queue", f"cases/{case_id}", f"transaction?{asked}", f"search?{asked}&kind=", f"queue?{of_key}"):
        answer = anna.get(f"{BASE}/{path}")
        assert "<script>alert" not in answer.text
        shown = re.sub(r' value="[^"]*"', "", answer.text)  # of a field, which nothing around it follows
        assert not re.search("[\u202e\x07]", shown), path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202egnp.exe\\x07" in anna.get(f"{BASE}/transaction?{asked}").text


def test_evidence_says_whether_the_decision_is_the_same_and_what_the_model_saw(
    world: ConsoleWorld, anna: Browser
) -> None:
    world.evidence["t1"] = build_evidence(payments) | {"features": {"vector": {"card_amount_sum_1h": 2_599.0}}}
    page = anna.get(f"{BASE}/evidence?id=t1").text
    assert "the decision is the same in every field" in page
    assert re.search("sum of amount</td>.*25.99 USD", page)
    assert "nothing of this transaction in the archive" in anna.get(f"{BASE}/evidence?id=t2").text


def test_every_answer_binds_the_browser(anna: Browser) -> None:
    for path in ("/login", f"{BASE}/queue", f"{BASE}/nothing", "/nothing"):
        headers = anna.get(path).headers
        policy = headers["content-security-policy"]
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        assert "unsafe" not in policy
        assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")
        assert headers["x-request-id"]


def test_no_page_holds_a_script_or_a_style_of_its_own(anna: Browser, case_id: str) -> None:
    for path in ("queue", f"cases/{case_id}", "transaction?id=t1", "live", "search"):
        page = anna.get(f"{BASE}/{path}").text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page), path
        assert not re.search(r'(src|href)="(https?:)?//', page), path


def test_while_the_database_is_away_the_page_says_so(world: ConsoleWorld, app: FastAPI) -> None:
    world.send_database_away()
    browser = Browser(app)
    browser.log_in(ANNA)
    answer = browser.get(f"{BASE}/queue")
    assert (answer.status_code, "database: nobody answers" in answer.text) == (503, True)


def test_while_the_database_is_away_a_decision_is_shown_all_the_same(
    world: ConsoleWorld, anna: Browser, case_id: str
) -> None:
    assert case_id
    world.send_database_away()
    answer = anna.get(f"{BASE}/transaction?id=t1")
    assert (answer.status_code, "database: nobody answers" in answer.text) == (200, True)
    assert "Open a case" not in answer.text
    world.know(build_review("t2", "card-2", now_ms=world.now_ms))
    sent = anna.send(f"{BASE}/cases", f"{BASE}/transaction?id=t2", event="t2", reason="called")
    assert (sent.status_code, "database: nobody answers" in sent.text) == (503, True)


def test_while_redis_is_away_decisions_say_so_and_cases_are_worked_on(
    world: ConsoleWorld, anna: Browser, case_id: str
) -> None:
    world.api.partials.away = "redis: nobody answers"
    answer = anna.get(f"{BASE}/transaction?id=t1")
    assert (answer.status_code, "redis" in answer.text) == (503, True)
    page = f"{BASE}/cases/{case_id}"
    assert anna.send(f"{page}/claim", page).status_code == 303


def test_an_api_that_does_not_answer_is_said(world: ConsoleWorld) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = httpx.AsyncClient(transport=httpx.MockTransport(fail), base_url="http://127.0.0.1")
    browser = Browser(world.build(client))
    browser.log_in(ANNA)
    answer = browser.get(f"{BASE}/queue")
    assert (answer.status_code, "the API does not answer" in answer.text) == (503, True)


def test_another_host_is_answered_nothing(world: ConsoleWorld) -> None:
    app = world.build(httpx.AsyncClient(), hosts=frozenset({"127.0.0.1", "localhost"}))
    assert Client(app).get("/login", headers={"host": "evil.example"}).status_code == 400


def test_without_keys_in_the_api_the_console_says_who_works(tmp_path: Path) -> None:
    world = ConsoleWorld(tmp_path, keyed=False)
    case_id = world.add([build_review("t1", "card-1", now_ms=world.now_ms)])[0]
    api = httpx.AsyncClient(transport=httpx.ASGITransport(world.build_api()), base_url="http://127.0.0.1")
    anna, page = Browser(world.build(api)), f"{BASE}/cases/{case_id}"
    anna.log_in(ANNA)
    assert anna.send(f"{page}/claim", page).status_code == 303
    assert world.desk.show(case_id).case.holder == "anna"
    world.close()
