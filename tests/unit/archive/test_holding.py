"""Which rows are about an entity: by its field, in Avro bytes, in what was not decoded, in a header; no other row."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.archive.tables import SCHEMA
from weir.archive.holding import Wanted, encode_text, holds

WANTED = "card-000007"
OTHER = {
    "key": b"card-000001",
    "value": b"\0\0\0\0\1\x16card-000001",
    "headers": [],
    "id": "t-1",
    "append_ms": 1,
    "card_id": "card-000001",
}


CARD = Wanted(WANTED, "card_id", is_key=True)
SHOP = Wanted(WANTED, "merchant_id", is_key=False)
"""An entity whose field this table does not have."""


def _holds(wanted: Wanted = CARD, **changed: Any) -> bool:
    row = {**OTHER, **changed}
    found: list[bool] = holds(pa.RecordBatch.from_pylist([row], schema=SCHEMA), wanted).to_pylist()
    return found[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"key": WANTED.encode()},
        {"card_id": WANTED},
        {"value": b"\0\0\0\0\1" + encode_text(WANTED) + b"more", "card_id": None},
        {"value": b"{'card': 'card-000007'}", "id": None, "card_id": None},
        {"value": b"card-000007", "id": None, "card_id": None, "key": None},
        {"headers": [{"name": "a", "value": None}, {"name": "b", "value": b"of card-000007!"}]},
    ],
)
def test_an_entity_is_found_wherever_its_id_is(changed: dict[str, Any]) -> None:
    assert _holds(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"key": None, "value": None, "headers": None, "card_id": None, "id": None},
        {"key": b"card-0000071"},
        {"value": encode_text(WANTED)},
        {"id": WANTED},
        {"value": encode_text("card-0000071"), "card_id": None},
        {"value": encode_text("xcard-000007"), "card_id": None},
        {"value": b"card-0000071 xcard-000007", "id": None, "card_id": None},
        {"headers": [{"name": "card-000007", "value": b"card-0000071"}]},
    ],
)
def test_another_entity_or_an_id_that_is_part_of_another_is_not_found(changed: dict[str, Any]) -> None:
    assert not _holds(**changed)


def test_an_entity_without_a_field_in_the_table_is_found_by_its_bytes() -> None:
    assert _holds(SHOP, value=b"\0\0\0\0\1" + encode_text(WANTED))
    assert _holds(SHOP, key=WANTED.encode())
    assert not _holds(SHOP, card_id=WANTED)


def test_each_row_answers_for_itself() -> None:
    rows = [OTHER, OTHER | {"headers": [{"name": "b", "value": WANTED.encode()}]}, OTHER, OTHER | {"card_id": WANTED}]
    assert holds(pa.RecordBatch.from_pylist(rows, schema=SCHEMA), CARD).to_pylist() == [False, True, False, True]


@given(st.text(max_size=300))
def test_a_text_is_encoded_as_avro_does(text: str) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "string", text)
    assert encode_text(text) == out.getvalue()
