"""Files of events: scored as a job, each row as a batch of JSON would be, and never ahead of a lone request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World
from tests.unit.inference.test_api_idempotency import MemoryAnswers
from tests.unit.inference.test_together import PAYMENTS
from tests.unit.inference.twins import Client
from tests.unit.inference.uploading import (
    CSV,
    HOUR_MS,
    PARQUET,
    PATH,
    Rows,
    Uploads,
    payments,
    read_here,
    rows_of,
    wait_for_end,
)
from tests.unit.infra.user_files.files import GOOD, write_csv, write_parquet
from weir.inference.api.app import build_api
from weir.inference.api.uploads import scoring
from weir.inference.api.uploads.desk import WAITING_MAX
from weir.infra.uploads.job import ABANDONED
from weir.infra.uploads.reading import ToRead, read_in_child, read_rows
from weir.monitoring.metrics import REGISTRY
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments as stream

Build = Callable[[Rows], bytes]
"""Returns a CSV file of rows."""
HEADER, ROW = (",".join(map(str, each)).encode() for each in (GOOD, GOOD.values()))


@pytest.fixture
def uploads(world: World, tmp_path: Path) -> Iterator[Uploads]:
    made = Uploads(world, tmp_path)
    yield made
    made.desk.close()


@pytest.fixture
def file(tmp_path: Path) -> Build:
    return lambda rows: write_csv(tmp_path / "sent.csv", rows).read_bytes()


def flatten(scored: dict[str, Any]) -> dict[str, Any]:
    """Return of an answer of ``score/batch`` what a row of a result says."""
    if "error" in scored:
        return {"error": scored["error"]["message"]}
    return {
        "transaction_id": scored["transaction_id"],
        "decision": scored["decision"],
        "score": scored["score"],
        "reasons": " ".join(each["code"] for each in scored["reasons"]),
        "model": scored["model"]["name"],
        "model_version": scored["model"]["version"],
        "rules_version": scored["rules_version"],
    }


MANY = [TRANSACTION | {"event_time_ms": NOW_MS} | each for each in PAYMENTS]
"""Events of each kind: scored, repeated, out of range."""


def batch_answers(uploads: Uploads) -> list[dict[str, Any]]:
    scored = uploads.ask("POST", "/v1/score/batch", json={"events": MANY}).json()["scores"]
    return [flatten(each) for each in scored]


def test_every_row_is_answered_as_the_same_event_in_a_batch_and_in_order(uploads: Uploads, file: Build) -> None:
    job, result = uploads.run(file(MANY))
    assert (job["state"], job["rows"], job["rows_total"], job["rows_with_error"]) == ("done", 7, 7, 2)
    found = rows_of(result)
    assert [row["line"] for row in found] == [str(line) for line in range(2, 9)]
    for row, event, expected in zip(found, MANY, batch_answers(uploads), strict=True):
        assert row["transaction_id"] == event["transaction_id"]
        for name, value in expected.items():
            assert row[name] == str(value), name
        assert bool(row["error"]) == ("error" in expected)


def test_metrics_count_how_uploads_and_their_rows_end(uploads: Uploads, file: Build) -> None:
    def count() -> list[float]:
        outcomes = [("ended", "state", "done"), ("ended", "state", "failed")]
        outcomes += [("rows", "outcome", "scored"), ("rows", "outcome", "error")]
        names = {"ended": "weir_uploads_ended_total", "rows": "weir_upload_rows_total"}
        return [REGISTRY.get_sample_value(names[of], {label: value}) or 0.0 for of, label, value in outcomes]

    before = count()
    uploads.run(file(MANY))
    uploads.run(b"transaction_id\n")
    assert [after - each for after, each in zip(count(), before, strict=True)] == [1, 1, 5, 2]
    assert REGISTRY.get_sample_value("weir_uploads_under_way") == 0


def test_parquet_is_answered_in_parquet_with_the_same_rows(uploads: Uploads, tmp_path: Path) -> None:
    job, result = uploads.run(write_parquet(tmp_path / "sent.parquet", MANY).read_bytes(), PARQUET)
    assert (job["state"], job["form"]) == ("done", "parquet")
    assert result.headers["content-type"] == PARQUET["content-type"]
    (tmp_path / "got.parquet").write_bytes(result.content)
    found = pq.read_table(tmp_path / "got.parquet").to_pylist()
    for row, expected in zip(found, batch_answers(uploads), strict=True):
        assert {name: row[name] for name in expected} == expected
        assert (row["error"] is None) == ("error" not in expected)


def test_a_label_in_the_file_changes_nothing(uploads: Uploads, file: Build) -> None:
    _, plain = uploads.run(file(MANY))
    _, labelled = uploads.run(file([each | {"is_fraud": place % 2} for place, each in enumerate(MANY)]))
    assert labelled.text == plain.text


def test_a_row_that_is_no_event_has_one_sentence_without_its_values(uploads: Uploads, file: Build) -> None:
    good = payments(3)
    body = file([good[0], good[1] | {"mcc": "4111111111111111"}, good[2] | {"country": "Atlantis"}]) + b"one,cell\n"
    job, result = uploads.run(body + b",".join(map(str.encode, map(str, good[0].values()))) + b"\n")
    errors = [row["error"] for row in rows_of(result)]
    assert (job["rows"], job["rows_with_error"]) == (5, 3)
    assert errors[0] == errors[4] == ""
    assert errors[1] == "mcc: expected a whole number of 32 bits"
    assert errors[2].startswith("country: expected")
    assert errors[3] == "expected 12 cells, found 2"
    assert "4111" not in result.text
    assert "Atlantis" not in result.text


def test_an_id_that_a_spreadsheet_would_run_is_shown_and_not_run(uploads: Uploads, file: Build) -> None:
    _, result = uploads.run(file([payments(1)[0] | {"transaction_id": "=1+1"}]))
    assert rows_of(result)[0]["transaction_id"] == "'=1+1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"a,b\n1,2\n", "found none of them"),
        (b"\n\n", "expected a header line"),
        (HEADER + b"\n", "expected rows below the header, found none"),
        (b"\x1f\x8b" + b"0" * 100, "found one packed by gzip"),
        (b"PAR1 and no more", "expected text in events.csv, found Parquet"),
        (HEADER.replace(b",", b";"), "the columns are separated by a semicolon: separate them by a comma"),
        (b"export\n\n" + HEADER, "the header seems to be line 3: delete the lines above it"),
        (b"step,type,amount,nameOrig,nameDest\n", "the layout of PaySim: name its columns as the fields are"),
        (HEADER.decode().encode("utf-16"), "expected utf-8, found UTF-16; save it as utf-8"),
        (
            HEADER + b"\n" + ROW.replace(b"1200", b"12.50") + b"\n",
            "12.50 looks like major units; expected minor units, 1250",
        ),
    ],
)
def test_a_file_that_cannot_be_taken_fails_with_a_sentence(uploads: Uploads, body: bytes, said: str) -> None:
    job, result = uploads.run(body)
    assert job["state"] == "failed"
    assert (said in job["problem"], "--" in job["problem"]) == (True, False)  # flags are of commands
    assert (result.status_code, result.json()["error"]["code"]) == (409, "upload_not_done")


def test_what_is_no_file_of_a_known_form_is_refused(uploads: Uploads) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x", ""):
        answer = uploads.ask("POST", PATH, content=b"x", headers={"content-type": kind})
        assert answer.json()["error"]["message"] == "expected content-type application/vnd.apache.parquet or text/csv"
    packed = uploads.ask("POST", PATH, content=b"x", headers=CSV | {"content-encoding": "gzip"})
    assert (packed.status_code, packed.json()["error"]["code"]) == (415, "unsupported_encoding")
    empty = uploads.ask("POST", PATH, content=b"", headers=CSV)
    assert (empty.status_code, empty.json()["error"]["message"]) == (422, "$: expected a file, found an empty body")
    assert uploads.folders.list_all(NOW_MS) == []


def test_more_bytes_than_may_be_are_refused_announced_or_not(world: World, tmp_path: Path) -> None:
    uploads = Uploads(world, tmp_path, mb_max=1)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 500_000

    for content in (b"x" * 1_500_000, parts()):
        answer = uploads.ask("POST", PATH, content=content, headers=CSV)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert list(uploads.root.glob("*")) == []
    uploads.desk.close()


def test_a_body_beyond_the_bound_of_other_requests_is_taken(uploads: Uploads, file: Build) -> None:
    body = file([payments(1)[0] | {"note": "x" * 1_000_000}] * 2)
    assert len(body) > 2_000_000
    assert uploads.run(body)[0]["state"] == "done"


def test_more_rows_than_may_be_fail_and_none_is_scored(world: World, tmp_path: Path, file: Build) -> None:
    uploads = Uploads(world, tmp_path, rows_max=5)
    assert uploads.run(file(payments(5)))[0]["state"] == "done"
    job, _ = uploads.run(file(payments(6)))
    assert (job["rows"], job["problem"]) == (0, "expected at most 5 rows, found more; send them in several files")
    uploads.desk.close()


def test_one_that_takes_too_long_fails(world: World, tmp_path: Path, file: Build) -> None:
    uploads = Uploads(world, tmp_path, seconds_max=1)

    async def never(_: ToRead) -> int:
        return await asyncio.get_running_loop().create_future()

    uploads.read = never
    job, _ = uploads.run(file(payments(1)))
    assert "expected the file to be scored within 1 s" in job["problem"]
    uploads.desk.close()


def test_a_dependency_that_comes_back_ends_the_wait(
    uploads: Uploads, file: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "AGAIN_SECONDS", 0.001)
    partials = uploads.world.partials

    async def ask() -> dict[str, Any]:
        async with uploads.client() as client:
            partials.away = "redis: gone"
            sent = await client.post(PATH, content=file(payments(40)), headers=CSV)
            while not partials.asked:
                await asyncio.sleep(0.001)
            partials.away = ""
            return await wait_for_end(client, sent.headers["location"])

    partials.asked = 0
    assert asyncio.run(ask())["rows_with_error"] == 0


def test_the_list_has_the_newest_first_and_one_that_is_deleted_is_forgotten(uploads: Uploads, file: Build) -> None:
    first, _ = uploads.run(file(payments(1)))
    uploads.now_ms += 1
    second, _ = uploads.run(file(payments(2)))
    assert [each["id"] for each in uploads.ask("GET", PATH).json()["uploads"]] == [second["id"], first["id"]]
    assert uploads.ask("DELETE", f"{PATH}/{first['id']}").status_code == 204
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
        answer = uploads.ask(method, f"{PATH}/{first['id']}{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_upload")
    assert [path.name for path in uploads.root.iterdir()] == [second["id"]]


@pytest.mark.parametrize("written", ["..", "%2e%2e", ".", "0" * 31, "0" * 33, "A" * 32, "lock"])
def test_an_id_that_is_none_leads_nowhere(uploads: Uploads, written: str) -> None:
    for method, path in (("GET", "/result"), ("DELETE", "")):
        assert uploads.ask(method, f"{PATH}/{written}{path}").status_code in {404, 405}


def test_after_the_end_the_file_is_gone_and_after_its_time_the_result_too(uploads: Uploads, file: Build) -> None:
    job, _ = uploads.run(file(payments(1)))
    kept = sorted(path.name for path in (uploads.root / job["id"]).iterdir())
    assert kept == ["job.json", "lock", "result.csv"]
    assert job["expires_ms"] == NOW_MS + 24 * HOUR_MS
    uploads.folders.expire(job["expires_ms"] - 1, 24 * HOUR_MS)
    assert uploads.folders.find(job["id"], NOW_MS) is not None
    uploads.folders.expire(job["expires_ms"], 24 * HOUR_MS)
    assert list(uploads.root.iterdir()) == []


def test_one_more_than_are_kept_is_refused_until_one_is_deleted(world: World, tmp_path: Path, file: Build) -> None:
    uploads = Uploads(world, tmp_path, kept_max=1)
    job, _ = uploads.run(file(payments(1)))
    refused = uploads.ask("POST", PATH, content=file(payments(1)), headers=CSV)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_uploads")
    assert "delete one" in refused.json()["error"]["message"]
    uploads.ask("DELETE", f"{PATH}/{job['id']}")
    assert uploads.run(file(payments(1)))[0]["state"] == "done"
    uploads.desk.close()


def test_one_is_worked_on_at_a_time_and_few_wait(uploads: Uploads, file: Build) -> None:
    body = file(payments(1))

    async def ask() -> None:
        ready = asyncio.Event()
        reading: list[ToRead] = []

        async def wait(wanted: ToRead) -> int:
            reading.append(wanted)
            await ready.wait()
            return read_rows(wanted)

        uploads.read = wait
        async with uploads.client() as client:
            sent = [await client.post(PATH, content=body, headers=CSV) for _ in range(WAITING_MAX + 1)]
            assert {each.status_code for each in sent} == {202}
            refused = await client.post(PATH, content=body, headers=CSV)
            assert refused.json()["error"]["code"] == "too_many_uploads"
            assert "retry-after" in refused.headers
            assert len(reading) == 1
            ready.set()
            for each in sent:
                assert (await wait_for_end(client, each.headers["location"]))["state"] == "done"
            assert (await client.post(PATH, content=body, headers=CSV)).status_code == 202

    asyncio.run(ask())


@pytest.mark.parametrize("is_reading", [True, False])
def test_one_that_is_deleted_while_it_is_worked_on_ends(uploads: Uploads, file: Build, is_reading: bool) -> None:
    async def ask() -> None:
        ended = asyncio.Event()

        async def wait(wanted: ToRead) -> int:
            if not is_reading:
                return read_rows(wanted)
            try:
                return await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        uploads.read = wait
        async with uploads.client() as client:
            sent = await client.post(PATH, content=file(payments(2_000)), headers=CSV)
            while (await client.get(sent.headers["location"])).json()["state"] == "waiting":
                await asyncio.sleep(0)
            assert (await client.delete(sent.headers["location"])).status_code == 204
            if is_reading:
                await ended.wait()
            uploads.read = read_here
            after = await client.post(PATH, content=file(payments(1)), headers=CSV)
            assert (await wait_for_end(client, after.headers["location"]))["state"] == "done"

    asyncio.run(ask())
    assert len(list(uploads.root.iterdir())) == 1


def test_what_a_process_leaves_unfinished_fails_for_the_next_who_asks(uploads: Uploads) -> None:
    held = uploads.folders.create("csv", NOW_MS)
    held.save(held.job.start(NOW_MS))
    held.events.write_bytes(b"x")
    assert uploads.ask("GET", f"{PATH}/{held.job.id}").json()["state"] == "running"
    held.close()  # as the kernel does for a process that dies
    found = uploads.ask("GET", f"{PATH}/{held.job.id}").json()
    assert (found["state"], found["problem"]) == ("failed", ABANDONED)
    assert found["finished_ms"] == NOW_MS


def test_a_lone_score_waits_for_one_turn_of_an_upload(uploads: Uploads, file: Build) -> None:
    partials = uploads.world.partials

    async def ask() -> tuple[httpx.Response, int]:
        async with uploads.client() as client:
            sent = await client.post(PATH, content=file(payments(1_000)), headers=CSV)
            while partials.asked < 2:  # it is being answered
                await asyncio.sleep(0)
            before = partials.asked
            lone = await client.post("/v1/score", json=TRANSACTION)
            turns = partials.asked - before
            await wait_for_end(client, sent.headers["location"])
            return lone, turns

    partials.asked = 0
    lone, turns = asyncio.run(ask())
    assert lone.status_code == 200
    assert turns <= 2


def test_an_idempotency_key_is_refused_and_not_offered(uploads: Uploads) -> None:
    client = Client(build_api(replace(uploads.parts, kept=MemoryAnswers())))
    answer = client.post(PATH, content=b"x", headers=CSV | {"idempotency-key": "k1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_idempotency_key")
    operations = client.get("/openapi.json").json()["paths"]
    assert [path for path in operations if path.endswith("/uploads")] == [PATH, "/v1/streams/transactions/uploads"]
    assert "parameters" not in operations[PATH]["post"]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=4), st.integers(0, 9)), min_size=1, max_size=5))
def test_any_bytes_for_a_file_are_scored_or_fail_with_a_sentence(
    uploads: Uploads, file: Build, edits: list[tuple[int, bytes, int]]
) -> None:
    body = file(payments(2))
    for place, added, cut in edits:
        at = place % (len(body) + 1)
        body = body[:at] + added + body[at + cut :]
    job, _ = uploads.run(body or b"x")
    assert job["state"] == "done" or "expected" in job["problem"]
    uploads.ask("DELETE", f"{PATH}/{job['id']}")


def test_a_child_reads_a_file_and_refuses_one(tmp_path: Path) -> None:
    def wanted(path: Path) -> ToRead:
        return ToRead(path, "csv", stream, tmp_path / "rows.arrow", 1_000)

    assert asyncio.run(read_in_child(wanted(write_csv(tmp_path / "events.csv", payments(3))))) == 3
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(Refused, match="found none of them"):
        asyncio.run(read_in_child(wanted(tmp_path / "other.csv")))
