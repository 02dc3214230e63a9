"""What the API and its document show of uploads."""

from __future__ import annotations

from typing import Any

from weir.inference.api import examples
from weir.inference.api.rules.document import build_list, build_object
from weir.inference.api.schema import Schema
from weir.infra.uploads.job import Form, Job
from weir.infra.uploads.result import COLUMNS
from weir.schemas.stream import Stream

KINDS: dict[str, Form] = {"text/csv": "csv", "application/vnd.apache.parquet": "parquet"}
"""Media types of files, and of their results."""
_TIME_MS = 1_767_268_800_000
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NULL_OR_WHOLE: Schema = {"type": ["integer", "null"]}
_FILE: Schema = {"type": "string", "format": "binary"}
UPLOAD = build_object(
    {
        "id": _TEXT,
        "state": {"type": "string", "enum": ["waiting", "running", "done", "failed"]},
        "form": {"type": "string", "enum": list(KINDS.values())},
        "rows": {**_WHOLE, "description": "Answered so far."},
        "rows_total": {**_NULL_OR_WHOLE, "description": "In the file; null until they are counted."},
        "rows_with_error": {**_WHOLE, "description": "Of `rows`, those without a score."},
        "created_ms": {**_WHOLE, "description": "When the upload began, UTC epoch ms."},
        "started_ms": {**_NULL_OR_WHOLE, "description": "When the work on it began, UTC epoch ms."},
        "finished_ms": {**_NULL_OR_WHOLE, "description": "When it ended, UTC epoch ms."},
        "expires_ms": {**_NULL_OR_WHOLE, "description": "When it is deleted, UTC epoch ms; null until it ended."},
        "problem": {"type": ["string", "null"], "description": "Why it failed."},
        "result": {"type": ["string", "null"], "description": "The path of the result; null until it is done."},
    }
)
UPLOADS = build_object({"uploads": build_list(UPLOAD)})
SHOWN: dict[str, Any] = {
    "id": "5d0c4c1f3a9b4c06a1b2c3d4e5f60718",
    "state": "waiting",
    "form": "csv",
    "rows": 0,
    "rows_total": None,
    "rows_with_error": 0,
    "created_ms": _TIME_MS,
    "started_ms": None,
    "finished_ms": None,
    "expires_ms": None,
    "problem": None,
    "result": None,
}


def build_done(path: str) -> dict[str, Any]:
    """Return an example of an upload that is done."""
    times = {"started_ms": _TIME_MS + 3, "finished_ms": _TIME_MS + 9_000, "expires_ms": _TIME_MS + 86_409_000}
    counts = {"rows": 20_000, "rows_total": 20_000, "rows_with_error": 2}
    return SHOWN | counts | times | {"state": "done", "result": f"{path}/{SHOWN['id']}/result"}


def describe(job: Job, path: str, keep_ms: int) -> dict[str, Any]:
    """Return an upload as it is shown under a path."""
    return {
        "id": job.id,
        "state": job.state,
        "form": job.form,
        "rows": job.rows,
        "rows_total": job.rows_total,
        "rows_with_error": job.rows_with_error,
        "created_ms": job.created_ms,
        "started_ms": job.started_ms,
        "finished_ms": job.finished_ms,
        "expires_ms": job.expires_ms(keep_ms),
        "problem": job.problem or None,
        "result": f"{path}/{job.id}/result" if job.state == "done" else None,
    }


def build_body(stream: Stream) -> dict[str, Any]:
    """Return the OpenAPI request body: the file itself."""
    event = examples.build_event(stream)
    csv = ",".join(event) + "\n" + ",".join(map(str, event.values())) + "\n"
    content = {kind: {"schema": _FILE} for kind in KINDS}
    return {"requestBody": {"required": True, "content": content | {"text/csv": {"schema": _FILE, "example": csv}}}}


def build_result(stream: Stream) -> dict[str, Any]:
    """Return the OpenAPI response of a result."""
    score, reason = examples.build_score(stream), "country: expected two upper-case letters"
    columns = (stream.id, *COLUMNS)
    model = score["model"]
    codes = " ".join(each["code"] for each in score["reasons"])
    decided = (model["name"], model["version"], score["rules_version"], "")
    first = (score[stream.id], 2, score["decision"], score["score"], codes, *decided)
    second = (f"{score[stream.id]}-2", 3, *[""] * (len(columns) - 3), reason)
    csv = "".join(",".join(map(str, row)) + "\r\n" for row in (columns, first, second))
    content = {kind: {"schema": _FILE} for kind in KINDS}
    return {
        "description": "a row for each row of the file, in its order and in its form",
        "content": content | {"text/csv": {"schema": _FILE, "example": csv}},
    }
