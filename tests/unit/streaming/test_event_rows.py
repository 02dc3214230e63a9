"""Requests as rows give the kernel what the same records give it as columns."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.schemas.request_rows import NOW_MS, TEXTS, all_streams, requests_of
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.one_row import RowPlan
from weir.schemas.stream import Stream
from weir.streaming.core.events import EventBatch
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.values import plan_values
from weir.streaming.kernels import kernel_of

PLACEHOLDERS = Placeholders.adding(["pos-default"])
each_stream = pytest.mark.parametrize(
    ("stream", "schema", "example"), all_streams(), ids=lambda part: getattr(part, "name", "")
)


@cache
def plan_of(stream: Stream) -> RowPlan:
    return RowPlan(stream, PLACEHOLDERS)


def as_rows(kernel: Kernel, records: list[dict[str, Any]]) -> EventBatch:
    plan = plan_of(kernel.stream)
    append = np.full(len(records), NOW_MS)
    return kernel.build_rows(plan, [plan.derive(record) for record in records], append_time_ms=append)


def as_columns(kernel: Kernel, schema: pa.Schema, records: list[dict[str, Any]]) -> EventBatch:
    return kernel.build_events(
        pa.RecordBatch.from_pylist(records, schema=schema),
        append_time_ms=np.full(len(records), NOW_MS),
        partition=np.arange(len(records), dtype=np.int32),
        body_digest=np.zeros(len(records), np.uint32),
        placeholders=PLACEHOLDERS,
    )


def assert_same(stream: Stream, found: EventBatch, expected: EventBatch) -> None:
    for name in {field.name for field in fields(EventBatch)} - {"entities", "records"}:
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)
    for name, index in expected.entities.items():
        same = found.entities[name]
        assert same.ids == index.ids, name
        np.testing.assert_array_equal(same.units, index.units, err_msg=name)
        np.testing.assert_array_equal(same.codes, index.codes, err_msg=name)
    for column, read in plan_values(stream).items():
        one, other = (np.asarray(read(events)).astype(np.float32) for events in (found, expected))
        np.testing.assert_array_equal(one, other, err_msg=stream.feature_names[column])


@each_stream
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_rows_are_to_the_kernel_what_columns_are(
    stream: Stream, schema: pa.Schema, example: dict[str, Any], data: st.DataObject
) -> None:
    plan, kernel = plan_of(stream), kernel_of(stream)
    drawn = data.draw(st.lists(requests_of(schema, example, changes_max=2), max_size=4))
    good = [each for each in drawn if plan.passes(plan.derive(each), append_time_ms=NOW_MS)]
    assert_same(stream, as_rows(kernel, good), as_columns(kernel, schema, good))


@each_stream
def test_every_text_that_passes_is_read_alike(stream: Stream, schema: pa.Schema, example: dict[str, Any]) -> None:
    plan, kernel = plan_of(stream), kernel_of(stream)
    drawn = [
        example | {name: text}
        for name in (field.name for field in schema if field.type == pa.string())
        for text in [*TEXTS, "POS-Default"]
    ]
    good = [each for each in drawn if plan.passes(plan.derive(each), append_time_ms=NOW_MS)]
    assert len(good) > 20
    assert_same(stream, as_rows(kernel, good), as_columns(kernel, schema, good))


def test_a_narrow_position_is_scaled_alike_with_and_without_a_null_in_its_batch() -> None:
    (stream, schema, example), *_ = all_streams()
    degrees = np.random.default_rng(7).uniform(-90, 90, 200).astype(np.float32).tolist()
    records = [example | {"lat": lat, "lon": lat} for lat in degrees]
    kernel = kernel_of(stream)
    alone = as_columns(kernel, schema, records)
    next_to_null = as_columns(kernel, schema, [*records, example | {"lat": None, "lon": None}])
    np.testing.assert_array_equal(alone.lat_e5, next_to_null.lat_e5[:-1])
    np.testing.assert_array_equal(alone.lat_e5, as_rows(kernel, records).lat_e5)
