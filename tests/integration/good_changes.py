"""Good requests on cases, dead letters, keys, models, rules and lists; see ``good_requests.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.integration.good_requests import Asking, Good, good
from tests.integration.payments import build_label

RULES = "rules:\n- {name: costly, why: costs much, when: amount_minor >= %d, then: REVIEW}\n"
WHY = {"why": "a test"}
CASES, LETTERS = "GET /v1/cases", "GET /v1/dead-letters"


@good("GET /v1/models")
def _list_models(ask: Asking) -> None:
    assert "1" in {each["version"] for each in ask().json()["bundles"]}


@good("GET /v1/models/{version}")
def _show_a_model(ask: Asking) -> None:
    assert ask(version="1").json()["version"] == "1"


@good("GET /v1/models/{version}/thresholds")
def _show_thresholds(ask: Asking) -> None:
    found = ask.until(lambda _: True, version="1")
    assert found["thresholds"] == {"review": 0.5, "decline": 0.9}


@good("GET /v1/models/history")
def _list_choices(ask: Asking) -> None:
    version = ask.lab.find("shadow", ask.lab.stage)
    assert ("shadow", version) in {(each["role"], each["version"]) for each in ask().json()["history"]}


@good("POST /v1/models/rollback")
def _take_a_model_back(ask: Asking) -> None:
    found = ask(json=WHY | {"role": "shadow", "version": ask.lab.take("shadow", ask.lab.stage)}).json()
    assert (found["role"], found["action"]) == ("shadow", "rollback")


def _take_case(ask: Asking) -> str:
    """Return the id of a case that nobody holds."""
    (case,) = ask(CASES, params={"key": next(ask.lab.cards), "state": "open"}).json()["cases"]
    return str(case["id"])


@good(CASES)
def _list_cases(ask: Asking) -> None:
    _take_case(ask)


@good("GET /v1/cases/{case_id}")
def _show_a_case(ask: Asking) -> None:
    case = _take_case(ask)
    assert ask(case_id=case).json()["id"] == case


@good("POST /v1/cases/{case_id}/claim")
def _claim(ask: Asking) -> None:
    assert ask(case_id=_take_case(ask), json={}).json()["holder"] == "lead"


@good("POST /v1/cases/{case_id}/release")
def _release(ask: Asking) -> None:
    case = _take_case(ask)
    ask("POST /v1/cases/{case_id}/claim", case_id=case, json={})
    assert ask(case_id=case, json={}).json()["holder"] is None


@good("POST /v1/cases/{case_id}/notes")
def _note(ask: Asking) -> None:
    case = _take_case(ask)
    ask(case_id=case, json={"text": "the shop is known"})
    assert "the shop is known" in ask("GET /v1/cases/{case_id}", case_id=case).text


def _find_other_event(ask: Asking) -> str:
    """Return an event of none of the cards, once a decision on it can be looked up."""
    Asking(ask.lab, "GET /v1/decisions/{transaction_id}", ask.prefix).until(lambda _: True, transaction_id="asked")
    return "asked"


@good("POST /v1/cases")
def _open_a_case(ask: Asking) -> None:
    event_id = _find_other_event(ask)
    found = ask(json={"transaction_id": event_id, "reason": "the customer called"}).json()
    assert [found["id"]] == [case["id"] for case in ask(CASES, params={"event": event_id}).json()["cases"]]


@good("POST /v1/cases/{case_id}/links")
def _link(ask: Asking) -> None:
    case, event_id = _take_case(ask), _find_other_event(ask)
    ask(case_id=case, json={"transaction_id": event_id, "reason": "the same device"})
    assert [event_id] == [link["id"] for link in ask("GET /v1/cases/{case_id}", case_id=case).json()["related"]]


@good("POST /v1/cases/{case_id}/unlink")
def _unlink(ask: Asking) -> None:
    case, event_id = _take_case(ask), _find_other_event(ask)
    ask("POST /v1/cases/{case_id}/links", case_id=case, json={"transaction_id": event_id, "reason": "the same device"})
    ask(case_id=case, json={"transaction_id": event_id})
    assert ask("GET /v1/cases/{case_id}", case_id=case).json()["related"] == []


@good("POST /v1/cases/{case_id}/verdict")
def _decide_a_case(ask: Asking) -> None:
    case = _take_case(ask)
    ask("POST /v1/cases/{case_id}/claim", case_id=case, json={})
    found = ask(case_id=case, json={"verdict": "fraud", "reason": "the customer called"}).json()
    assert (found["state"], found["verdict"]) == ("closed", "fraud")


@good("POST /v1/labels")
def _label(ask: Asking) -> None:
    time_ms = int(time.time() * 1_000)
    label = build_label("t2", card_id="card-1", merchant_id="shop-1", event_time_ms=time_ms - 60_000)
    assert ask(json=label).json()["published"]["offset"] >= 0


@good(LETTERS)
def _list_letters(ask: Asking) -> None:
    found = ask(params={"reason": "unknown_currency"}).json()
    assert {each["reason"] for each in found["letters"]} == {"unknown_currency"}


@good(f"{LETTERS}/{{partition}}/{{offset}}")
def _show_a_letter(ask: Asking) -> None:
    assert ask(**_take_letter(ask)).json()["decoded"]["currency"] == "EURO"


@good("POST /v1/dead-letters/{partition}/{offset}/check")
def _check_a_letter(ask: Asking) -> None:
    assert ask(**_take_letter(ask), json={"set": {"currency": "EUR"}}).json()["outcome"] == "replayed"


@good("POST /v1/dead-letters/{partition}/{offset}/replay")
def _replay_a_letter(ask: Asking) -> None:
    place = _take_letter(ask)
    assert ask(**place, json={"set": {"currency": "EUR"}}).json()["changes"][0]["after"] == "EUR"
    assert ask(f"{LETTERS}/{{partition}}/{{offset}}", **place).json()["state"] == "replayed"


@good("POST /v1/dead-letters/{partition}/{offset}/discard")
def _discard_a_letter(ask: Asking) -> None:
    assert ask(**_take_letter(ask), json={}).json()["outcome"] == "discarded"


def _take_letter(ask: Asking) -> dict[str, Any]:
    partition, offset = next(ask.lab.letters)
    return {"partition": partition, "offset": offset}


@good("GET /v1/keys")
def _list_keys(ask: Asking) -> None:
    assert {"lead", "ben"} <= {each["name"] for each in ask().json()["keys"]}


@good("POST /v1/keys/{key_id}/revoke")
def _revoke_a_key(ask: Asking) -> None:
    text = ask.lab.services.run("keys", "create", "till", "--scopes", "score").strip()
    assert ask(key_id=text.split("_")[1], json={}).json()["valid"] is False


@good("GET /v1/audit")
def _list_calls(ask: Asking) -> None:
    found = ask.until(lambda answer: bool(answer.json()["calls"]))
    assert all(each["status"] is not None for each in found["calls"] if each["phase"] == "call")


@good("POST /v1/rules/check")
def _check_rules(ask: Asking) -> None:
    assert ask(json={"text": RULES % 15_000}).json()["faults"] == []


Propose = Callable[[Asking], str]


def _propose_rules(ask: Asking) -> str:
    return _propose(ask, "POST /v1/rules", WHY | {"text": RULES % (15_000 + next(ask.lab.numbers))})


def _propose_entries(ask: Asking) -> str:
    body = {"action": "add", "side": "block", "entity": "card", "entries": [f"card-{next(ask.lab.numbers)}"]}
    return _propose(ask, "POST /v1/lists/change", WHY | body | {"reason": "seen"})


def _propose(ask: Asking, label: str, body: dict[str, Any]) -> str:
    """Propose something, once it was tried on the past, and return the id of the proposal."""
    found = ask(label, json=body).json()
    if "proposal" not in found:  # it is still being tried
        found = Asking(ask.lab, label, ask.prefix).until(lambda answer: "proposal" in answer.json(), json=body)
    return str(found["proposal"])


@dataclass(frozen=True)
class Kind:
    """What rules and lists have both: each change of them is proposed by one person and settled by another.

    Attributes:
        change: where one is asked for, below the path of the kind.
        propose: makes a proposal; it is tried on the past, which takes a process of its own.
    """

    name: str
    change: str
    propose: Propose

    def enter(self) -> None:
        """Enter its good requests."""
        path, one = f"/v1/{self.name}", f"/v1/{self.name}/proposals/{{proposal_id}}"
        entries: dict[str, Good] = {
            f"GET {path}": self.show,
            f"POST {path}{self.change}": self.make,
            f"POST {path}/rollback": self.put_back,
            f"GET {path}/proposals": self.list_proposals,
            f"POST {one}/approve": self.approve,
            f"POST {one}/reject": self.reject,
        }
        for label, entry in entries.items():
            good(label)(entry)

    def show(self, ask: Asking) -> None:
        assert ask().json()["in_force"] is True

    def make(self, ask: Asking) -> None:
        ask.lab.stock.setdefault(self.name, []).append(self.propose(ask))

    def put_back(self, ask: Asking) -> None:
        found = ask(json=WHY | {"version": "none"}).json()
        assert (found["version"], found["action"]) == ("none", "rollback")

    def list_proposals(self, ask: Asking) -> None:
        proposal = ask.lab.find(self.name, partial(self.propose, ask))
        assert proposal in {each["id"] for each in ask().json()["proposals"]}

    def approve(self, ask: Asking) -> None:
        # those that were made before the first approval are outdated after it
        approved, propose = ask.lab.stock.setdefault(f"{self.name} approved", []), partial(self.propose, ask)
        proposal = propose() if approved else ask.lab.take(self.name, propose)
        approved.append(proposal)
        found = ask(client=ask.lab.second, proposal_id=proposal, json=WHY).json()
        assert found["proposal"] == proposal
        assert found["version"] in ask(f"GET /v1/{self.name}").text

    def reject(self, ask: Asking) -> None:
        proposal = ask.lab.take(self.name, partial(self.propose, ask))
        assert ask(client=ask.lab.second, proposal_id=proposal, json=WHY).json()["action"] == "reject"


Kind("rules", "", _propose_rules).enter()
Kind("lists", "/change", _propose_entries).enter()
