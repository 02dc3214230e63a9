"""A record by itself passes where a batch of it has no error, for every stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.schemas.request_rows import NOW_MS, all_streams, edges_of, requests_of
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.one_row import RowPlan
from weir.schemas.records.validation import validate_events
from weir.schemas.stream import Stream

PLACEHOLDERS = Placeholders.adding(["pos-default"])
STREAMS = all_streams()
each_stream = pytest.mark.parametrize(
    ("stream", "schema", "example"), STREAMS, ids=lambda part: getattr(part, "name", "")
)


def errors_of(stream: Stream, schema: pa.Schema, record: dict[str, Any]) -> list[tuple[int, PoisonRecord]]:
    batch = pa.RecordBatch.from_pylist([record], schema=schema)
    return validate_events(
        stream, batch, keys=[record[stream.key.field].encode()], append_time_ms=np.array([NOW_MS]),
        placeholders=PLACEHOLDERS,
    )  # fmt: skip


def passes(stream: Stream, record: dict[str, Any]) -> bool:
    plan = RowPlan(stream, PLACEHOLDERS)
    return plan.passes(plan.derive(record), append_time_ms=NOW_MS)


@each_stream
def test_the_example_passes_both(stream: Stream, schema: pa.Schema, example: dict[str, Any]) -> None:
    assert errors_of(stream, schema, example) == []
    assert passes(stream, example)


@each_stream
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_record_passes_where_a_batch_of_it_has_no_error(
    stream: Stream, schema: pa.Schema, example: dict[str, Any], data: st.DataObject
) -> None:
    record = data.draw(requests_of(schema, example))
    assert passes(stream, record) == (errors_of(stream, schema, record) == []), record


@each_stream
def test_every_edge_of_every_field_is_judged_alike(stream: Stream, schema: pa.Schema, example: dict[str, Any]) -> None:
    edges = [(field.name, value) for field in schema for value in edges_of(field.type)]
    edges += [(field.name, "POS-Default") for field in schema if field.type == pa.string()]
    edges += [(field.name, None) for field in schema if field.nullable]
    for name, value in edges:
        record = example | {name: value}
        assert passes(stream, record) == (errors_of(stream, schema, record) == []), (name, value)
