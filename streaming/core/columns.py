"""Columns of a record batch as arrays, and the expressions of a stream over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from weir.schemas.expression import Expression
from weir.schemas.expression_values import evaluate


def read_strings(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a string column of the batch; all null when an older writer did not have it."""
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    column = batch.column(name)
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def read_integers(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    """Return an integer column of the batch."""
    values: NDArray[np.int64] = batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return values


def read_numbers(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """Return a column of numbers; NaN where null, and everywhere when an older writer did not have it."""
    return _as_numbers(batch.column(name)) if name in batch.schema.names else np.full(batch.num_rows, np.nan)


def with_columns(batch: pa.RecordBatch, named: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Return the batch with columns of those names, in place of its own if it has such."""
    for name, column in named.items():
        at = batch.schema.get_field_index(name)
        batch = batch.append_column(name, column) if at < 0 else batch.set_column(at, name, column)
    return batch


def compute_integers(node: Expression, batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Return an expression's value of every row.

    Raises:
        ValueError: when a row has none; such records are dead letters.
    """
    column = evaluate(node, batch)
    if column.null_count:
        raise ValueError("expected validated records, found one without a measure; such records belong in the DLQ")
    values: NDArray[np.int64] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values


def compute_numbers(node: Expression, batch: pa.RecordBatch) -> NDArray[Any]:
    """Return an expression's value of every row as numbers; NaN where there is none."""
    return _as_numbers(evaluate(node, batch))


def _as_numbers(column: pa.Array) -> NDArray[Any]:
    if column.null_count:
        whole = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        column = pc.fill_null(pc.cast(whole, pa.float64(), safe=False), float("nan"))
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def as_numbers(values: Iterable[float | None]) -> NDArray[Any]:
    """Return values as an array; NaN where there is none."""
    return np.array([np.nan if value is None else value for value in values])
