from __future__ import annotations

import io
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.schemas.records import frame, parsed, records, same, write_body
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import TOPIC_KINDS, schema_json

CODECS = {kind: BatchCodec(kind) for kind in TOPIC_KINDS}
PARSED = {kind: parsed(schema_json(kind)) for kind in TOPIC_KINDS}
SOME = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
# a feature row has over a hundred columns: as many values drawn, in fewer examples
EXAMPLES = {"features": settings(SOME, max_examples=6)}
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "append", "huge"]), st.integers(0, 400), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def known(kind: str) -> Any:
    return lambda schema_id: WriterSchema(schema_id, True, schema_json(kind))


def mutate(body: bytes, mutations: list[tuple[str, int, int]]) -> bytes:
    for name, place, byte in mutations:
        at = place % (len(body) + 1)
        body = {
            "flip": body[:at] + bytes([byte]) + body[at + 1 :],
            "cut": body[:at],
            "insert": body[:at] + bytes([byte]) + body[at:],
            "append": body + bytes([byte]),
            "huge": body[:at] + b"\xfe\xff\xff\xff\x0f" + body[at:],
        }[name]
    return body


def read_whole(kind: str, body: bytes) -> dict[str, Any] | None:
    stream = io.BytesIO(body)
    record: Any = fastavro.schemaless_reader(stream, PARSED[kind], None)
    return record if stream.tell() == len(body) else None


@pytest.mark.parametrize("kind", TOPIC_KINDS)
def test_both_codecs_write_the_same_bytes_and_read_the_same_records(kind: str) -> None:
    @EXAMPLES.get(kind, SOME)
    @given(st.lists(records(kind), min_size=1, max_size=4))
    def check(rows: list[dict[str, Any]]) -> None:
        codec = CODECS[kind]
        values = codec.encode(pa.RecordBatch.from_pylist(rows, schema=codec.arrow_schema), 7)
        assert values == [frame(write_body(row, schema_json(kind)), 7) for row in rows]
        decoded = codec.decode(values, known(kind))
        assert decoded.errors == []
        assert same(decoded.batch.to_pylist(), [read_whole(kind, value[5:]) for value in values])

    check()


@pytest.mark.parametrize("kind", TOPIC_KINDS)
def test_mutated_bytes_are_read_as_fastavro_reads_them_or_are_an_error(kind: str) -> None:
    @EXAMPLES.get(kind, SOME)
    @given(st.lists(st.tuples(records(kind), MUTATIONS), min_size=1, max_size=5), records(kind))
    def check(cases: list[tuple[dict[str, Any], list[tuple[str, int, int]]]], untouched: dict[str, Any]) -> None:
        bodies = [mutate(write_body(record, schema_json(kind)), mutations) for record, mutations in cases]
        bodies.append(write_body(untouched, schema_json(kind)))
        decoded = CODECS[kind].decode([frame(body, 7) for body in bodies], known(kind))
        assert decoded.rows[-1] == len(bodies) - 1
        assert sorted([*decoded.rows.tolist(), *(row for row, _ in decoded.errors)]) == list(range(len(bodies)))
        for row, record in zip(decoded.rows.tolist(), decoded.batch.to_pylist(), strict=True):
            assert same(record, read_whole(kind, bodies[row]))

    check()


@SOME
@given(st.lists(st.binary(max_size=60) | st.none(), max_size=6))
def test_noise_never_crashes_and_every_value_has_one_outcome(values: list[bytes | None]) -> None:
    decoded = CODECS["transactions"].decode(values, known("transactions"))
    assert sorted([*decoded.rows.tolist(), *(row for row, _ in decoded.errors)]) == list(range(len(values)))


@SOME
@given(st.lists(records("transactions", 1) | records("transactions"), min_size=1, max_size=8))
def test_two_versions_mixed_in_one_batch_are_read_as_fastavro_resolves_them(rows: list[dict[str, Any]]) -> None:
    texts = {1: schema_json("transactions", 1), 2: schema_json("transactions", 2)}
    written = [2 if "entry_mode" in row else 1 for row in rows]
    bodies = [write_body(row, texts[version]) for row, version in zip(rows, written, strict=True)]
    values = [frame(body, version) for body, version in zip(bodies, written, strict=True)]
    decoded = CODECS["transactions"].decode(values, lambda schema_id: WriterSchema(schema_id, True, texts[schema_id]))
    expected = [
        fastavro.schemaless_reader(io.BytesIO(body), parsed(texts[version]), PARSED["transactions"])
        for body, version in zip(bodies, written, strict=True)
    ]
    assert decoded.schema_ids.tolist() == written
    assert same(decoded.batch.to_pylist(), expected)
