"""Scores the rows of an upload as ``POST …/score/batch`` scores its events, and writes each answer as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from weir.inference.api.batching import BATCH_MAX
from weir.inference.api.request import BadRequest
from weir.inference.api.what_if import DUPLICATE, AlreadyDecided, Asked
from weir.infra.uploads.folders import Held
from weir.infra.uploads.job import Job
from weir.infra.uploads.reading import ERROR, LINE
from weir.infra.uploads.result import Row, open_result
from weir.monitoring import metrics
from weir.schemas.errors import Transient
from weir.schemas.stream import Stream

AGAIN_SECONDS = 1.0
"""Between two attempts while Redis does not answer; the time that an upload may take bounds them."""
_SAVE_SECONDS = 0.5
"""Between two notes of the progress."""
Ask = Callable[[Asked], Awaitable[dict[str, Any]]]


class Forgotten(Exception):
    """The upload was deleted while it was worked on."""


async def score_rows(held: Held, stream: Stream, ask: Ask, now_ms: Callable[[], int]) -> None:
    """Score every row.

    Raises:
        Damaged: a model or what it needs cannot be read.
        Forgotten: the upload was deleted.
        Refused: likewise.
    """
    job, saved = held.job, time.monotonic()
    with open_result(held.result, job.form, stream.id) as result:
        for rows in _read_batches(held):
            began = time.monotonic()
            answers = await _answer(rows, stream, ask, now_ms())
            result.write(answers)
            job = _count(job, answers)
            if began - saved > _SAVE_SECONDS:
                saved = began
                held.save(job)
            if held.is_forgotten:
                raise Forgotten
            await asyncio.sleep(time.monotonic() - began)
    held.save(job)


def _read_batches(held: Held) -> Iterator[list[dict[str, Any]]]:
    """Yield as many rows as are scored together."""
    with pa.memory_map(str(held.rows)) as file:
        for batch in pa.ipc.open_stream(file):
            for start in range(0, batch.num_rows, BATCH_MAX):
                yield batch.slice(start, BATCH_MAX).to_pylist()


async def _answer(rows: list[dict[str, Any]], stream: Stream, ask: Ask, now_ms: int) -> list[Row]:
    while True:
        try:
            return await asyncio.gather(*(_answer_one(row, stream, ask, now_ms) for row in rows))
        except Transient:
            await asyncio.sleep(AGAIN_SECONDS)


async def _answer_one(row: dict[str, Any], stream: Stream, ask: Ask, now_ms: int) -> Row:
    event = {name: value for name, value in row.items() if name not in {LINE, ERROR}}
    named = {stream.id: event[stream.id], "line": row[LINE]}
    if row[ERROR] is not None:
        return {**named, "error": row[ERROR]}
    try:
        return {**named, **_describe(await ask(Asked(event, now_ms)))}
    except BadRequest as refused:
        return {**named, "error": str(refused)}
    except AlreadyDecided:
        return {**named, "error": DUPLICATE}


def _describe(score: Mapping[str, Any]) -> Row:
    """Return what a result says of a score."""
    return {
        "decision": score["decision"],
        "score": score["score"],
        "reasons": " ".join(reason["code"] for reason in score["reasons"]),
        "model": score["model"]["name"],
        "model_version": score["model"]["version"],
        "rules_version": score["rules_version"],
    }


def _count(job: Job, answers: list[Row]) -> Job:
    with_error = sum("error" in each for each in answers)
    metrics.UPLOAD_ROWS.labels(outcome="error").inc(with_error)
    metrics.UPLOAD_ROWS.labels(outcome="scored").inc(len(answers) - with_error)
    return job.count(len(answers), with_error)
