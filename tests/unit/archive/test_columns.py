"""The columns of a table: names that are taken, types that a table has none for, hashes that never change."""

from __future__ import annotations

import hashlib
import zlib

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from weir.archive.columns import BUCKETS, FIXED, bucket_of, decoded_columns, hash_id


@given(st.binary(max_size=40))
def test_a_key_has_the_bucket_that_anybody_computes(key: bytes) -> None:
    assert bucket_of(key) == zlib.crc32(key) % BUCKETS


@given(st.text(max_size=40))
def test_an_id_has_the_hash_that_anybody_computes(text: str) -> None:
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert hash_id(text) % (1 << 64) == int(digest, 16)


def test_a_field_whose_name_is_taken_has_a_name_of_its_own() -> None:
    record = pa.schema(
        [(name, pa.string()) for name in FIXED.names] + [("Batch", pa.int64()), ("card_id", pa.string())]
    )
    names = [each.name for each in decoded_columns(record).values()]
    assert len({name.lower() for name in [*names, *FIXED.names]}) == len(names) + len(FIXED)
    assert names[-1] == "card_id"


def test_a_field_of_a_type_that_no_table_has_is_left_to_the_raw_bytes() -> None:
    union = pa.dense_union([pa.field("a", pa.int32()), pa.field("b", pa.string())])
    record = pa.schema(
        [("wide", union), ("wide_list", pa.list_(union)), ("texts", pa.list_(pa.string())), ("n", pa.int32())]
    )
    assert list(decoded_columns(record)) == ["texts", "n"]
