"""The decoder under 20,000 mutated records; ``python -m tests.fuzz --records N`` runs more of them."""

from __future__ import annotations

import pytest

from tests.fuzz.decoder import Tally, fuzz
from tests.fuzz.strict import NotAvro, Reader
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import TOPIC_KINDS, schema_json


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    return dict(fuzz(20_000, seed=1))


@pytest.mark.parametrize("kind", TOPIC_KINDS)
def test_mutated_records_are_read_as_two_other_readers_do_or_are_dead_letters(
    tallies: dict[str, Tally], kind: str
) -> None:
    tally = tallies[kind]
    assert tally.wrong == []
    assert tally.accepted > tally.values / 10
    assert tally.untouched > 0
    assert {"undecodable", "truncated", "trailing_bytes", "unknown_schema_id", "foreign_schema_id"} <= set(
        tally.reasons
    )


@pytest.mark.parametrize("last", [2, 0x42, 0x7F])
def test_a_long_of_more_than_64_bits_is_out_of_range_and_not_cut_to_size(last: int) -> None:
    label = b"\x02t\x02c\x02m\x00" + b"\xfe" + b"\xff" * 8 + bytes([last]) + b"\x02\x00\x00"
    schema = WriterSchema(1, subject_ok=True, schema=schema_json("labels"))
    decoded = BatchCodec("labels").decode([b"\x00\x00\x00\x00\x01" + label], lambda _: schema)
    assert [error.reason for _, error in decoded.errors] == ["undecodable"]


@pytest.mark.parametrize(
    ("schema", "body", "value"),
    [
        ("long", b"\x80\x00", 0),
        ("int", b"\xff\xff\xff\xff\x0f", -(1 << 31)),
        ("boolean", b"\x02", None),
        ("int", b"\xff\xff\xff\xff\x1f", None),
        ("long", b"\x80" * 10 + b"\x00", None),
        ("string", b"\x04\xc3", None),
        ("string", b"\x02\xff", None),
        ("string", b"\x01", None),
        (["null", "int"], b"\x04", None),
        ({"type": "array", "items": "int"}, b"\x03\x04\x02\x04\x00", [1, 2]),
        ({"type": "array", "items": "int"}, b"\x03\x06\x02\x04\x00", [1, 2]),
    ],
)
def test_the_strict_reader_follows_the_specification(schema: object, body: bytes, value: object) -> None:
    if value is None:
        with pytest.raises(NotAvro):
            Reader(body).read(schema)
    else:
        assert Reader(body).read(schema) == value
