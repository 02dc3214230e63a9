"""What the API answers without keys, before an upgrade and after it: a client that is never touched asks the same."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, NamedTuple

from tests.upgrade.sender import build_payment

JSON = "application/json"
SAME = frozenset(
    {
        "transaction_id", "card_id", "decision", "score", "model", "model_name", "model_version", "declarations_hash",
        "degraded", "late", "event_time_ms", "published", "entity", "id", "known", "complete", "incomplete_units",
        "source_partition", "source_offset", "alive",
    }
)  # fmt: skip
"""Members of an answer whose values depend on nothing but what is in the home; of others the type stays."""
BODY_BYTES_MAX = 1_000_000


class Question(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes | None = None
    kind: str = JSON


class Told(NamedTuple):
    """Its answer."""

    status: int
    kind: str
    document: Any


def build_questions(decided: int) -> list[Question]:
    """Return requests about a home whose payments have the numbers below this one, good ones and wrong ones."""
    now_ms = int(time.time() * 1_000)
    event = {name: value for name, value in build_payment(decided + 1, now_ms).items() if value is not None}
    repeated = {name: value for name, value in build_payment(decided - 1, now_ms).items() if value is not None}
    unnamed = {name: value for name, value in event.items() if name != "amount_minor"}
    scores = [event, repeated, unnamed, event | {"currency": "EURO"}, event | {"card_id": "4111111111111111"}]
    return [
        *(Question("GET", path) for path in ("/healthz", "/v1/models", "/v1/nothing", "/nothing")),
        *(Question("GET", f"/v1/decisions/{each}") for each in ("tx-7", "nothing", "4111111111111111")),
        *(Question("GET", f"/v1/features/{each}") for each in ("card/card-7", "planet/mars", "card/4111111111111111")),
        *(Question("POST", "/v1/score", json.dumps(each).encode()) for each in scores),
        Question("POST", "/v1/score", b"{"),
        Question("POST", "/v1/score", b"[]"),
        Question("POST", "/v1/score", json.dumps(event).encode(), "text/plain"),
        Question("POST", "/v1/score", b" " * (BODY_BYTES_MAX + 100_000)),
        Question("DELETE", "/v1/score"),
    ]


def ask(port: int, questions: list[Question]) -> list[Told]:
    """Ask them one after another, each over a connection of its own."""
    return [_ask(port, each) for each in questions]


def _ask(port: int, question: Question) -> Told:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {} if question.body is None else {"content-type": question.kind}
        connection.request(question.method, question.path, question.body, headers)
        answer = connection.getresponse()
        return Told(answer.status, answer.headers["content-type"], json.loads(answer.read()))
    finally:
        connection.close()


def list_changes(before: Told, after: Told) -> list[str]:
    """Return what a client that knows an answer of before would find changed; more members are none."""
    found = [f"{name}: {old} -> {new}" for name, old, new in zip(Told._fields[:2], before, after, strict=False)
             if old != new]  # fmt: skip
    if before.status >= 400:
        return found + _list_error_changes(before.document["error"], after.document["error"])
    for name, old in before.document.items():
        new = after.document.get(name)
        if name not in after.document or type(old) is not type(new):
            found.append(f"{name}: {type(old).__name__} -> {type(new).__name__}")
        elif name in SAME and old != new:
            found.append(f"{name}: {old} -> {new}")
    return found


def _list_error_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what changed in an error but for its text, which no client reads."""
    found = [f"error.{name} is gone" for name in old if name not in new]
    if old["code"] != new["code"]:
        found.append(f"error.code: {old['code']} -> {new['code']}")
    named = [[field["field"] for field in each.get("fields", ())] for each in (old, new)]
    return found + ([] if named[0] == named[1] else [f"error.fields: {named[0]} -> {named[1]}"])
