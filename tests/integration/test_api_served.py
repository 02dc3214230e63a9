"""`weir serve` with keys, as its own process on real servers, asked by a real HTTP client."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.services import Services, log_of
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.published.rules_twin import GOOD
from tests.unit.infra.user_files.files import write_csv
from weir.infra.settings import Settings

pytestmark = pytest.mark.server
ACTING = "=cmd|' /C calc'!A0"
Ask = Callable[..., httpx.Response]


@pytest.fixture
def services(deployment: Settings, tmp_path: Path) -> Iterator[Services]:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    with_keys = deployment.api.model_copy(update={"keys": "required"})
    running = Services(deployment.model_copy(update={"home": tmp_path, "api": with_keys}), tmp_path / "logs")
    yield running
    running.stop()


def make_key(services: Services, name: str, *scopes: str) -> str:
    return services.run("keys", "create", name, "--scopes", ",".join(scopes)).strip()


@pytest.fixture
def client(services: Services) -> Iterator[httpx.Client]:
    key = make_key(services, "lead", "admin")
    address = log_of(services.start("serve", "--port", "0", ready="serving http")).partition("serving ")[2].split()[0]
    with httpx.Client(base_url=address.rstrip(":"), headers={"x-api-key": key}, timeout=30, trust_env=False) as made:
        yield made


def build_events() -> list[dict[str, Any]]:
    event = TRANSACTION | {"event_time_ms": int(time.time() * 1_000) - 60_000}
    return [event | {"transaction_id": each} for each in (ACTING, *(f"t{number}" for number in range(99)))]


def send(services: Services, client: httpx.Client, body: bytes, kind: str) -> dict[str, Any]:
    """Send a file, follow its progress, and return what is known of it at its end."""
    answer = client.post("/v1/uploads", content=body, headers={"content-type": kind})
    assert answer.status_code == 202
    seen: list[dict[str, Any]] = []

    def has_ended() -> bool:
        seen.append(client.get(answer.headers["location"]).json())
        return seen[-1]["state"] in {"done", "failed"}

    services.await_true(has_ended, "the upload")
    assert [each["rows"] for each in seen] == sorted(each["rows"] for each in seen)
    return seen[-1] | {"path": answer.headers["location"]}


def test_files_are_scored_and_given_back_without_a_formula(
    services: Services, client: httpx.Client, tmp_path: Path
) -> None:
    events = build_events()
    sent = send(services, client, write_csv(tmp_path / "day.csv", events).read_bytes(), "text/csv")
    assert (sent["state"], sent["rows"], sent["rows_total"], sent["rows_with_error"]) == ("done", 100, 100, 0)
    answer = client.get(f"{sent['path']}/result")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["transaction_id"] for row in rows] == [f"'{ACTING}", *(each["transaction_id"] for each in events[1:])]
    lone = client.post("/v1/score", json=events[1]).json()
    assert (float(rows[1]["score"]), rows[1]["decision"]) == (lone["score"], lone["decision"])

    pq.write_table(pa.Table.from_pylist(events), tmp_path / "day.parquet")
    kind = "application/vnd.apache.parquet"
    sent = send(services, client, (tmp_path / "day.parquet").read_bytes(), kind)
    assert (sent["state"], sent["rows"], sent["rows_with_error"]) == ("done", 100, 0)
    answer = client.get(f"{sent['path']}/result")
    assert answer.headers["content-type"] == kind
    found = pq.read_table(pa.BufferReader(answer.content)).to_pylist()
    assert [each["transaction_id"] for each in found] == [each["transaction_id"] for each in events]  # nothing runs it
    assert [each["score"] for each in found] == [float(row["score"]) for row in rows]

    wrong = send(services, client, ";".join(events[0]).encode() + b"\n", "text/csv")
    assert (wrong["state"], "separate them by a comma" in wrong["problem"]) == ("failed", True)
    assert client.delete(sent["path"]).status_code == 204
    assert client.get(sent["path"]).status_code == 404


def test_changes_are_told_once_and_calls_with_their_results(services: Services, client: httpx.Client) -> None:
    make_key(services, "till", "score")
    till = next(each for each in client.get("/v1/keys").json()["keys"] if each["name"] == "till")
    assert client.post("/v1/rules/check", json={"text": GOOD}).status_code == 200
    services.await_true(lambda: publish(client) == "publish", "the rules to be published")
    assert client.post(f"/v1/keys/{till['id']}/revoke", json={}).status_code == 200
    assert client.post("/v1/rules/rollback", json={"version": "ffff", "why": "too few"}).status_code == 404

    def calls() -> list[tuple[str, str, int | None]]:
        found = client.get("/v1/audit", params={"limit": 500}).json()["calls"]
        return [(each["phase"], each["route"], each["status"]) for each in found if each["phase"] != "call"]

    services.await_true(lambda: len(calls()) >= 4, "the calls in the log")
    assert ("result", "/v1/keys/{key_id}/revoke", 200) in calls()
    assert ("result", "/v1/rules/rollback", 404) in calls()
    assert [phase for phase, _, _ in calls() if phase == "intent"] == []
    lines = services.run("audit", "changes", "--json").splitlines()
    found = sorted((each["what"], each["of"].split()[0], each["outcome"]) for each in map(json.loads, lines))
    assert found == [
        ("POST", "/v1/rules/rollback", "404"),
        ("create", "key", "done"),
        ("create", "key", "done"),
        ("publish", "rules", "done"),
        ("revoke", "key", "done"),
    ]


def publish(client: httpx.Client) -> str | None:
    answer = client.post("/v1/rules", json={"text": GOOD, "why": "nobody buys at night"})
    assert answer.status_code in {200, 202}, answer.text
    action: str | None = answer.json()["action"]
    return action
