from __future__ import annotations

import json
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.schemas.records import frame, write_body
from weir.schemas.avro.codec import PLANS_BYTES_MAX, PLANS_MAX, BatchCodec, Decoded, WriterSchema
from weir.schemas.avro.framing import VALUE_BYTES_MAX
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord, Transient

OURS = 2
CODEC = BatchCodec("transactions")


def transaction(**changed: Any) -> dict[str, Any]:
    return {
        "transaction_id": "t1",
        "card_id": "card-1",
        "customer_id": "customer-1",
        "merchant_id": "merchant-1",
        "mcc": 5411,
        "channel": "POS",
        "amount_minor": 1_250,
        "currency": "EUR",
        "country": "DE",
        "event_time_ms": 1_700_000_000_000,
        "outcome": "ACCEPTED",
        "device_id": None,
        "ip": None,
        "lat": None,
        "lon": None,
        "issuer_country": None,
        "entry_mode": "chip",
    } | changed


def body(**changed: Any) -> bytes:
    return write_body(transaction(**changed), schema_json("transactions"))


def decode(*values: bytes | None, **schemas: str) -> Decoded:
    """Decode by our newest schema under id 2 and others as ``id_9=...``."""
    known = {OURS: schema_json("transactions")} | {int(name[3:]): text for name, text in schemas.items()}
    return CODEC.decode(list(values), lambda schema_id: WriterSchema(schema_id, True, known[schema_id]))


def edited_schema(**fields: Any) -> str:
    """Our newest schema with some fields' types replaced, added (new name) or dropped (None)."""
    schema = json.loads(schema_json("transactions"))
    kept = [field for field in schema["fields"] if field["name"] not in fields]
    kept += [{"name": name, "type": fields[name]} for name in fields if fields[name] is not None]
    return json.dumps(schema | {"fields": kept})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty_value"),
        (b"", "empty_value"),
        (b"\x00\x00", "truncated"),
        (b"\x00\x00\x00\x00\x02", "truncated"),
        (frame(body()[:20], OURS), "truncated"),
        (b"{" + body(), "wrong_magic"),
        (frame(body(), 0), "wrong_frame"),
        (b"\x00" + (7).to_bytes(8, "big") + body(), "wrong_frame"),
        (b"\x01", "wrong_magic"),
        (frame(body() + b"\x00", OURS), "trailing_bytes"),
        (frame(body() + body(), OURS), "trailing_bytes"),
        (frame(bytes(VALUE_BYTES_MAX), OURS), "value_too_large"),
        (frame(body().replace(b"card-1", b"card-\xff"), OURS), "undecodable"),
        (frame(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + body(), OURS), "truncated"),  # a string of 2^63 - 1 bytes
        (frame(b"\x01" + body(), OURS), "truncated"),  # a string of -1 bytes
    ],
)
def test_a_value_that_is_no_record_is_an_error_and_its_neighbours_are_rows(value: bytes | None, reason: str) -> None:
    decoded = decode(frame(body(card_id="before"), OURS), value, frame(body(card_id="after"), OURS))
    assert [(row, error.reason) for row, error in decoded.errors] == [(1, reason)]
    assert decoded.rows.tolist() == [0, 2]
    assert decoded.batch.column("card_id").to_pylist() == ["before", "after"]
    assert str(decoded.errors[0][1]).startswith("expected ")


def test_a_number_outside_its_type_is_undecodable_and_does_not_wrap() -> None:
    schema = schema_json("transactions").replace('"mcc","type":"int"', '"mcc","type":"long"')
    wide = write_body(transaction(mcc=1 << 40), schema)
    assert [error.reason for _, error in decode(frame(wide, OURS)).errors] == ["undecodable"]


def test_a_varint_longer_than_it_must_be_is_still_the_same_record() -> None:
    canonical = body(transaction_id="t1")
    longer = b"\x84\x00" + canonical[1:]
    decoded = decode(frame(longer, OURS))
    assert decoded.errors == []
    assert decoded.batch.to_pylist() == [transaction()]


def test_an_array_written_in_blocks_with_their_size_is_still_the_same_record() -> None:
    schema = edited_schema(tags={"type": "array", "items": "string"})
    blocks = b"\x01\x04\x02a" + b"\x00"  # one block: -1 item, 2 bytes, "a"; end
    decoded = decode(frame(body() + blocks, 9), frame(body() + blocks + b"\x00", 9), id_9=schema)
    assert decoded.batch.to_pylist() == [transaction()]
    assert [(row, error.reason) for row, error in decoded.errors] == [(1, "trailing_bytes")]


def test_nothing_in_gives_no_rows_with_the_readers_columns() -> None:
    decoded = decode()
    assert decoded.batch.schema == CODEC.arrow_schema
    assert (decoded.batch.num_rows, decoded.rows.tolist(), decoded.errors) == (0, [], [])


@pytest.mark.parametrize(
    ("edits", "written", "read"),
    [
        ({"mcc": "long"}, None, None),  # long to int is no promotion
        ({"amount_minor": "int"}, {"amount_minor": 7}, {"amount_minor": 7}),
        ({"lat": ["null", "float"], "lon": ["null", "float"]}, {"lat": 1.5, "lon": 2.0}, {"lat": 1.5, "lon": 2.0}),
        ({"device_id": "string"}, {"device_id": "d"}, {"device_id": "d"}),
        ({"entry_mode": None}, {}, {"entry_mode": None}),
        ({"country": None}, None, None),  # ours has no default for it
        ({"loyalty": "string"}, {"loyalty": "gold"}, {}),
        ({"extras": {"type": "map", "values": "string"}}, {"extras": {"a": "b"}}, {}),
        ({"choice": ["int", "string", "null"]}, {"choice": "x"}, {}),
        ({"event_time_ms": {"type": "long", "logicalType": "timestamp-millis"}}, {}, {}),
        (
            {"channel": {"type": "enum", "name": "Channel", "symbols": ["POS", "KIOSK"]}},
            {"channel": "KIOSK"},
            {"channel": "OTHER"},
        ),
        ({"channel": {"type": "enum", "name": "Channel", "symbols": ["ATM", "POS"]}}, {}, {}),
    ],
)
def test_a_writer_with_a_schema_of_its_own_is_resolved_or_refused(
    edits: dict[str, Any], written: dict[str, Any] | None, read: dict[str, Any] | None
) -> None:
    schema = edited_schema(**edits)
    if written is None:
        decoded = decode(frame(b"\x00", 9), id_9=schema)
        assert [error.reason for _, error in decoded.errors] == ["incompatible_schema"]
        return
    value = frame(write_body(transaction(**written), schema), 9)
    decoded = decode(value, frame(body(card_id="ours"), OURS), value, value + b"\x00", id_9=schema)
    assert decoded.batch.to_pylist() == [
        transaction(**(read or {})),
        transaction(card_id="ours"),
        transaction(**(read or {})),
    ]
    assert [(row, error.reason) for row, error in decoded.errors] == [(3, "trailing_bytes")]
    assert decoded.schema_ids.tolist() == [9, OURS, 9]


def nullable_schema(*, null_first: bool = True, **changed: Any) -> str:
    """Our newest schema as stream processors write it: every field may be null, and the record has their name."""
    schema = json.loads(schema_json("transactions"))
    for field in schema["fields"]:
        kind = field["type"][1] if isinstance(field["type"], list) else field["type"]
        field["type"] = ["null", kind] if null_first else [kind, "null"]
        field.pop("default", None)
    return json.dumps(schema | changed)


@pytest.mark.parametrize("null_first", [True, False])
@pytest.mark.parametrize("names", [{}, {"name": "KsqlDataSourceSchema", "namespace": "io.ksql"}, {"name": "a.b.C"}])
@pytest.mark.parametrize("by_records", [False, True], ids=["by columns", "by records"])
def test_a_writer_whose_fields_may_all_be_null_is_resolved_record_by_record(
    null_first: bool, names: dict[str, str], by_records: bool
) -> None:
    schema = json.loads(nullable_schema(null_first=null_first, **names))
    schema["fields"] += [{"name": "more", "type": ["null", "bytes"]}] if by_records else []
    text = json.dumps(schema)
    more = {"more": None} if by_records else {}
    records = [
        transaction(),
        transaction(mcc=None),
        transaction(card_id=None, amount_minor=None, ip="::1"),
        transaction(channel=None),
        transaction(card_id="last", device_id="d"),
    ]
    decoded = decode(*[frame(write_body(record | more, text), 9) for record in records], id_9=text)
    assert decoded.batch.to_pylist() == [records[0], records[4]]
    assert [(row, error.reason, error.field) for row, error in decoded.errors] == [
        (1, "missing_field", "mcc"),
        (2, "missing_field", "card_id"),
        (3, "missing_field", "channel"),
    ]
    assert str(decoded.errors[0][1]) == "expected a value, found null at $.mcc"


@pytest.mark.parametrize("by_records", [False, True])
def test_a_null_and_a_broken_body_are_told_apart(by_records: bool) -> None:
    text = (
        nullable_schema() if not by_records else nullable_schema().replace('["null", "int"]', '["null", "long", "int"]')
    )
    whole = frame(write_body(transaction(mcc=None), text), 9)
    decoded = decode(whole[:-2], whole, whole + b"\x00", id_9=text)
    assert [error.reason for _, error in decoded.errors] == ["truncated", "missing_field", "trailing_bytes"]


def test_a_value_of_a_branch_that_we_cannot_take_is_an_error_that_names_its_field() -> None:
    text = edited_schema(mcc=["null", "int", "string"])
    values = [frame(write_body(transaction(mcc=mcc), text), 9) for mcc in (7, "7", None)]
    decoded = decode(*values, id_9=text)
    assert [(row, error.reason, error.field) for row, error in decoded.errors] == [
        (1, "undecodable", "mcc"),
        (2, "missing_field", "mcc"),
    ]


@pytest.mark.parametrize(
    "schema", ["", "{}", '"string"', "syntax = 3;", '{"type": "record", "name": "Other", "fields": []}']
)
def test_a_writer_schema_that_is_none_of_ours_is_incompatible(schema: str) -> None:
    decoded = decode(frame(body(), 9), id_9=schema)
    assert [error.reason for _, error in decoded.errors] == ["incompatible_schema"]


def test_the_lookup_is_asked_once_per_id_and_its_refusal_reaches_every_record() -> None:
    asked = []

    def look_up(schema_id: int) -> WriterSchema | PoisonRecord:
        asked.append(schema_id)
        return PoisonRecord("unknown_schema_id", "expected a registered id")

    decoded = CODEC.decode([frame(b"x", 8), frame(b"y", 8)], look_up)
    assert asked == [8]
    assert [(row, error.reason) for row, error in decoded.errors] == [
        (0, "unknown_schema_id"),
        (1, "unknown_schema_id"),
    ]


def test_an_id_of_another_subject_is_foreign_even_when_its_schema_would_do() -> None:
    decoded = CODEC.decode([frame(body(), 5)], lambda _: WriterSchema(5, False, schema_json("transactions")))
    assert [error.reason for _, error in decoded.errors] == ["foreign_schema_id"]


def test_a_registry_that_is_away_is_not_a_verdict_on_any_record() -> None:
    def look_up(_: int) -> WriterSchema | PoisonRecord:
        raise Transient("registry: away")

    with pytest.raises(Transient):
        CODEC.decode([frame(body(), 5)], look_up)


def test_errors_never_quote_the_bytes_they_are_about() -> None:
    number = b"4111111111111111"
    values = [frame(number, OURS), number, frame(body() + number, OURS), frame(body()[:30] + number, OURS)]
    decoded = decode(*values)
    assert len(decoded.errors) == 4
    assert not any("4111" in str(error) for _, error in decoded.errors)


def test_plans_kept_are_bounded() -> None:
    codec = BatchCodec("transactions")
    for number in range(PLANS_MAX + 5):
        codec.decode(
            [frame(b"", number + 1)], lambda schema_id: WriterSchema(schema_id, True, f"not a schema {schema_id}")
        )
    assert len(codec._plans) == PLANS_MAX


def test_plans_of_large_schemas_are_bounded_by_their_text() -> None:
    codec = BatchCodec("transactions")
    large = [
        edited_schema(**{f"f{number}": ["null", "bytes"]}).replace("{", "{" + " " * 500_000, 1) for number in range(40)
    ]
    for number, text in enumerate(large):
        codec.decode([frame(b"", number + 1)], partial(WriterSchema, subject_ok=True, schema=text))
    assert codec._plans_bytes == sum(map(len, codec._plans)) <= PLANS_BYTES_MAX
    assert large[-1] in codec._plans


def test_many_bad_values_scattered_among_good_ones_are_all_found() -> None:
    values = [frame(body(amount_minor=n), OURS) for n in range(500)]
    for row in range(0, 500, 7):
        values[row] = values[row][:-3] if row % 2 else values[row] + b"\x00"
    decoded = decode(*values)
    assert [row for row, _ in decoded.errors] == list(range(0, 500, 7))
    assert decoded.batch.column("amount_minor").to_pylist() == [n for n in range(500) if n % 7]


@pytest.mark.parametrize(
    "column",
    [pa.array([None], pa.string()), pa.array([7], pa.int64())],
    ids=["null where there is none", "another type"],
)
def test_encoding_refuses_a_column_that_the_schema_does_not_allow(column: pa.Array) -> None:
    row = pa.RecordBatch.from_pylist([transaction()], schema=CODEC.arrow_schema)
    columns = {name: row.column(name) for name in row.schema.names} | {"card_id": column}
    with pytest.raises(ValueError, match="expected"):
        CODEC.encode(pa.RecordBatch.from_pydict(columns), OURS)


def test_encoding_refuses_a_null_inside_a_list() -> None:
    codec = BatchCodec("features")
    row: dict[str, Any] = {}
    for field in codec.arrow_schema:
        row[field.name] = None if field.nullable else {"string": "x", "bool": False}.get(str(field.type), 1)
    broken = pa.RecordBatch.from_pylist([row | {"degraded": ["card", None]}], schema=codec.arrow_schema)
    with pytest.raises(ValueError, match="degraded"):
        codec.encode(broken, 1)


def test_encoding_takes_columns_in_any_order() -> None:
    row = pa.RecordBatch.from_pylist([transaction()], schema=CODEC.arrow_schema)
    assert CODEC.encode(row.select(row.schema.names[::-1]), OURS) == [frame(body(), OURS)]


def test_rows_with_types_that_the_fast_encoder_cannot_write_are_written_all_the_same() -> None:
    kinds: dict[str, object] = {
        "price": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}],
        "mark": {"type": "fixed", "name": "Mark", "size": 2},
        "at": {"type": "long", "logicalType": "timestamp-millis"},
    }
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    codec = BatchCodec(schema=json.dumps({"type": "record", "name": "R", "fields": fields}))
    rows = [{"price": None, "mark": b"ab", "at": 5}, {"price": b"\x01\x02", "mark": b"cd", "at": -1}]
    written = codec.encode(pa.RecordBatch.from_pylist(rows, schema=codec.arrow_schema), 7)
    plain = json.dumps({"type": "record", "name": "R", "fields": fields})
    decoded = codec.decode(written, lambda schema_id: WriterSchema(schema_id, True, plain))
    assert decoded.batch.to_pylist() == rows
    assert decoded.errors == []
