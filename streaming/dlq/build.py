"""Turns a record that cannot be processed into a dead letter that says why."""

from __future__ import annotations

from confluent_kafka import Message

from weir.infra.kafka.clients import MAX_MESSAGE_BYTES, read_headers
from weir.infra.kafka.sink import Record
from weir.schemas.durations import HOUR_MS
from weir.schemas.errors import PoisonRecord, WeirError
from weir.schemas.stream import Stream
from weir.streaming.dlq.letter import dead_letter_headers, fit_dead_letter, schema_id_of
from weir.streaming.stage import DeadRecord


def build_dead_letter(
    dead: DeadRecord, *, dlq_topic: str, group: str, prefix: str, limit_bytes: int = MAX_MESSAGE_BYTES
) -> Record:
    """Return the record to publish: raw bytes, ours and the original headers, in the source's partition number."""
    message, error = dead.message, dead.error
    headers = dead_letter_headers(
        prefix,
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        group=group,
        stage=dead.stage,
        exception_class=type(error).__name__,
        message=str(error),
        timestamp_ms=message.timestamp()[1],
        reason=error.reason,
        schema_id=schema_id_of(message.value()),
        original_headers=read_headers(message),
    )
    value = None if dead.coordinates_only else message.value()
    fitted = fit_dead_letter(prefix, key=message.key(), value=value, headers=headers, limit_bytes=limit_bytes)
    return Record(dlq_topic, fitted.key, fitted.value, fitted.headers, partition=message.partition())


def duplicate_error(message: Message, stream: Stream, *, reused: bool) -> PoisonRecord:
    """Return why an event whose id was there before is not decided; the id itself stays out of the message."""
    where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
    if reused:
        hours = stream.duplicate_horizon_ms / HOUR_MS
        return PoisonRecord(
            "id_reused",
            f"expected a new {stream.id}, found one used in the last {hours:g} h with another body ({where}); "
            "sent to DLQ",
            stream.id,
        )
    return PoisonRecord(
        "duplicate", f"expected each {stream.event} once, found it again ({where}); coordinates sent to DLQ"
    )


def not_decodable(topic: str, dead: DeadRecord) -> WeirError:
    """Return why catch-up must stop: a record that counted can no longer be decoded, and may not be left out."""
    message = dead.message
    return WeirError(
        f"{topic}[{message.partition()}]@{message.offset()} was counted and can no longer be decoded: {dead.error}; "
        "restore its schema in the registry and start again"
    )
