"""Rows made of records: every record has one, decoded or not, and its leaf is that of its bytes."""

from __future__ import annotations

import datetime
import hmac
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from weir.archive.columns import FIXED, bucket_of, decoded_columns, hash_id
from weir.archive.rows import Raw, RowMaker, sort_rows
from weir.archive.tree import row_bytes
from weir.schemas.avro.codec import Decoded

RECORD = pa.schema([("transaction_id", pa.string()), ("amount_minor", pa.int64())])
DAY_MS = 86_400_000


def decode(values: Sequence[bytes | None]) -> Decoded:
    """``b"t1:5"`` is a record; all else is none."""
    found = [(row, *value.decode().split(":")) for row, value in enumerate(values) if value and b":" in value]
    rows = [{"transaction_id": one, "amount_minor": int(str(amount))} for _, one, amount in found]
    places = np.array([row for row, *_ in found], np.int64)
    return Decoded(pa.RecordBatch.from_pylist(rows, schema=RECORD), places, [], np.zeros(len(rows), np.int64))


def build_raw(values: Sequence[bytes | None], *, first: int = 0, append_ms: int = 0) -> Raw:
    raw = Raw()
    for number, value in enumerate(values):
        raw.partitions.append(number % 2)
        raw.offsets.append(first + number)
        raw.append_ms.append(append_ms + number)
        raw.keys.append(None if number % 5 == 4 else f"card-{number % 3}".encode())
        raw.values.append(value)
        raw.headers.append([("a", b"1"), ("b", None)] if number % 2 else [])
        raw.framed.append(value)
    return raw


def build_maker(columns: dict[str, pa.Field] | None = None) -> RowMaker:
    own = decoded_columns(RECORD) if columns is None else columns
    return RowMaker("payments", own, decode, "transaction_id", random.Random(1).randbytes)


def test_every_record_has_a_row_decoded_where_it_can_be() -> None:
    raw = build_raw([b"t0:5", None, b"garbage", b"", b"t4:7"])
    rows = build_maker().make(raw)
    found = rows.to_pylist()
    assert [row["value"] for row in found] == raw.values
    assert [row["key"] for row in found] == raw.keys
    assert [row["id"] for row in found] == ["t0", None, None, None, "t4"]
    assert [row["amount_minor"] for row in found] == [5, None, None, None, 7]
    assert [row["id_hash"] for row in found] == [hash_id("t0"), None, None, None, hash_id("t4")]
    assert [row["bucket"] for row in found] == [bucket_of(key) for key in raw.keys]
    assert found[1]["headers"] == [{"name": "a", "value": b"1"}, {"name": "b", "value": None}]


def test_the_id_of_a_request_is_taken_from_the_headers_where_it_may_be_passed_on() -> None:
    raw = build_raw([b"t0:5"] * 4)
    raw.headers = [[("x-request-id", each)] for each in (b"order-7", b"a b", b"4111111111111111", None)]
    rows = build_maker().make(raw).to_pylist()
    assert [row["x_request_id"] for row in rows] == ["order-7", None, None, None]


def test_a_leaf_is_the_keyed_hash_of_the_record_under_the_rows_salt() -> None:
    raw = build_raw([b"t0:5", None])
    for number, row in enumerate(build_maker().make(raw).to_pylist()):
        part: list[Any] = [raw.partitions, raw.offsets, raw.append_ms, raw.keys, raw.values, raw.headers]
        canonical = row_bytes("payments", *(column[number] for column in part))
        assert row["leaf"] == hmac.new(row["salt"], b"\0" + canonical, "sha256").digest()
        assert len(row["salt"]) == 16


def test_salts_differ_from_row_to_row() -> None:
    rows = build_maker().make(build_raw([b"t0:5"] * 500))
    assert len(set(rows["salt"].to_pylist())) == 500


def test_a_day_is_that_of_the_append_time_in_utc() -> None:
    rows = build_maker().make(build_raw([b"t0:1", b"t1:1"], append_ms=20_000 * DAY_MS - 1))
    days = [datetime.date(1970, 1, 1) + datetime.timedelta(days=count) for count in (19_999, 20_000)]
    assert rows["day"].to_pylist() == days


def test_a_value_that_does_not_fit_its_column_is_null_there_and_whole_in_the_bytes() -> None:
    narrow = {"amount_minor": pa.field("amount_minor", pa.int32())}
    rows = build_maker(narrow).make(build_raw([b"t0:5", b"t1:5000000000", b"t2:6"])).to_pylist()
    assert [row["amount_minor"] for row in rows] == [5, None, 6]
    assert rows[1]["value"] == b"t1:5000000000"


def test_rows_are_sorted_by_bucket_and_key_and_carry_the_number_of_their_batch() -> None:
    maker = build_maker()
    made = [maker.make(build_raw([b"t:1"] * 20, first=first)) for first in (20, 0)]
    table = sort_rows(made, 7)
    assert table.schema.names[: len(FIXED)] == FIXED.names
    rows = table.to_pylist()
    places = [(row["bucket"], row["key"] or b"\xff", row["partition"], row["offset"]) for row in rows]
    assert places == sorted(places)
    assert {row["batch"] for row in rows} == {7}
    assert len(rows) == 40
