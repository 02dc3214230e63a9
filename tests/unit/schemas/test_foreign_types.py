"""A producer's further field, of any type of Avro, costs no record: it is read past, by whichever reader can."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import pyarrow as pa
import pyruhvro
import pytest

from tests.unit.schemas.avro_types import further_fields
from tests.unit.schemas.records import frame, parsed
from weir.schemas.avro import columns, projection
from weir.schemas.avro.codec import BatchCodec, Decoded, WriterSchema
from weir.schemas.avro.columns import Columns, is_columnar
from weir.schemas.avro.compatibility import parse_inlined
from weir.schemas.avro.native import NativeFailure, call_native
from weir.schemas.contracts import TOPIC_KINDS, schema_json

FIELDS = list(further_fields())
NAMES = [name for name, _, _ in FIELDS]


def sample_of(kind: str) -> dict[str, Any]:
    """A record of the newest schema."""
    inlined = parse_inlined(schema_json(kind))
    return {field["name"]: _value_of(field["type"]) for field in inlined["fields"]}


def _value_of(schema: Any) -> Any:
    if isinstance(schema, list):
        return _value_of(schema[-1])
    if isinstance(schema, dict):
        return schema["symbols"][0] if schema["type"] == "enum" else []
    return {"string": "x", "boolean": True, "float": 1.5, "double": 1.5}.get(schema, 7)


def with_field(kind: str, schema: Any) -> str:
    ours = json.loads(schema_json(kind))
    return json.dumps(ours | {"fields": [*ours["fields"], {"name": "further", "type": schema}]})


def write(record: dict[str, Any], schema: str) -> bytes:
    """Write with fastavro, which knows nothing of what a logical type holds."""
    stream = io.BytesIO()
    plain = json.loads(schema.replace('"logicalType"', '"was"'))
    fastavro.schemaless_writer(stream, fastavro.parse_schema(plain, named_schemas={}), record)
    return stream.getvalue()


def decode(kind: str, schema: str, bodies: list[bytes]) -> Decoded:
    """Decode bodies of a foreign schema among records of our own."""
    known = {1: schema_json(kind), 9: schema}
    ours = frame(write(sample_of(kind), known[1]), 1)
    values = [ours, *(frame(body, 9) for body in bodies), ours]
    return BatchCodec(kind).decode(values, lambda schema_id: WriterSchema(schema_id, True, known[schema_id]))


@pytest.mark.parametrize(("schema", "values"), [field[1:] for field in FIELDS], ids=NAMES)
def test_a_further_field_of_any_type_is_read_past(schema: Any, values: list[Any]) -> None:
    kind, record = "transactions", sample_of("transactions")
    text = with_field(kind, schema)
    for bodies in ([], [write(record | {"further": value}, text) for value in values]):
        decoded = decode(kind, text, bodies)
        assert decoded.errors == []
        assert decoded.batch.to_pylist() == [record] * (len(bodies) + 2)


@pytest.mark.parametrize("kind", TOPIC_KINDS)
@pytest.mark.parametrize("schema", [["null", {"type": "bytes", "logicalType": "decimal", "precision": 12}], "bytes"])
def test_every_kind_of_record_takes_a_further_field(kind: str, schema: Any) -> None:
    record, text = sample_of(kind), with_field(kind, schema)
    decoded = decode(kind, text, [write(record | {"further": b"\x01"}, text)])
    assert decoded.errors == []
    assert decoded.batch.to_pylist() == [record] * 3


@pytest.mark.parametrize(
    "further",
    [
        {"type": ["null", {"type": "enum", "name": "E", "symbols": []}]},
        {"type": ["null", {"type": "fixed", "name": "F", "size": 1 << 62}]},
        {"type": ["null", "string"], "default": "of another branch"},
        {"type": ["null", "int"], "default": {"of": "another type"}},
        {"type": ["null", "int"], "doc": 5, "order": "sideways", "more": {"logicalType": 7}},
        {"type": ["null", {"type": "record", "name": "elsewhere.Label", "fields": []}]},
        {"type": ["null", {"type": "error", "name": "Oops", "fields": [{"name": "x", "type": "bytes"}]}]},
    ],
)
def test_a_further_field_that_is_odd_is_read_past(further: dict[str, Any]) -> None:
    ours, record = json.loads(schema_json("labels")), sample_of("labels")
    text = json.dumps(ours | {"fields": [*ours["fields"], further | {"name": "further"}]})
    body = write(record, schema_json("labels")) + b"\x00"
    decoded = decode("labels", text, [body])
    assert (decoded.errors, decoded.batch.num_rows) == ([], 3)


@pytest.mark.parametrize("place", ["first", "between"])
def test_a_field_of_another_type_before_ours_is_read_past(place: str) -> None:
    ours, record = json.loads(schema_json("transactions")), sample_of("transactions")
    at = 0 if place == "first" else 5
    further = {"name": "further", "type": {"type": "map", "values": "bytes"}}
    text = json.dumps(ours | {"fields": [*ours["fields"][:at], further, *ours["fields"][at:]]})
    decoded = decode("transactions", text, [write(record | {"further": {"k": b"\x00"}}, text)])
    assert (decoded.errors, decoded.batch.num_rows) == ([], 3)


@pytest.mark.parametrize(("schema", "values"), [field[1:] for field in FIELDS], ids=NAMES)
def test_what_is_named_columnar_is_read_and_written_as_the_exact_reader_does(schema: Any, values: list[Any]) -> None:
    plain = json.loads(with_field("labels", schema).replace('"logicalType"', '"was"'))
    text = json.dumps(plain)
    inlined = parse_inlined(text)
    if not is_columnar(inlined):
        return
    fast = Columns(text)
    assert fast.prove(inlined, parsed(text))
    records = [sample_of("labels") | {"further": value} for value in values]
    batch = fast.read([write(record, text) for record in records])
    assert batch.to_pylist() == records
    assert fast.write(batch).to_pylist() == [write(record, text) for record in records]


def test_the_table_names_most_plain_types() -> None:
    assert is_columnar(parse_inlined(schema_json("features")))
    assert [kind for kind in ("boolean", "int", "long", "float", "double", "string") if not is_columnar(kind)] == []


@pytest.mark.parametrize("schema", ["bytes", {"type": "fixed", "name": "F", "size": 4}])
def test_a_schema_that_the_table_lets_through_wrongly_is_caught_by_its_proof(
    schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "is_columnar", lambda _: True)
    monkeypatch.setitem(columns._SAMPLES, "bytes", (b"", b"\x01", b"\x00\xff"))
    monkeypatch.setattr(columns, "_build_sample", _with_fixed(columns._build_sample))
    record, text = sample_of("transactions"), with_field("transactions", schema)
    decoded = decode("transactions", text, [write(record | {"further": b"\x01\x02\x03\x04"}, text)])
    assert (decoded.errors, decoded.batch.num_rows) == ([], 3)


def _with_fixed(build: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    def build_any(inlined: Any, turn: int) -> Any:
        is_fixed = isinstance(inlined, dict) and inlined["type"] == "fixed"
        return bytes(inlined["size"]) if is_fixed else build(inlined, turn)

    return build_any


class Panic(BaseException):
    """Stands for the class that a panic in Rust has here."""


@pytest.mark.parametrize("error", [Panic, ValueError, LookupError, RuntimeError, pa.ArrowInvalid])
@pytest.mark.parametrize("function", ["deserialize_array", "serialize_record_batch"])
def test_a_native_decoder_that_fails_in_any_way_leaves_the_batch_to_the_exact_reader(
    function: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, record = schema_json("transactions"), sample_of("transactions")
    codec = BatchCodec("transactions")
    values = [frame(write(record, text), 1)] * 3

    def look_up(schema_id: int) -> WriterSchema:
        return WriterSchema(schema_id, True, text)

    assert codec.decode(values, look_up).batch.num_rows == 3  # the plan is made and has proved itself

    def fail(*_: object) -> None:
        raise error("join error: task 1 panicked")

    monkeypatch.setattr(pyruhvro, function, fail)
    decoded = codec.decode([*values, values[0][:-1]], look_up)
    assert decoded.batch.to_pylist() == [record] * 3
    assert [row for row, _ in decoded.errors] == [3]


def test_what_is_accepted_without_the_fast_decoder_is_accepted_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    further = [{"name": "s", "type": "string"}, {"name": "i", "type": "int"}, {"name": "n", "type": ["null", "long"]}]
    ours = json.loads(schema_json("labels"))
    text = json.dumps(ours | {"fields": [*ours["fields"], *further]})
    body = write(sample_of("labels"), schema_json("labels"))
    tails = [
        b"\x02a\x02\x00",
        b"\x02\xff\x02\x00",
        b"\x02a\xff\xff\xff\xff\x7f\x00",
        b"\x02a\x02\x04",
        b"\x02a\x02",
        b"",
    ]
    values = [frame(body + tail, 1) for tail in tails]

    def decode_all() -> tuple[list[int], list[tuple[int, str]]]:
        decoded = codec.decode(values, lambda schema_id: WriterSchema(schema_id, True, text))
        return decoded.rows.tolist(), [(row, error.reason) for row, error in decoded.errors]

    codec = BatchCodec("labels")
    with_it = decode_all()
    monkeypatch.setattr(pyruhvro, "deserialize_array", pytest.fail)
    assert decode_all() == with_it
    assert with_it[0] == [0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_what_a_library_does_not_raise_by_itself_passes(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(error):
        call_native(fail)


def test_a_native_failure_names_a_class_and_quotes_nothing() -> None:
    def fail() -> None:
        raise Panic("4111111111111111")

    with pytest.raises(NativeFailure) as failure:
        call_native(fail)
    assert str(failure.value) == "Panic"
