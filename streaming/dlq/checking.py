"""Holds a repaired record to what the stream will ask of it, so that a repair that does not help is never sent.

It is decoded and validated as the processor does both, by the same code. What only the log can tell is left to the
stream: whether the record was counted before (``duplicate``, ``id_reused``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np

from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.avro.framing import frame_by_header
from weir.schemas.contracts import event_schemas, label_schemas, subject
from weir.schemas.errors import PoisonRecord
from weir.schemas.records.validation import validate_events, validate_labels
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.plan import Repair, Repaired
from weir.streaming.dlq.repair import SchemaSource


def build_checked_repair(
    repair: Repair, settings: Settings, schemas: SchemaSource, *, clock_ms: Callable[[], int]
) -> Repair:
    """Return a repair that refuses a record which the stream would refuse again.

    Args:
        repair: what changes the record.
        settings: of the stream. Only its events and labels are checked; rows that stages write have no checks.
        schemas: where writer schemas come from.
        clock_ms: the time at which the record would be appended.
    """
    stream, topics = settings.stream, settings.topics
    codecs = {topics.transactions: BatchCodec(schema=event_schemas(stream)[-1])}
    if stream.labels is not None:
        codecs[topics.labels] = BatchCodec(schema=label_schemas(stream)[-1])

    def repair_and_check(letter: DeadLetter) -> Repaired:
        record = repair(letter)
        topic = letter.source.topic if letter.source is not None else ""
        if topic in codecs:
            validate = validate_events if topic == topics.transactions else validate_labels
            decoded = codecs[topic].decode(
                [_frame(letter, record, schemas, subject(topic))],
                lambda schema_id: schemas.writer_schema(schema_id, subject(topic)),
            )
            found = decoded.errors or validate(
                stream,
                decoded.batch,
                keys=[record.key],
                append_time_ms=np.array([clock_ms()], np.int64),
                placeholders=settings.placeholders,
            )
            if found:
                _refuse(found[0][1])
        return record

    return repair_and_check


def _frame(letter: DeadLetter, record: Repaired, schemas: SchemaSource, of_subject: str) -> bytes | None:
    framed = frame_by_header(record.value, letter.original_headers, lambda guid: schemas.id_of_guid(guid, of_subject))
    if isinstance(framed, PoisonRecord):
        _refuse(framed)
    return framed


def _refuse(error: PoisonRecord) -> NoReturn:
    raise PoisonRecord("unrepairable", f"the stream would refuse it again as {error.reason}: {error}") from error
