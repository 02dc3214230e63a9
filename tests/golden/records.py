"""What the product is given, and how what it gives back is written down to be compared."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

import fastavro

from tests.golden.allowed import ADDED_FIELDS
from tests.golden.log import EXPECTED, Entry
from tests.golden.wire import Row

CUTS = (1, 7, 250, 64, 400, 33, 2, 500)
"""Records of a batch, by turns: what one partition's records come to does not depend on them."""


class Given:
    """A consumed record, as the product's decoder sees one."""

    def __init__(self, entry: Entry, headers: list[Any] | None = None) -> None:
        self._entry = entry
        self._headers = headers

    def topic(self) -> str:
        return self._entry.topic

    def partition(self) -> int:
        return self._entry.partition

    def offset(self) -> int:
        return self._entry.offset

    def key(self) -> bytes | None:
        return self._entry.key

    def value(self) -> bytes | None:
        return self._entry.value

    def timestamp(self) -> tuple[int, int]:
        return 2, self._entry.append_ms  # 2: the broker's append time

    def headers(self) -> list[Any] | None:
        return self._headers


def cut(log: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield the log in batches."""
    at = turn = 0
    while at < len(log):
        size = CUTS[turn % len(CUTS)]
        yield log[at : at + size]
        at, turn = at + size, turn + 1


def digest(*parts: bytes | None) -> str:
    """Return 64 bits of a hash; None is not empty."""
    found = blake2b(digest_size=8)
    for part in parts:
        found.update(b"-" if part is None else b"%d:" % len(part) + part)
    return found.hexdigest()


def read_schema(kind: str) -> str:
    """Return the Avro schema that was kept."""
    return (EXPECTED / f"{kind}.avsc").read_text().rstrip("\n")


def decode(value: bytes, schema: Any) -> Row:
    """Decode a framed record with a library that is not the product's."""
    row: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, schema)
    return dict(row)


def without_added(kind: str, value: bytes, now: str, kept: str) -> bytes:
    """Return a framed record as the schema that is kept has it.

    Args:
        kind: of record.
        value: by the schema of now.
        now: that schema, JSON.
        kept: the schema that is kept, JSON.

    Raises:
        AssertionError: a field that was added does not hold its default.
    """
    if kept == now:
        return value
    row = decode(value, parse_schema(now))
    for name, default in ADDED_FIELDS[kind].items():
        assert row.pop(name) == default, f"{kind}.{name} does not hold its default"
    out = io.BytesIO()
    out.write(value[:5])
    fastavro.schemaless_writer(out, parse_schema(kept), row, strict=True)
    return out.getvalue()


def schema_without_added(kind: str, now: str) -> str:
    """Return the schema of now as it was before the fields that are allowed."""
    schema = json.loads(now)
    added = ADDED_FIELDS[kind]
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in added]
    return json.dumps(schema, separators=(",", ":"))


@cache
def parse_schema(schema: str) -> Any:
    """Return a schema as the library reads it."""
    return fastavro.parse_schema(json.loads(schema))
