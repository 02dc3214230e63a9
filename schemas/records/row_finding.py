"""What one check of a batch of records answers: which rows offend, and how to say what is wrong with one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.errors import PoisonRecord
from weir.schemas.filling import as_filled
from weir.schemas.masking import quote

Rows: TypeAlias = npt.NDArray[np.bool_]
RowFinding: TypeAlias = tuple[Rows, Callable[[int], PoisonRecord]]
"""Offending rows of one check, and how to say what is wrong with one of them."""
Keys: TypeAlias = Sequence["bytes | None"]


def as_numpy(column: pa.Array) -> npt.NDArray[Any]:
    """Return a column's values."""
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def as_integers(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return a column of integers of any width."""
    return as_numpy(column.cast(pa.int64()))


def find_by_value(column: pa.Array, is_bad: Callable[[pa.Array], Rows]) -> Rows:
    """Ask once per distinct value; null is never bad."""
    codes = pc.dictionary_encode(column)
    bad = np.append(is_bad(codes.dictionary), False)
    verdicts: Rows = bad[as_filled(codes.indices, len(bad) - 1)]
    return verdicts


def poison(reason: str, expected: str, found: object, field: str, hint: str = "") -> PoisonRecord:
    """Return the error of a record whose field is not as it must be; what was found is quoted, masked and cut."""
    return PoisonRecord(reason, f"expected {expected}, found {quote(found)} at $.{field}", field, hint)
