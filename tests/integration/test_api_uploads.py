"""Uploads behind real HTTP servers: several processes share them, and a large file may take its time to arrive."""

from __future__ import annotations

import csv
import io
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.test_http_connections import Child, await_true, error_of, head, read_answer, status_of
from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS
from weir.infra.uploads.job import ABANDONED

PATH = "/v1/uploads"
EVENT = TRANSACTION | {"event_time_ms": NOW_MS}
CSV = {"content-type": "text/csv"}


def build_file(*ids: str) -> bytes:
    written = io.StringIO()
    writer = csv.DictWriter(written, EVENT)
    writer.writeheader()
    writer.writerows(EVENT | {"transaction_id": each} for each in ids)
    return written.getvalue().encode()


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two processes with one folder of uploads."""
    monkeypatch.setenv("UPLOADS", str(tmp_path))
    with ExitStack() as started:
        found = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            found.append(Child(tmp_path / name))
            started.callback(found[-1].process.kill)
        yield found


def open_client(child: Child) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{child.port}", timeout=20, trust_env=False)


def test_processes_share_uploads_and_one_that_is_killed_leaves_none_running(children: list[Child]) -> None:
    with open_client(children[0]) as first, open_client(children[1]) as second:

        def find(upload: str) -> dict[str, Any]:
            found: dict[str, Any] = second.get(upload).json()
            return found

        done = first.post(PATH, content=build_file("t1", "t2"), headers=CSV).headers["location"]
        await_true(lambda: find(done)["finished_ms"] is not None)
        rows = list(csv.DictReader(io.StringIO(second.get(f"{done}/result").text)))
        scored = second.post("/v1/score/batch", json={"events": [EVENT | {"transaction_id": "t1"}]}).json()
        assert [row["transaction_id"] for row in rows] == ["t1", "t2"]
        assert float(rows[0]["score"]) == scored["scores"][0]["score"]

        running, deleted = (first.post(PATH, content=build_file("held"), headers=CSV) for _ in range(2))
        await_true(lambda: find(running.headers["location"])["state"] == "running")
        assert find(deleted.headers["location"])["state"] == "waiting"
        assert second.delete(deleted.headers["location"]).status_code == 204
        assert first.get(deleted.headers["location"]).status_code == 404
        children[0].process.send_signal(signal.SIGKILL)
        await_true(lambda: find(running.headers["location"])["state"] == "failed")
        assert find(running.headers["location"])["problem"] == ABANDONED
        assert sorted(each["state"] for each in second.get(PATH).json()["uploads"]) == ["done", "failed"]


def test_a_file_may_arrive_more_slowly_than_another_body(children: list[Child]) -> None:
    body = build_file("t1")
    with children[0].connect() as slow, children[0].connect() as other:
        slow.sendall(head(PATH, length=len(body)).replace(b"application/json", b"text/csv") + body[:10])
        other.sendall(head() + b"{")
        answer = read_answer(other)  # after the seconds that a body may take, which began later
        assert (status_of(answer), error_of(answer)) == (408, "too_slow")
        slow.sendall(body[10:])
        assert status_of(read_answer(slow)) == 202
