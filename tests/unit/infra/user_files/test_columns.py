"""A column converted at once is what its values are one by one, in every type that a column can come in."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.infra.user_files.columns import convert
from weir.infra.user_files.fields import Field, fields_of
from weir.infra.user_files.plan import arrow_schema
from weir.infra.user_files.values import Value, parse_value
from weir.schemas.errors import PoisonRecord

FIELDS = [(kind, field) for kind in ("transactions", "labels") for field in fields_of(kind)]
TEXTS = st.sampled_from(
    ["", " ", "a", " a ", "POS", "pos ", "ACCEPTED", "1", "01", "12", "9" * 18, "9" * 19, "1.0", "1.5", "true", "No",
     "4.1E+15", "x\0y", "\udcff", "DE", "Ünïcode", "2026-07-25T17:20:00Z", "2026-07-25", "-3", "48.1"]
)  # fmt: skip


def one_by_one(target: Field, values: list[Any]) -> list[Value | str]:
    """The slow way is the oracle: each value by itself, a refusal as its reason."""
    found: list[Value | str] = []
    for value in values:
        try:
            found.append(parse_value(target, value))
        except PoisonRecord as error:
            found.append(f"refused: {error}")
    return found


def at_once(target: Field, column: Any, kind: str) -> list[Value | str]:
    converted = convert(target, column, arrow_schema(kind).field(target.name).type)
    values = converted.values.to_pylist()
    return [
        f"refused: {converted.errors[row]}" if row in converted.errors else values[row] for row in range(len(values))
    ]


@pytest.mark.parametrize(("kind", "target"), FIELDS, ids=[f"{kind}.{field.name}" for kind, field in FIELDS])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_texts_of_a_csv_column_are_what_they_are_one_by_one(kind: str, target: Field, data: st.DataObject) -> None:
    values = data.draw(st.lists(TEXTS, max_size=6) | st.lists(st.text(st.characters(codec="utf-8")), max_size=4))
    assert at_once(target, values, kind) == one_by_one(target, values)


@pytest.mark.parametrize(("kind", "target"), FIELDS, ids=[f"{kind}.{field.name}" for kind, field in FIELDS])
@pytest.mark.parametrize("text_type", [pa.string(), pa.large_string()], ids=str)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_an_arrow_text_column_is_what_its_values_are(
    kind: str, target: Field, text_type: Any, data: st.DataObject
) -> None:
    values = data.draw(st.lists(TEXTS.filter(lambda text: "\udcff" not in text) | st.none(), max_size=6))
    assert at_once(target, pa.array(values, text_type), kind) == one_by_one(target, values)


@pytest.mark.parametrize(("kind", "target"), FIELDS, ids=[f"{kind}.{field.name}" for kind, field in FIELDS])
@pytest.mark.parametrize("number", [pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_()], ids=str)
def test_an_arrow_number_column_is_what_its_values_are(kind: str, target: Field, number: Any) -> None:
    values = [1, 0, None] if number != pa.bool_() else [True, False, None]
    column = pa.array(values, number)
    assert at_once(target, column, kind) == one_by_one(target, column.to_pylist())
