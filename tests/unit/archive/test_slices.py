"""Ranges of key buckets are read as slices of files that are sorted by bucket, and by looking at each row of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weir.archive.columns import BUCKETS
from weir.archive.place import Place
from weir.archive.slices import SliceReader, with_dictionaries

ROWS, GROUP_ROWS = 1_000, 64
STORED = pa.schema([("bucket", pa.int32()), ("offset", pa.int64()), ("word", pa.string())])


def _write(folder: Path, name: str, *, is_sorted: bool) -> pa.Table:
    dice = np.random.default_rng(len(name))
    buckets = dice.integers(0, BUCKETS, ROWS)
    words = [None if number % 7 == 0 else f"w{number % 3}" for number in range(ROWS)]
    rows = pa.table([np.sort(buckets) if is_sorted else buckets, np.arange(ROWS), words], schema=STORED)
    pq.write_table(rows, folder / name, row_group_size=GROUP_ROWS)
    return rows


def _expect(tables: list[pa.Table], low: int, high: int) -> list[int]:
    pairs = [
        row for table in tables for row in zip(*(table[name].to_pylist() for name in STORED.names[:2]), strict=True)
    ]
    return [offset for bucket, offset in pairs if low <= bucket <= high]


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("ends", [(0, BUCKETS - 1), (0, 0), (5, 5), (3, 40), (BUCKETS - 1, BUCKETS - 1)])
def test_a_range_has_its_rows_in_the_order_of_the_files(tmp_path: Path, is_sorted: bool, ends: tuple[int, int]) -> None:
    tables = [_write(tmp_path, name, is_sorted=is_sorted) for name in ("a", "bb")]
    reader = SliceReader(Place(str(tmp_path)))
    schema = with_dictionaries(STORED, ["offset", "word"])
    for _ in range(2):  # files stay open for the second time
        found = reader.read(["a", "bb"], schema, ends)
        assert found.schema == schema
        assert found["offset"].to_pylist() == _expect(tables, *ends)
    words = [row["word"] for table in tables for row in table.to_pylist() if ends[0] <= row["bucket"] <= ends[1]]
    assert found["word"].to_pylist() == words


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("ends", [(0, BUCKETS - 1), (5, 5), (3, 40)])
def test_rows_of_a_range_are_read_by_their_places_over_all_files(
    tmp_path: Path, is_sorted: bool, ends: tuple[int, int]
) -> None:
    tables = [_write(tmp_path, name, is_sorted=is_sorted) for name in ("a", "bb")]
    expected, reader = _expect(tables, *ends), SliceReader(Place(str(tmp_path)))
    schema, middle = with_dictionaries(STORED, ["offset", "word"]), len(expected) // 2
    for rows in (slice(0, 1), slice(3, 9), slice(middle - 5, middle + 5), slice(0, len(expected)), slice(2, 2)):
        assert reader.read(["a", "bb"], schema, ends, rows)["offset"].to_pylist() == expected[rows]


@pytest.mark.parametrize("kind", [pa.float32(), pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_column_that_a_file_lacks_is_null_in_its_rows(tmp_path: Path, kind: pa.DataType) -> None:
    _write(tmp_path, "a", is_sorted=True)
    schema = pa.schema([("offset", pa.int64()), ("later", kind)])
    found = SliceReader(Place(str(tmp_path))).read(["a"], schema, (2, 30))
    assert found["later"].null_count == len(found) > 0


def test_no_file_is_no_row(tmp_path: Path) -> None:
    assert len(SliceReader(Place(str(tmp_path))).read([], STORED, (0, 1))) == 0


def _one_value(values: list[object]) -> list[object]:
    return [values[number % len(values)] for number in range(ROWS)]


COLUMNS = {
    "text": pa.array(_one_value(["a"]), pa.string()),
    "two_texts": pa.array(sorted(_one_value(["a", "b"]), key=str), pa.string()),
    "text_or_null": pa.array(_one_value(["a", None]), pa.string()),
    "null_text": pa.nulls(ROWS, pa.string()),
    "number": pa.array(_one_value([7]), pa.int64()),
    "two_numbers": pa.array(_one_value([7, 8]), pa.int32()),
    "null_float": pa.nulls(ROWS, pa.float32()),
    "float_or_nan": pa.array(_one_value([1.0, float("nan")]), pa.float32()),
    "nan": pa.array(_one_value([float("nan")]), pa.float64()),
    "flag": pa.array(_one_value([True]), pa.bool_()),
    "content": pa.array(_one_value([b"\x00"]), pa.binary()),
    "words": pa.array(_one_value([["a"]]), pa.list_(pa.string())),
    "no_words": pa.array(_one_value([[]]), pa.list_(pa.string())),
}


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("wanted", [[name] for name in COLUMNS] + [list(COLUMNS)])
def test_a_column_of_one_value_is_as_it_was_written(tmp_path: Path, wanted: list[str], statistics: bool) -> None:
    """Whether statistics say so or not; of a part of the file and of all of it."""
    rows = pa.table({"bucket": pa.array(np.sort(np.arange(ROWS) % BUCKETS), pa.int32()), **COLUMNS})
    pq.write_table(rows, tmp_path / "a", row_group_size=GROUP_ROWS, write_statistics=statistics or ["bucket"])
    schema = with_dictionaries(rows.schema, wanted)
    reader = SliceReader(Place(str(tmp_path)))
    for low, high in ((0, BUCKETS - 1), (3, 40)):
        found = reader.read(["a"], schema, (low, high))
        assert found.schema == schema
        within = rows.filter(pa.array((rows["bucket"].to_numpy() >= low) & (rows["bucket"].to_numpy() <= high)))
        assert str(found.to_pydict()) == str(within.select(wanted).to_pydict())  # as text, one NaN is another
