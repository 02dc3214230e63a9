"""``POST …/labels``: what an event turned out to be, from who knows it, to the labels topic.

Delivery: at least once. When the broker's answer is lost the outcome is not known; the same label again is safe,
because of an event's labels the newest time counts and a copy changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.audited import note_about
from weir.inference.api.cases import document
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.ports import EventPublisher
from weir.inference.api.request import BadRequest, FieldError, parse_record
from weir.inference.api.web.content import find_wrong_content
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import label_schemas
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.validation import validate_labels
from weir.schemas.stream import Stream


def add_labels(
    router: APIRouter,
    path: str,
    stream: Stream,
    publisher: EventPublisher,
    placeholders: Placeholders,
    clock: Callable[[], int],
) -> None:
    """Add the path to those of a stream that has labels."""
    fields = document.list_label_fields(stream)
    codec = BatchCodec(schema=label_schemas(stream)[-1])

    @router.post(
        path,
        responses={
            200: examples.answer("where it is in the log", document.PUBLISHED, document.build_published(stream)),
            **error_answers(*WRONG_CONTENT, "invalid_request", "unavailable", "refused"),
        },
        openapi_extra=document.label_body(stream) | needs(Scope.REVIEW),
        summary=f"Say what a {stream.event} turned out to be",
    )
    async def post_label(request: Request) -> Response:
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        now_ms = clock()
        label = parse_record(fields, await request.body())
        note_about(request, str(label[stream.id]))
        assert stream.labels is not None, "there is no such path then"
        if label[stream.labels.time] is None:
            label[stream.labels.time] = now_ms
        _check(stream, codec.arrow_schema, label, placeholders, now_ms=now_ms)
        at = await run_in_threadpool(publisher.publish, label)
        return answer_json({"published": {"topic": at.topic, "partition": at.partition, "offset": at.offset}})


def _check(
    stream: Stream, schema: pa.Schema, label: dict[str, Any], placeholders: Placeholders, *, now_ms: int
) -> None:
    """Ask of a label what the stream will ask of it, so that none becomes a dead letter.

    Raises:
        BadRequest: it would.
    """
    batch = pa.RecordBatch.from_pylist([label], schema=schema)
    keys = [str(label[stream.key.field]).encode()]
    append_ms = np.array([now_ms], np.int64)
    wrong = validate_labels(stream, batch, keys=keys, append_time_ms=append_ms, placeholders=placeholders)
    if wrong:
        raise BadRequest([FieldError(error.field or "$", str(error)) for _, error in wrong])
