"""Schemas and bodies of a few bytes that stand for very much: refused or read within a bound, never followed."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from tests.unit.schemas.avro_types import TYPES
from tests.unit.schemas.records import frame, parsed, write_body
from weir.schemas.avro.codec import BatchCodec, Decoded, WriterSchema
from weir.schemas.avro.compatibility import parse_inlined
from weir.schemas.avro.extent import SCHEMA_DEPTH_MAX, VALUE_DEPTH_MAX, find_excess, measure
from weir.schemas.contracts import schema_json

LABEL = {
    "transaction_id": "t", "card_id": "c", "merchant_id": "m", "device_id": None,
    "event_time_ms": 1, "label_time_ms": 2, "is_fraud": True, "source": "x",
}  # fmt: skip
OURS = schema_json("labels")
SECONDS_MAX = 20.0


def with_fields(*types: Any) -> str:
    fields = [{"name": f"f{number}", "type": kind} for number, kind in enumerate(types)]
    ours = json.loads(OURS)
    return json.dumps(ours | {"fields": [*ours["fields"], *fields]})


def decode(schema: str, *tails: bytes) -> Decoded:
    """Decode labels with something after the fields that we know."""
    started = time.monotonic()
    values = [frame(write_body(LABEL, OURS) + tail, 9) for tail in tails]
    decoded = BatchCodec("labels").decode(values, lambda schema_id: WriterSchema(schema_id, True, schema))
    assert time.monotonic() - started < SECONDS_MAX
    return decoded


def nested(levels: int) -> Any:
    kind: Any = "int"
    for number in range(levels):
        kind = {"type": "record", "name": f"L{number}", "fields": [{"name": "f", "type": kind}]}
    return kind


def laughs(levels: int, leaf: Any = "null") -> Any:
    """A record of two of a record of two of ...: 2^levels leaves."""
    kind: Any = {"type": "record", "name": "R0", "fields": [{"name": "f", "type": leaf}]}
    for number in range(1, levels + 1):
        fields = [{"name": "a", "type": kind}, {"name": "b", "type": f"R{number - 1}"}]
        kind = {"type": "record", "name": f"R{number}", "fields": fields}
    return kind


@pytest.mark.parametrize("depth", [300, 20_000, 500_000])
def test_a_list_nested_beyond_the_bound_is_a_dead_letter_and_ends_no_process(depth: int) -> None:
    item = b"\x02\x02"  # 1, and another one after it
    schema = with_fields(TYPES["recursive list"][0])
    decoded = decode(schema, item * 3 + b"\x02\x00", item * depth + b"\x02\x00")
    assert [(row, error.reason) for row, error in decoded.errors] == [(1, "undecodable")]
    assert decoded.batch.to_pylist() == [LABEL]


def test_a_list_just_within_the_bound_is_read() -> None:
    items = VALUE_DEPTH_MAX // 2 - 2
    tail = b"\x02\x02" * items + b"\x02\x00"
    wide = b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # a long of ten bytes: the interpreted reader's
    long_list = {
        "type": "record",
        "name": "Item",
        "fields": [{"name": "n", "type": "long"}, {"name": "next", "type": ["null", "Item"]}],
    }
    assert decode(with_fields(TYPES["recursive list"][0]), tail).errors == []
    assert decode(with_fields(long_list), wide[1:] + wide * items + b"\x00").errors == []


@pytest.mark.parametrize("items", ["null", {"type": "record", "name": "E", "fields": []}, laughs(10)])
@pytest.mark.parametrize("count", [b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff\xff\xff\xff\x0f\x00"])
def test_an_array_of_nothing_that_says_it_is_endless_is_a_dead_letter(items: Any, count: bytes) -> None:
    decoded = decode(with_fields({"type": "array", "items": items}), b"\x04\x00", count + b"\x00")
    assert [(row, error.reason) for row, error in decoded.errors] == [(1, "undecodable")]
    assert decoded.batch.num_rows == 1


@pytest.mark.parametrize("leaf", ["null", "long", ["null", "bytes"]])
def test_a_schema_that_doubles_forty_times_is_refused(leaf: Any) -> None:
    decoded = decode(with_fields(laughs(40, leaf)), b"\x00" * 40)
    assert [error.reason for _, error in decoded.errors] == ["incompatible_schema"]
    assert "types" in str(decoded.errors[0][1])


def test_a_schema_that_doubles_ten_times_is_read() -> None:
    assert decode(with_fields(laughs(10)), b"").errors == []


@pytest.mark.parametrize("levels", [SCHEMA_DEPTH_MAX - 3, SCHEMA_DEPTH_MAX, 400, 100_000])
def test_a_deep_schema_is_read_or_refused(levels: int) -> None:
    text = with_fields("PUT").replace('"PUT"', '{"type": "array", "items": ' * levels + '"int"' + "}" * levels)
    decoded = decode(text, b"\x00")
    assert [error.reason for _, error in decoded.errors] == (
        [] if levels < SCHEMA_DEPTH_MAX - 2 else ["incompatible_schema"]
    )


def test_a_schema_of_a_megabyte_and_of_thousands_of_fields_is_read() -> None:
    schema = with_fields(*[["null", "bytes"]] * 10_000, *[["null", "long"]] * 10_000)
    assert len(schema) > 800_000
    decoded = decode(schema, b"\x00" * 20_000, b"\x00" * 19_999)
    assert [(row, error.reason) for row, error in decoded.errors] == [(1, "truncated")]
    assert decoded.batch.to_pylist() == [LABEL]


def test_documentation_of_a_megabyte_is_no_obstacle() -> None:
    schema = json.dumps(json.loads(with_fields("bytes")) | {"doc": "x" * (1 << 20)})
    assert decode(schema, b"\x00").errors == []


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"type":' * 100_000, "1" * 10_000, '"' + "x" * 1_000_000 + '"', "NaN"]
)
def test_text_that_is_no_schema_is_refused_in_a_short_line(text: str) -> None:
    decoded = decode(text, b"")
    assert [error.reason for _, error in decoded.errors] == ["incompatible_schema"]
    assert len(str(decoded.errors[0][1])) < 500


@pytest.mark.parametrize(
    ("schema", "types", "depth", "is_open_ended"),
    [
        ("long", 1, 1, False),
        (["null", "long"], 3, 2, False),
        (nested(3), 4, 4, False),
        (laughs(3), 23, 5, False),
        ({"type": "array", "items": {"type": "fixed", "name": "N", "size": 0}}, 2, 2, True),
        ({"type": "map", "values": "null"}, 2, 2, False),
        (TYPES["recursive tree"][0], 3, 3, True),
    ],
)
def test_the_size_of_a_schema(schema: Any, types: int, depth: int, is_open_ended: bool) -> None:
    found = measure(parsed(json.dumps({"type": "record", "name": "T", "fields": [{"name": "f", "type": schema}]})))
    assert (found.types - 1, found.depth - 1, found.is_open_ended) == (types, depth, is_open_ended)


@pytest.mark.parametrize("name", list(TYPES))
def test_the_walk_ends_where_the_reader_ends_and_stops_at_any_cut(name: str) -> None:
    kind, value = TYPES[name]
    plain = json.loads(json.dumps(kind).replace('"logicalType"', '"was"'))
    text = json.dumps({"type": "record", "name": "T", "fields": [{"name": "f", "type": plain}]})
    body = write_body({"f": value}, text)
    schema = parsed(text)
    assert find_excess(body, schema, 9) is None
    cut = [find_excess(body[:end], schema, 9) for end in range(len(body))]
    assert all(found is not None and found.reason == "truncated" for found in cut)


@pytest.mark.parametrize("name", ["recursive list", "recursive tree", "array of null"])
def test_mutated_bodies_of_open_ended_schemas_have_one_outcome_each(name: str) -> None:
    rng = random.Random(7)
    schema = with_fields(TYPES[name][0])
    tails = [bytes(rng.choice((0, 1, 2, 4, 126, 254, 255)) for _ in range(rng.randrange(60))) for _ in range(500)]
    decoded = decode(schema, *tails)
    assert sorted([*decoded.rows.tolist(), *(row for row, _ in decoded.errors)]) == list(range(len(tails)))


def test_a_recursive_schema_stays_comparable() -> None:
    text = with_fields(TYPES["recursive tree"][0])
    assert parse_inlined(text)["fields"][-1]["type"]["fields"][0]["type"]["items"] == "Node"
