"""Rows of an archive as the records that they are: read as a consumer's, decoded by the schemas that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weir.archive.objects import Objects
from weir.schemas.avro.codec import BatchCodec, SchemaLookup
from weir.schemas.avro.framing import HEADER_BYTES


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


def lookup_of(objects: Objects, topic: str) -> SchemaLookup:
    """Return the lookup of a topic's schemas in an archive."""
    return lambda schema_id: objects.read_schema(topic, schema_id)


def decode(record: Record, schema: str, schema_of: SchemaLookup) -> tuple[dict[str, Any] | None, str]:
    """Return a record's fields, or None and why it cannot be read.

    Args:
        record: of an archive.
        schema: the newest one of its kind, by which it is read.
        schema_of: the schema of its writer.
    """
    decoded = BatchCodec(schema=schema).decode([record.value()], schema_of)
    if decoded.errors:
        return None, str(decoded.errors[0][1])
    return decoded.batch.to_pylist()[0], ""
