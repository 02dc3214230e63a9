"""Mutated records through ``BatchCodec``, judged by two other readers: nothing crashes, nothing is read wrongly.

Of every value the judge says on its own what must become of it. By a strict reader it is a record of its writer's
schema to its last byte, and then fastavro says what it is in ours; or it is a dead letter. What is accepted must be
that record, and written again it must be read again as the same; what nobody touched is written as the same bytes.
"""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import fastavro

from tests.fuzz.strict import NotAvro, Reader
from tests.fuzz.values import draw_value, mutate
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.avro.compatibility import parse_inlined
from weir.schemas.avro.framing import VALUE_BYTES_MAX
from weir.schemas.contracts import TOPIC_KINDS, schema_json, versions
from weir.schemas.errors import PoisonRecord

BATCH = 50
FOREIGN_ID, UNKNOWN_ID = 900, 901


@dataclass
class Writer:
    """One version of one kind, and its schema in the forms that are needed."""

    version: int
    text: str
    inlined: Any
    parsed: Any


@dataclass
class Target:
    """One topic kind: our codec, its schema as fastavro has it, and every version that somebody may write."""

    kind: str
    codec: BatchCodec
    reader: Any
    writers: dict[int, Writer]

    def schema_of(self, schema_id: int) -> WriterSchema | PoisonRecord:
        """Answer as a registry would; ids are versions."""
        if schema_id in self.writers:
            return WriterSchema(schema_id, subject_ok=True, schema=self.writers[schema_id].text)
        if schema_id == FOREIGN_ID:
            return WriterSchema(schema_id, subject_ok=False, schema=schema_json("labels"))
        return PoisonRecord("unknown_schema_id", f"expected a registered schema id, found {schema_id}")


@dataclass
class Tally:
    """What a run came to; ``wrong`` is empty when all is right."""

    values: int = 0
    accepted: int = 0
    untouched: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def build_target(kind: str) -> Target:
    """Prepare a kind."""
    writers = {}
    for version in versions(kind):
        text = schema_json(kind, version)
        writers[version] = Writer(version, text, parse_inlined(text), _parse(text))
    return Target(kind, BatchCodec(kind), _parse(schema_json(kind)), writers)


def fuzz(records: int, seed: int) -> Iterator[tuple[str, Tally]]:
    """Yield a tally for each topic kind; the records are shared out evenly."""
    for kind in TOPIC_KINDS:
        rng = random.Random(f"{seed} {kind}")
        target, tally = build_target(kind), Tally()
        while tally.values < records / len(TOPIC_KINDS):
            _judge_batch(target, [_draw(rng, target) for _ in range(BATCH)], tally)
        yield kind, tally


def _parse(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text), named_schemas={})


def _write(writer: Writer, record: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, writer.parsed, record)
    return b"\x00" + writer.version.to_bytes(4, "big") + stream.getvalue()


def _draw(rng: random.Random, target: Target) -> tuple[bytes | None, bool]:
    """Return a value and whether it is as a writer of our newest version wrote it."""
    writer = target.writers[rng.choice(list(target.writers))]
    value = _write(writer, draw_value(rng, writer.inlined))
    kind = rng.random()
    if kind < 0.1:
        return value, writer.version == max(target.writers)
    if kind < 0.13:
        return rng.choice((None, b"", rng.randbytes(rng.randrange(40)), value[:5], bytes(VALUE_BYTES_MAX + 1))), False
    if kind < 0.16:
        return value[:1] + rng.choice((FOREIGN_ID, UNKNOWN_ID)).to_bytes(4, "big") + value[5:], False
    other = target.writers[rng.choice(list(target.writers))]
    return mutate(rng, value, _write(other, draw_value(rng, other.inlined))), False


def _expect(target: Target, value: bytes | None) -> dict[str, Any] | None:
    """Say what must become of a value: the record, or ``None`` for a dead letter."""
    if value is None or not 5 <= len(value) <= VALUE_BYTES_MAX or value[0] != 0:
        return None
    writer = target.writers.get(int.from_bytes(value[1:5], "big"))
    if writer is None:
        return None
    reader = Reader(value[5:])
    try:
        written = reader.read(writer.inlined)
    except NotAvro:
        return None
    if reader.at < len(value) - 5:
        return None
    stream = io.BytesIO(value[5:])
    resolved: Any = fastavro.schemaless_reader(stream, writer.parsed, target.reader)
    assert repr({name: resolved[name] for name in written}) == repr(written), "the two judges disagree"
    return dict(resolved)


def _judge_batch(target: Target, drawn: list[tuple[bytes | None, bool]], tally: Tally) -> None:
    values = [value for value, _ in drawn]
    decoded = target.codec.decode(values, target.schema_of)
    rows = decoded.rows.tolist()
    tally.values += len(values)
    tally.accepted += len(rows)
    tally.reasons.update(error.reason for _, error in decoded.errors)
    if sorted([*rows, *(row for row, _ in decoded.errors)]) != list(range(len(values))):
        tally.wrong.append("some value has no outcome, or two")
        return
    accepted = dict(zip(rows, decoded.batch.to_pylist(), strict=True))
    for row, value in enumerate(values):
        _compare(_expect(target, value), accepted.get(row), value, tally)
    newest = max(target.writers)
    again = target.codec.encode(decoded.batch, newest)
    if repr(target.codec.decode(again, target.schema_of).batch.to_pylist()) != repr(list(accepted.values())):
        tally.wrong.append("what was accepted is read otherwise once it is written again")
    for position, row in enumerate(rows):
        if drawn[row][1]:
            tally.untouched += 1
            if again[position] != values[row]:
                tally.wrong.append(f"other bytes than were read: {_show(values[row])}")


def _compare(expected: dict[str, Any] | None, found: dict[str, Any] | None, value: bytes | None, tally: Tally) -> None:
    if repr(expected) != repr(found):  # in which NaN equals itself
        said = "accepted" if expected is None else "refused" if found is None else "read otherwise"
        tally.wrong.append(f"{said}: {_show(value)}")


def _show(value: bytes | None) -> str:
    return "null" if value is None else value[:400].hex()
