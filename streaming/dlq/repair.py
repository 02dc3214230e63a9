"""Changes a record on its way back from the dead letters: fields by ``--set``, or anything by a Python hook.

A value is decoded with the schema that it was written with, changed, checked against that schema and encoded with it
again, so every field that was not named keeps its value. Without a readable schema there is nothing to change.
"""

from __future__ import annotations

import io
import json
import runpy
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import fastavro
from fastavro.validation import validate

from weir.schemas.avro.codec import WriterSchema
from weir.schemas.avro.compatibility import parse_inlined
from weir.schemas.avro.framing import HEADER_BYTES, VALUE_SCHEMA_ID, frame_by_header
from weir.schemas.avro.native import NativeFailure, call_native
from weir.schemas.avro.slow_reader import SlowReader
from weir.schemas.contracts import subject
from weir.schemas.errors import PoisonRecord, Refused
from weir.streaming.dlq.letter import UNDECODED, DeadLetter, schema_id_of
from weir.streaming.dlq.plan import Repair, Repaired

Hook = Callable[[bytes | None, bytes | None, DeadLetter], tuple[bytes | None, bytes | None]]


class SchemaSource(Protocol):
    """Where writer schemas come from: the registry or its twin."""

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        """Return the schema of that id, or why there is none."""

    def id_of_guid(self, guid: uuid.UUID, subject: str) -> int | PoisonRecord:
        """Return the id of the schema of that GUID, or why there is none."""


def decode_letter(letter: DeadLetter, schemas: SchemaSource) -> tuple[dict[str, Any], Any]:
    """Decode a letter's value with its writer schema.

    Returns:
        The datum, and the parsed schema.

    Raises:
        PoisonRecord: there is no frame, no such schema, or the body does not fit it.
        Transient: the registry is unreachable.
    """
    if letter.reason in UNDECODED:
        raise PoisonRecord(letter.reason, "processes that decoded it ended, and it is not decoded again")
    of_subject = subject(letter.source.topic) if letter.source is not None else ""
    framed = frame_by_header(letter.value, letter.original_headers, lambda guid: schemas.id_of_guid(guid, of_subject))
    if isinstance(framed, PoisonRecord):
        raise framed
    schema_id = schema_id_of(framed)
    if schema_id is None or framed is None or not of_subject:
        raise PoisonRecord("undecodable", "expected a value in the Confluent frame, found none; cannot be decoded")
    found = schemas.writer_schema(schema_id, of_subject)
    if isinstance(found, PoisonRecord):
        raise found
    try:
        parse_inlined(found.schema)  # which bounds it
        reader = call_native(SlowReader, found.schema, found.schema)
    except (ValueError, NativeFailure) as error:
        raise PoisonRecord("incompatible_schema", f"schema {schema_id}: {error}") from error
    datum = reader.read_as_written(framed[HEADER_BYTES:])
    if isinstance(datum, PoisonRecord):
        raise datum
    return datum, reader.writer


def build_field_repair(assignments: dict[str, str], schemas: SchemaSource, *, key_field: str) -> Repair:
    """Return a repair that sets fields; a new id of the key becomes the key, and the partition follows from it.

    Args:
        assignments: field name to its new value as text: a string field takes it as it is, ``null`` makes a nullable
            field null, any other is read as JSON.
        schemas: where writer schemas come from.
        key_field: the field of the record's key.
    """

    def repair(letter: DeadLetter) -> Repaired:
        datum, schema = decode_letter(letter, schemas)
        changed = datum
        for name, text in assignments.items():
            changed = _set_field(schema, changed, name, text)
        stream = io.BytesIO()
        try:
            fastavro.schemaless_writer(stream, schema, changed)
        except Exception as error:
            raise PoisonRecord("unrepairable", f"expected a record of its schema, found {error!r}") from error
        is_in_header = any(name == VALUE_SCHEMA_ID for name, _ in letter.original_headers)
        value = (b"" if is_in_header else (letter.value or b"")[:HEADER_BYTES]) + stream.getvalue()
        key = str(changed[key_field]).encode() if key_field in assignments else letter.key
        return Repaired(key, value, rekeyed=key != letter.key)

    return repair


def build_hook_repair(place: str) -> Repair:
    """Load ``file.py:function`` and return a repair that calls it.

    The function takes the key, the value and the ``DeadLetter`` and returns the new key and value. It runs with the
    rights of the user who typed the command, which is why it can be named on the command line and nowhere else.

    Raises:
        Refused: there is no such file or function.
    """
    hook = _load_hook(place)

    def repair(letter: DeadLetter) -> Repaired:
        try:
            key, value = hook(letter.key, letter.value, letter)
        except Exception as error:
            raise PoisonRecord("unrepairable", f"the hook raised {type(error).__name__}: {error}") from error
        if not all(part is None or isinstance(part, bytes) for part in (key, value)):
            raise PoisonRecord("unrepairable", "expected the hook to return two values of bytes or None")
        return Repaired(key, value, rekeyed=key != letter.key)

    return repair


def parse_assignments(texts: Sequence[str]) -> dict[str, str]:
    """Read ``field=value`` arguments.

    Raises:
        Refused: one has no field name.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not name or not equals:
            raise Refused(f"--set: expected field=value, found {text!r}")
    return {name: value for name, _, value in pairs}


def _set_field(schema: Any, datum: dict[str, Any], name: str, text: str) -> dict[str, Any]:
    if name not in datum:
        raise PoisonRecord("unrepairable", f"expected a field of its schema, found {name!r} in --set")
    for candidate in _readings(text):
        changed = datum | {name: candidate}
        if validate(changed, schema, raise_errors=False):
            return changed
    raise PoisonRecord("unrepairable", f"expected a value of the type of {name}, found another in --set")


def _readings(text: str) -> list[Any]:
    """Return what a text may mean, the plainest first; a number for a string field stays the text it was."""
    try:
        read = json.loads(text)
    except ValueError:
        return [text]
    return [read, text] if read is None else [text, read]


def _load_hook(place: str) -> Hook:
    path, _, name = place.rpartition(":")
    if not path or not Path(path).is_file():
        raise Refused(f"--hook: expected an existing file.py:function, found {place!r}")
    hook = runpy.run_path(path).get(name)
    if not callable(hook):
        raise Refused(f"--hook: expected a function {name!r} in {path}, found none")
    return hook  # type: ignore[no-any-return]
