"""The wire as a stranger sees it: Confluent frames, schemas from the registry by plain HTTP, Avro by fastavro."""

from __future__ import annotations

import io
import json
import struct
import urllib.request
from functools import cache
from typing import Any

import fastavro

Row = dict[str, Any]
FRAME = struct.Struct(">bI")


class Undecodable(Exception):
    """The bytes are not a record of a registered schema."""


@cache
def schema_of_id(registry_url: str, schema_id: int) -> Any:
    with urllib.request.urlopen(f"{registry_url}/schemas/ids/{schema_id}", timeout=10) as answer:
        return fastavro.parse_schema(json.loads(json.load(answer)["schema"]))


@cache
def newest_id(registry_url: str, subject: str) -> int:
    with urllib.request.urlopen(f"{registry_url}/subjects/{subject}/versions/latest", timeout=10) as answer:
        return int(json.load(answer)["id"])


def register(registry_url: str, subject: str, schema: str) -> int:
    """Register a schema under a subject and return its id."""
    request = urllib.request.Request(
        f"{registry_url}/subjects/{subject}/versions",
        data=json.dumps({"schema": schema}).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(json.load(answer)["id"])


def encode(registry_url: str, schema_id: int, row: Row) -> bytes:
    out = io.BytesIO()
    out.write(FRAME.pack(0, schema_id))
    fastavro.schemaless_writer(out, schema_of_id(registry_url, schema_id), row)
    return out.getvalue()


def decode(registry_url: str, value: bytes | None, *, known: set[int] | None = None) -> Row:
    """Decode a framed record by its writer's schema.

    Args:
        registry_url: of the Confluent API.
        value: as in the log.
        known: schema ids to accept; any registered one when ``None``.

    Raises:
        Undecodable: it is not one.
    """
    if value is None or len(value) < FRAME.size:
        raise Undecodable("no frame")
    magic, schema_id = FRAME.unpack(value[: FRAME.size])
    if magic != 0 or (known is not None and schema_id not in known):
        raise Undecodable("not a schema of this topic")
    body = io.BytesIO(value[FRAME.size :])
    try:
        row = fastavro.schemaless_reader(body, schema_of_id(registry_url, schema_id))
    except Exception as error:
        raise Undecodable(str(error)) from error
    if body.read(1):
        raise Undecodable("bytes after the record")
    return dict(row)  # type: ignore[arg-type] # every schema here is a record


def subject_ids(registry_url: str, subject: str) -> set[int]:
    """Ids of every schema that a subject has."""
    with urllib.request.urlopen(f"{registry_url}/subjects/{subject}/versions", timeout=10) as answer:
        versions = json.load(answer)
    found = set()
    for version in versions:
        with urllib.request.urlopen(f"{registry_url}/subjects/{subject}/versions/{version}", timeout=10) as answer:
            found.add(int(json.load(answer)["id"]))
    return found
