"""Good requests that score, decide, search and look up, and those of the process; see ``good_requests.py``."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from tests.integration.good_requests import Asking, good
from tests.integration.test_cases_live import CARD, SHOP
from tests.unit.inference.examples import TRANSACTION

REVIEWED = "t2"
"""An event of the card that flies."""
UPLOAD = "POST /v1/uploads"


def build_event(**changes: Any) -> dict[str, Any]:
    """Return a payment of now."""
    return TRANSACTION | {"event_time_ms": int(time.time() * 1_000)} | changes


@good("GET /healthz")
def _ask_for_health(ask: Asking) -> None:
    assert ask().json() == {"alive": True}


@good("GET /readyz")
def _ask_for_readiness(ask: Asking) -> None:
    assert ask().json()["ready"] is True


@good("GET /openapi.json")
def _ask_for_the_document(ask: Asking) -> None:
    assert ask().json()["openapi"].startswith("3.")


@good("GET /")
def _ask_for_the_start(ask: Asking) -> None:
    assert "weir" in ask().text


@good("GET /docs")
def _ask_for_the_page_of_the_document(ask: Asking) -> None:
    assert "swagger" in ask().text


@good("GET /metrics")
def _ask_for_metrics(ask: Asking) -> None:
    assert "weir_" in ask().text


@good("GET /v1/features/{entity}/{entity_id}")
def _ask_for_features(ask: Asking) -> None:
    found = ask.until(lambda answer: answer.json()["known"], entity="merchant", entity_id=SHOP)
    assert found["features"]["merchant_event_count_1h"] is not None


@good("GET /v1/decisions/{transaction_id}")
def _ask_for_a_decision(ask: Asking) -> None:
    found = ask.until(lambda _: True, transaction_id=REVIEWED)
    assert (found["transaction_id"], found["card_id"], found["decision"]) == (REVIEWED, CARD, "REVIEW")


@good("GET /v1/decisions")
def _search(ask: Asking) -> None:
    found = ask.until(lambda answer: bool(answer.json()["decisions"]), params={"card": CARD, "decision": "REVIEW"})
    assert REVIEWED in {each["transaction_id"] for each in found["decisions"]}
    (asked,) = ask(params={"request_id": "order-7"}).json()["decisions"]
    assert asked["transaction_id"] == "asked"


@good("GET /v1/decisions/live")
def _watch(ask: Asking) -> None:
    with ask.stream() as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "event: state" in (line for line in answer.iter_lines())


@good("GET /v1/metrics/daily")
def _ask_for_days(ask: Asking) -> None:
    found = ask.until(lambda answer: bool(answer.json()["days"]))
    assert "REVIEW" in {name for day in found["days"] for name in day["outcomes"]}


@good("GET /v1/links/{transaction_id}")
def _ask_for_links(ask: Asking) -> None:
    found = ask.until(lambda _: True, transaction_id=REVIEWED)
    assert (found["id"], found["key"]) == (REVIEWED, CARD)
    assert {each["entity"] for each in found["ids"]} >= {"device", "merchant"}


@good("GET /v1/normal/{transaction_id}")
def _ask_for_the_normal(ask: Asking) -> None:
    found = ask.until(lambda _: True, transaction_id=REVIEWED)
    assert (found["id"], found["key"], found["rows"] >= 1) == (REVIEWED, CARD, True)


@good("GET /v1/evidence/{transaction_id}")
def _ask_for_evidence(ask: Asking) -> None:
    found = ask.until(lambda _: True, transaction_id=REVIEWED)
    assert found["decision"]["recorded"]["decision"] == "REVIEW"


@good("GET /v1/quality")
def _ask_for_quality(ask: Asking) -> None:
    assert ask().json()["days"]


@good("POST /v1/score")
def _score(ask: Asking) -> None:
    found = ask(json=build_event()).json()
    assert found["decision"] in {"APPROVE", "REVIEW", "DECLINE"}
    assert found["published"] is None


@good("POST /v1/score/batch")
def _score_many(ask: Asking) -> None:
    found = ask(json={"events": [build_event(transaction_id=f"t{number}") for number in range(3)]}).json()
    assert [each["transaction_id"] for each in found["scores"]] == ["t0", "t1", "t2"]


@good("POST /v1/models/{version}/score")
def _score_by_a_model(ask: Asking) -> None:
    found = ask(version="champion", json=build_event()).json()
    assert found["model"] == ask(version="tiny", json=build_event()).json()["model"] == {"name": "tiny", "version": "1"}


@good("POST /api/v1/inference/{model}")
def _score_by_a_name(ask: Asking) -> None:
    found = ask(model="tiny", json=build_event()).json()
    assert (found["model"]["name"], found["published"]) == ("tiny", None)


@good("POST /api/v1/inference/batch-process")
def _score_many_by_a_name(ask: Asking) -> None:
    events = [build_event(transaction_id=f"t{number}") for number in range(3)]
    for params in ({}, {"model": "tiny"}):
        found = ask(params=params, json={"events": events}).json()
        assert [each["model"]["name"] for each in found["scores"]] == ["tiny"] * 3


@good("POST /v1/decide")
def _decide(ask: Asking) -> None:
    event_id = f"decided-{next(ask.lab.numbers)}"
    found = ask(params={"wait_ms": 10_000}, json=build_event(transaction_id=event_id))
    assert (found.status_code, found.json()["transaction_id"]) == (200, event_id)


def _upload(ask: Asking) -> str:
    event = build_event()
    content = f"{','.join(event)}\n{','.join(map(str, event.values()))}\n"
    found = ask(UPLOAD, content=content, headers={"content-type": "text/csv"})
    assert found.status_code == 202
    return str(found.json()["id"])


def _find_upload(ask: Asking) -> str:
    """Return the id of an upload; each starts a process."""
    return ask.lab.find("uploads", partial(_upload, ask))


@good(UPLOAD)
def _send_a_file(ask: Asking) -> None:
    ask.lab.stock.setdefault("uploads", []).append(_upload(ask))


@good("GET /v1/uploads")
def _list_uploads(ask: Asking) -> None:
    upload = _find_upload(ask)
    assert upload in {each["id"] for each in ask().json()["uploads"]}


@good("GET /v1/uploads/{upload_id}")
def _follow_an_upload(ask: Asking) -> None:
    found = ask.until(lambda answer: answer.json()["state"] == "done", upload_id=_find_upload(ask))
    assert (found["rows"], found["rows_with_error"]) == (1, 0)


@good("GET /v1/uploads/{upload_id}/result")
def _fetch_a_result(ask: Asking) -> None:
    upload = _find_upload(ask)
    asking = Asking(ask.lab, "GET /v1/uploads/{upload_id}", ask.prefix)
    asking.until(lambda answer: answer.json()["state"] == "done", upload_id=upload)
    head, row = ask(upload_id=upload).text.splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["decision"] == "APPROVE"


@good("DELETE /v1/uploads/{upload_id}")
def _delete_an_upload(ask: Asking) -> None:
    upload = ask.lab.take("uploads", partial(_upload, ask))
    assert ask(upload_id=upload).status_code == 204
    assert ask.send("GET /v1/uploads/{upload_id}", ask.lab.client, {"upload_id": upload}).status_code == 404
