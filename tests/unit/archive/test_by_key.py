"""The rows of some keys are found in files of several row groups, sorted or not, whatever columns the files have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weir.archive.by_key import read_keys
from weir.archive.columns import bucket_of
from weir.archive.place import Place

ROWS, GROUP_ROWS = 1_000, 64
STORED = pa.schema([("bucket", pa.int32()), ("key", pa.binary()), ("offset", pa.int64())])
WANTED = pa.schema([("offset", pa.int64()), ("key", pa.binary())])


def _write(folder: Path, name: str, *, is_sorted: bool) -> list[tuple[int, bytes | None]]:
    dice = np.random.default_rng(len(name))
    keys = [None if number % 50 == 0 else b"card-%d" % dice.integers(200) for number in range(ROWS)]
    rows = pa.table([[bucket_of(key) for key in keys], keys, range(ROWS)], schema=STORED)
    if is_sorted:
        rows = rows.sort_by([(column, "ascending") for column in STORED.names])
    pq.write_table(rows, folder / name, row_group_size=GROUP_ROWS)
    return [*zip(rows["offset"].to_pylist(), rows["key"].to_pylist(), strict=True)]


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize(
    "keys", [[b"card-7"], [b"card-7", b"card-8", b"card-150"], [b"nobody"], [b"nobody", b"card-3"]]
)
def test_rows_of_keys_come_in_the_order_of_the_files(tmp_path: Path, keys: list[bytes], is_sorted: bool) -> None:
    written = [row for name in ("a", "bb") for row in _write(tmp_path, name, is_sorted=is_sorted)]
    found = read_keys(Place(str(tmp_path)), ["a", "bb"], keys, WANTED)
    expected = [row for row in written if row[1] in keys]
    assert [*zip(found["offset"].to_pylist(), found["key"].to_pylist(), strict=True)] == expected
    assert bool(expected) == (keys != [b"nobody"])


def test_a_column_that_a_file_lacks_is_null_in_its_rows(tmp_path: Path) -> None:
    _write(tmp_path, "a", is_sorted=True)
    schema = pa.schema([("later", pa.float32()), ("offset", pa.int64())])
    found = read_keys(Place(str(tmp_path)), ["a"], [b"card-7"], schema)
    assert found.schema == schema
    assert found["later"].null_count == len(found) > 0


def test_no_file_is_no_row(tmp_path: Path) -> None:
    assert len(read_keys(Place(str(tmp_path)), [], [b"card-7"], WANTED)) == 0
