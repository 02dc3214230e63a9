"""Rows of an archive as the records that they are: read as a consumer's, decoded by the schemas that are kept.

``Consumed`` is a record in the shape in which the stream's own stages take one from Kafka, so that they can be run over
an archive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from weir.archive.objects import Objects
from weir.schemas.avro.codec import BatchCodec, SchemaLookup
from weir.schemas.avro.framing import HEADER_BYTES
from weir.streaming.dlq.letter import UNDECODED

CONSUMED: Final = ("partition", "offset", "append_ms", "key", "value", "headers", "undecoded")
"""The columns of a record as it was in its topic, and why none was read from these."""
_APPEND_TIME: Final = 2


@dataclass(frozen=True)
class Record:
    """A row, in the shape in which readers take records.

    Attributes:
        topic: of the record, which is the name of its table.
        row: its columns.
    """

    topic: str
    row: Mapping[str, Any]

    def key(self) -> bytes | None:
        """Return the raw key."""
        found: bytes | None = self.row["key"]
        return found

    def value(self) -> bytes | None:
        """Return the raw value."""
        found: bytes | None = self.row["value"]
        return found

    def decodable(self) -> bytes | None:
        """Return the raw value, or None where it ended the process that decoded it: it would end this one too."""
        return None if self.row.get("undecoded") in UNDECODED else self.value()

    @property
    def place(self) -> tuple[int, int]:
        """Return partition and offset."""
        return self.row["partition"], self.row["offset"]

    @property
    def schema_id(self) -> int:
        """Return the id of the schema that the value was written by; 0 where it has no frame."""
        value = self.value() or b""
        return int.from_bytes(value[1:HEADER_BYTES]) if len(value) > HEADER_BYTES else 0

    def header(self, name: str) -> bytes | None:
        """Return the last header whose name ends so."""
        found = [header["value"] for header in self.row["headers"] or [] if header["name"].endswith(name)]
        return found[-1] if found else None

    def describe(self) -> dict[str, Any]:
        """Return where the record was and when it was appended."""
        partition, offset = self.place
        return {"topic": self.topic, "partition": partition, "offset": offset, "append_ms": self.row["append_ms"]}


class Consumed:
    """A record in the shape in which the client for Kafka gives it."""

    def __init__(self, record: Record) -> None:
        """Wrap a row that has the columns of ``CONSUMED``."""
        self.record = record

    def topic(self) -> str:
        """Return the topic's name."""
        return self.record.topic

    def partition(self) -> int:
        """Return the partition."""
        return self.record.place[0]

    def offset(self) -> int:
        """Return the offset."""
        return self.record.place[1]

    def key(self) -> bytes | None:
        """Return the raw key."""
        return self.record.key()

    def value(self) -> bytes | None:
        """Return the raw value, or None where nothing may decode it."""
        return self.record.decodable()

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of time and the broker's append time."""
        return _APPEND_TIME, self.record.row["append_ms"]

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """Return names and values in order, or None where there are none."""
        return [(each["name"], each["value"]) for each in self.record.row["headers"] or []] or None


def lookup_of(objects: Objects, topic: str) -> SchemaLookup:
    """Return the lookup of a topic's schemas in an archive."""
    return lambda schema_id: objects.read_schema(topic, schema_id)


@cache
def codec_of(schema: str) -> BatchCodec:
    """Return the codec of a schema, the same one each time: to make its plans takes some 20 ms."""
    return BatchCodec(schema=schema)


def decode(record: Record, schema: str, schema_of: SchemaLookup) -> tuple[dict[str, Any] | None, str]:
    """Return a record's fields, or None and why it cannot be read.

    Args:
        record: of an archive.
        schema: the newest one of its kind, by which it is read.
        schema_of: the schema of its writer.
    """
    if record.row.get("undecoded") in UNDECODED:
        return None, record.row["undecoded"]
    decoded = codec_of(schema).decode([record.value()], schema_of)
    if decoded.errors:
        return None, str(decoded.errors[0][1])
    return decoded.batch.to_pylist()[0], ""


def decode_all(records: Sequence[Record], schema: str, schema_of: SchemaLookup) -> list[dict[str, Any] | None]:
    """Return the fields of each record, None where it cannot be read; see ``decode``."""
    decoded = codec_of(schema).decode([record.decodable() for record in records], schema_of)
    found: list[dict[str, Any] | None] = [None] * len(records)
    for row, fields in zip(decoded.rows.tolist(), decoded.batch.to_pylist(), strict=True):
        found[row] = fields
    return found
