"""Cases over HTTP, on a SQLite file: the queue, what people do, and labels of others."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.test_api import CARD_NUMBER, NOW_MS, World
from tests.unit.inference.twins import Client, MemoryPublisher
from weir.access.key import Scope, build_key
from weir.cases import links
from weir.cases.case import Review
from weir.cases.desk import Desk
from weir.cases.intake import Intake
from weir.inference.api.app import build_api
from weir.infra.database.engine import open_database
from weir.infra.settings import load_settings
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments

LABEL = {
    "transaction_id": "t1",
    "card_id": "c1",
    "merchant_id": "m1",
    "event_time_ms": NOW_MS - 5_000,
    "is_fraud": True,
    "source": "chargeback",
}
ANNA = {"by": "anna"}
AFTER_A_ZERO = "WzEuMCwiYVx1MDAwMCJd"
"""A cursor whose case has a zero character in its id, which PostgreSQL takes for no text."""


class Cases:
    """An API with three cases."""

    def __init__(self, home: Path) -> None:
        settings = load_settings({"WEIR_HOME": str(home)})
        engine = open_database(settings)
        intake = Intake(engine, stream=payments.full_name, topic_id="topic", burst_ms=0)
        intake.take([_review(number) for number in range(3)], {0: 3})
        engine.dispose()
        self.known: dict[str, Review] = {}
        """Decisions that are found by the ids of their events."""
        self.desk = Desk(
            partial(open_database, settings), payments, lambda: NOW_MS, find=self.known.get, burst_ms=60_000
        )
        self.labels = MemoryPublisher()
        self.world = World(home)
        self.served = replace(self.world.served, desk=self.desk, labels=self.labels)
        self.client = self.open()

    def open(self, **parts: Any) -> Client:
        return Client(build_api(replace(self.world.parts, streams=[self.served], **parts)))

    def ids(self, query: str = "") -> list[str]:
        return [case["id"] for case in self.client.get(f"/v1/cases{query}").json()["cases"]]

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(f"/v1/cases/{path}", json=body)


def _review(number: int) -> Review:
    event = {"transaction_id": f"t{number}", "card_id": f"c{number}", "merchant_id": "m", "event_time_ms": 5}
    return Review(f"c{number}", f"t{number}", NOW_MS, NOW_MS + 40, float(number), event, event)


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[Cases]:
    made = Cases(tmp_path)
    with closing(made.desk), closing(made.world.guard):
        yield made


def test_the_queue_is_paged_costliest_first_and_filtered(cases: Cases) -> None:
    first = cases.client.get("/v1/cases?limit=2").json()
    assert [case["key"] for case in first["cases"]] == ["c2", "c1"]
    last = cases.client.get("/v1/cases", params={"limit": 2, "after": first["next"]}).json()
    assert ([case["key"] for case in last["cases"]], last["next"]) == (["c0"], None)
    cases.post(f"{cases.ids()[0]}/claim", **ANNA)
    assert len(cases.ids("?state=open")) == 2
    assert len(cases.ids("?state=open&state=claimed")) == 3
    assert cases.ids("?holder=anna") == cases.ids("?key=c2")


@pytest.mark.parametrize(
    "query",
    ["after=nonsense", f"after={AFTER_A_ZERO}", "limit=0", "limit=501", "state=lost", "verdict=maybe"],
)
def test_a_question_that_makes_no_sense_is_refused(cases: Cases, query: str) -> None:
    assert cases.client.get(f"/v1/cases?{query}").status_code == 422


def test_a_case_is_claimed_noted_decided_and_corrected(cases: Cases) -> None:
    case_id = cases.ids()[0]
    assert cases.post(f"{case_id}/verdict", **ANNA, verdict="fraud", reason="called").status_code == 409
    assert cases.post(f"{case_id}/claim", **ANNA).json()["state"] == "claimed"
    refused = cases.post(f"{case_id}/claim", by="ben")
    assert (refused.status_code, "case_held" in refused.text, "anna" in refused.text) == (409, True, False)
    assert cases.post(f"{case_id}/release", by="ben", force=True).json()["holder"] is None
    cases.post(f"{case_id}/claim", by="ben")
    cases.post(f"{case_id}/notes", **ANNA, text="the shop is known")
    assert cases.post(f"{case_id}/verdict", by="ben", verdict="fraud", reason="called").json()["version"] == 1
    assert cases.post(f"{case_id}/verdict", **ANNA, verdict="legitimate", reason="receipt").json()["version"] == 2
    file = cases.client.get(f"/v1/cases/{case_id}").json()
    assert file["decisions"][0]["transaction_id"] == "t2"
    done = ["opened", "claimed", "released", "claimed", "note", "fraud", "legitimate"]
    assert [act["act"] for act in file["acts"]] == done


def test_an_analyst_opens_a_case_of_any_decision_and_the_same_again_answers_the_same_case(cases: Cases) -> None:
    cases.known["t9"] = _review(9)
    body = {**ANNA, "transaction_id": "t9", "reason": "the customer called"}
    opened = cases.client.post("/v1/cases", json=body)
    assert (opened.status_code, opened.json()["state"], opened.json()["key"]) == (201, "open", "c9")
    assert opened.json()["opened_ms"] == NOW_MS
    again = cases.client.post("/v1/cases", json=body | {"by": "ben"})
    assert (again.status_code, again.json()) == (200, opened.json())
    case_id = opened.json()["id"]
    assert cases.ids("?event=t9") == [case_id]
    assert cases.ids("?event=t404") == []
    file = cases.client.get(f"/v1/cases/{case_id}").json()
    assert [(act["by"], act["act"], act["text"]) for act in file["acts"]] == [("anna", "opened", "the customer called")]
    cases.post(f"{case_id}/claim", **ANNA)
    cases.post(f"{case_id}/verdict", **ANNA, verdict="fraud", reason="called")
    closed = cases.client.post("/v1/cases", json=body)
    assert (closed.status_code, closed.json()["id"], closed.json()["verdict"]) == (200, case_id, "fraud")


def test_what_an_analyst_opens_joins_the_case_of_its_burst_and_says_why(cases: Cases) -> None:
    near = _review(1)
    cases.known["t1b"] = replace(near, event_id="t1b", event_ms=near.event_ms + 60_000)
    body = {**ANNA, "transaction_id": "t1b", "reason": "the same shop"}
    (case_id,) = cases.ids("?event=t1")
    joined = cases.client.post("/v1/cases", json=body)
    assert (joined.status_code, joined.json()["id"], joined.json()["events"]) == (201, case_id, 2)
    acts = cases.client.get(f"/v1/cases/{case_id}").json()["acts"]
    assert [(act["by"], act["act"], act["text"]) for act in acts[1:]] == [("anna", "added", "the same shop")]


def test_a_case_is_linked_to_other_events_and_the_links_are_taken_away(cases: Cases) -> None:
    cases.known |= {f"t{number}": _review(number) for number in (0, 1, 9)}
    (case_id,), (other,) = cases.ids("?event=t0"), cases.ids("?event=t1")
    for event_id in ("t9", "t1", "t9"):
        answer = cases.post(f"{case_id}/links", **ANNA, transaction_id=event_id, reason="the same device")
        assert (answer.status_code, answer.json()["events"]) == (200, 1)
    file = cases.client.get(f"/v1/cases/{case_id}").json()
    told = [(link["id"], link["case_id"], link["decision"]["card_id"], link["reason"]) for link in file["related"]]
    assert told == [("t1", other, "c1", "the same device"), ("t9", None, "c9", "the same device")]
    for _ in range(2):
        assert cases.post(f"{case_id}/unlink", **ANNA, transaction_id="t9").status_code == 200
    file = cases.client.get(f"/v1/cases/{case_id}").json()
    assert [link["id"] for link in file["related"]] == ["t1"]
    assert [(act["act"], act["text"]) for act in file["acts"][1:]] == [
        ("linked", "t9: the same device"),
        ("linked", "t1: the same device"),
        ("unlinked", "t9"),
    ]
    own = cases.post(f"{case_id}/links", **ANNA, transaction_id="t0", reason="itself")
    assert (own.status_code, own.json()["error"]["code"]) == (409, "in_case")


def test_a_case_has_so_many_links_and_no_more(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "LINKS_MAX", 2)
    cases.known |= {f"t{number}": _review(number) for number in range(5, 9)}
    (case_id,) = cases.ids("?event=t0")
    answers = [
        cases.post(f"{case_id}/links", **ANNA, transaction_id=event_id, reason="near") for event_id in cases.known
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 409, 409]
    assert answers[2].json()["error"]["code"] == "links_full"


def test_an_event_without_a_decision_opens_no_case_and_is_linked_to_none(cases: Cases) -> None:
    (case_id,) = cases.ids("?event=t0")
    event = {**ANNA, "transaction_id": "t404", "reason": "called"}
    for answer in (cases.client.post("/v1/cases", json=event), cases.post(f"{case_id}/links", **event)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_decision")
        assert "t404" not in answer.text
    cases.known["t9"] = _review(9)
    answer = cases.post("nothing/links", **event | {"transaction_id": "t9"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_case")
    assert len(cases.ids()) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "transaction_id"),
        ({"transaction_id": 7}, "transaction_id"),
        ({"transaction_id": ""}, "transaction_id"),
        ({"transaction_id": "x" * 1_000}, "transaction_id"),
        ({"transaction_id": CARD_NUMBER}, "transaction_id"),
        ({"transaction_id": "t9", "reason": " "}, "reason"),
        ({"transaction_id": "t9", "reason": CARD_NUMBER}, "reason"),
        ({"transaction_id": "t9", "key": "c1"}, "$"),
    ],
)
def test_what_is_wrong_in_a_request_for_a_case_is_named_and_not_repeated(
    cases: Cases, body: dict[str, Any], field: str
) -> None:
    (case_id,) = cases.ids("?event=t0")
    given = {**ANNA, "reason": "called", **body}
    for answer in (cases.client.post("/v1/cases", json=given), cases.post(f"{case_id}/links", **given)):
        assert (answer.status_code, CARD_NUMBER in answer.text) == (422, False)
        assert f'"{field}"' in answer.text
    assert cases.client.post("/v1/cases", content=b'{"by":"anna"}').status_code == 415


def test_while_what_knows_decisions_is_unreachable_no_case_is_opened_and_others_are_worked_on(cases: Cases) -> None:
    def away(_: str) -> Any:
        raise Transient("redis: nobody answers")

    cases.desk._find_review = away
    answer = cases.client.post("/v1/cases", json={**ANNA, "transaction_id": "t9", "reason": "called"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert cases.post(f"{cases.ids()[0]}/claim", **ANNA).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("claim", {}, "by"),
        ("claim", {"by": ""}, "by"),
        ("claim", {"by": "x" * 81}, "by"),
        ("claim", {"by": "anna", "force": True}, "$"),
        ("release", {"by": "anna", "force": "yes"}, "force"),
        ("notes", {"by": "anna", "text": CARD_NUMBER}, "text"),
        ("verdict", {"by": "anna", "reason": "called"}, "verdict"),
        ("verdict", {"by": "anna", "verdict": "maybe", "reason": "called"}, "verdict"),
        ("verdict", {"by": "anna", "verdict": "fraud", "reason": "\x1b[31m"}, "reason"),
        ("verdict", {"by": "anna", "verdict": "fraud", "reason": "x" * 2_001}, "reason"),
    ],
)
def test_what_is_wrong_in_a_request_is_named_and_not_repeated(
    cases: Cases, path: str, body: dict[str, Any], field: str
) -> None:
    answer = cases.post(f"{cases.ids()[0]}/{path}", **body)
    assert (answer.status_code, CARD_NUMBER in answer.text) == (422, False)
    assert f'"{field}"' in answer.text


def test_a_form_of_another_page_claims_nothing(cases: Cases) -> None:
    answer = cases.client.post(f"/v1/cases/{cases.ids()[0]}/claim", content=b'{"by":"anna"}')
    assert answer.status_code == 415


def test_a_case_that_is_not_there_is_unknown(cases: Cases) -> None:
    assert cases.client.get("/v1/cases/nothing").status_code == 404
    assert cases.client.get("/v1/cases/no%00thing").status_code == 404
    assert cases.post("nothing/claim", **ANNA).status_code == 404


def test_with_keys_the_key_says_who_and_only_an_administrator_forces(cases: Cases) -> None:
    keys = {
        "a": build_key("0" * 8, b"", "anna", [Scope.REVIEW], (), now_ms=0, by="ops"),
        "l": build_key("1" * 8, b"", "lead", [Scope.ADMIN], (), now_ms=0, by="ops"),
    }
    client, case_id = cases.open(find_key=keys.get), cases.ids()[0]

    def post(key: str, path: str, **body: Any) -> Any:
        return client.post(f"/v1/cases/{case_id}/{path}", json=body, headers={"x-api-key": key})

    assert post("a", "claim", by="ben").status_code == 422
    assert post("a", "claim").json()["holder"] == "anna"
    assert post("a", "release", force=True).status_code == 403
    assert post("l", "release", force=True).json()["holder"] is None


def test_while_the_database_is_unreachable_cases_answer_so_and_others_do_not(cases: Cases) -> None:
    def away() -> Any:
        raise Transient("database: nobody answers")

    cases.served = replace(cases.served, desk=Desk(away, payments, lambda: NOW_MS))
    cases.world.parts = replace(cases.world.parts, streams=[cases.served])
    client = cases.open()
    assert client.get("/v1/cases").status_code == 503
    assert client.get("/v1/models").status_code == 200


def test_a_label_goes_to_the_labels_with_its_time(cases: Cases) -> None:
    answer = cases.client.post("/v1/labels", json=LABEL)
    assert answer.status_code == 200, answer.text
    assert cases.labels.published == [{**LABEL, "device_id": None, "label_time_ms": NOW_MS}]
    withdrawn = cases.client.post("/v1/labels", json=LABEL | {"is_fraud": None, "label_time_ms": NOW_MS + 1})
    assert withdrawn.status_code == 200
    assert cases.labels.published[-1]["is_fraud"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"source": None},
        {"is_fraud": "yes"},
        {"card_id": CARD_NUMBER},
        {"card_id": "unknown"},
        {"event_time_ms": 5},
        {"label_time_ms": NOW_MS + 2 * 86_400_000},
        {"amount": 1},
    ],
)
def test_a_label_that_would_be_a_dead_letter_is_refused(cases: Cases, changes: dict[str, Any]) -> None:
    answer = cases.client.post("/v1/labels", json=LABEL | changes)
    assert (answer.status_code, CARD_NUMBER in answer.text) == (422, False)
    assert cases.labels.published == []
