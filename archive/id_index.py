"""The index of a data file: where in it the rows of an id are. Pure.

A file next to each data file holds the hashes of its ids in order, and the place of each one's row. It is written
before the commit that names its data file, and as neither ever changes, the two agree; a rewritten file has an index of
its own. A reader that finds none reads the column ``id_hash`` instead.

Layout: 8 bytes of a mark, the number of entries as int64, then so many int64 hashes in ascending order, then so many
int32 row numbers; all of it little end first. Rows without an id have no entry.

**Cost:** 12 bytes a row; a lookup is a binary search, and reads only the pages that it touches.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_MARK = b"weirids1"
_HEAD_BYTES = 16
INDEX_FOLDER = "_index"
"""In the table's folder; names that begin so are no data to readers of Delta tables."""
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


def index_path(path: str) -> str:
    """Return where the index of a data file is.

    >>> index_path("day=2026-01-31/0000000001-ab.parquet")
    '_index/0000000001-ab.ids'
    """
    return f"{INDEX_FOLDER}/" + path.rpartition("/")[2].replace(".parquet", ".ids")


def build_index(hashes: pa.ChunkedArray) -> bytes:
    """Return the index of a file whose rows have these hashes, in the file's order; null has none."""
    known = np.flatnonzero(hashes.is_valid().to_numpy(zero_copy_only=False)).astype("<i4")
    values = hashes.drop_null().to_numpy().astype("<i8")
    order = np.argsort(values, kind="stable")
    count = np.array([len(values)], "<i8")
    return b"".join([_MARK, count.tobytes(), values[order].tobytes(), known[order].tobytes()])


def find_rows(index: pa.Buffer, wanted: int) -> list[int]:
    """Return the rows of an id's hash, ascending.

    >>> find_rows(pa.py_buffer(build_index(pa.chunked_array([[7, None, 3, 7]]))), 7)
    [0, 3]

    Raises:
        ValueError: the bytes are no index.
    """
    hashes, rows = _read(index)
    first, end = (int(np.searchsorted(hashes, np.int64(wanted), side)) for side in _SIDES)
    return sorted(rows[first:end].tolist())


def _read(index: pa.Buffer) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    if index.size < _HEAD_BYTES or index.slice(0, 8).to_pybytes() != _MARK:
        raise ValueError("expected an index of ids, found other bytes")
    (count,) = np.frombuffer(index, "<i8", 1, 8)
    if index.size != _HEAD_BYTES + 12 * count:
        raise ValueError(f"expected an index of {count} ids, found {index.size} bytes")
    hashes = np.frombuffer(index, "<i8", count, _HEAD_BYTES)
    return hashes, np.frombuffer(index, "<i4", count, _HEAD_BYTES + 8 * int(count))
