"""Columns as arrays, with a value where they are null."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def as_filled(column: pa.Array, value: Any) -> npt.NDArray[Any]:
    """Return a column's values, and another where it is null.

    **Cost:** a look at the column's count of nulls where there is none, which spares a call of some 10 us: the batches
    of a slow stream are a few records, and make dozens of these.

    >>> as_filled(pa.array([1, None]), -1).tolist()
    [1, -1]
    """
    known = pc.fill_null(column, value) if column.null_count else column
    values: npt.NDArray[Any] = known.to_numpy(zero_copy_only=False)
    return values
