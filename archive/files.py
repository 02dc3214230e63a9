"""Writes the data files of a table: one for each day of a batch, with the statistics that let readers pass files by.

A file that no commit names is in no table, so one that was written in vain harms nobody. Next to each file, in
``_index``, is an index of its rows by the hash of their ids (``archive/id_index.py``).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from weir.archive.columns import DAY
from weir.archive.id_index import INDEX_FOLDER, build_index, index_path
from weir.archive.place import Place

ROW_GROUP_ROWS = 8_192
"""Read as a whole for one row of it, and held as a whole to write it."""
LARGE_GROUP_ROWS, LARGE_FILE_ROWS = 12_288, 131_072
"""The same of files of more rows, as joined days have: these are read from end to end, and each group has a fixed
cost."""
COUNTED = ("partition", "offset", "append_ms", "bucket", "batch")
"""Columns whose lowest and highest value in a file are in the table's log."""
_WITH_STATISTICS = [*COUNTED, "key"]
_SAMPLE_ROWS: Final = ROW_GROUP_ROWS
_QUICK, _SMALL = "lz4", "zstd"
"""Codecs. To read numbers and bytes takes half as long as out of zstd, for a sixth more room."""
_PAGE_BYTES, _PAGE_STEP_ROWS = 128 << 10, 256
"""Bytes of a column that are unpacked together; whether they are reached is looked at after so many rows."""
_REPEATS_MIN: Final = 2
"""Where a value comes less often in the rows of a sample, a dictionary is larger than the values are."""


def write_days(place: Place, rows: pa.Table) -> list[AddAction]:
    """Write rows that are sorted, a file for each day, and return what a commit says of the files.

    Raises:
        OSError, DeltaError: the store cannot be written; files may be left that are in no table.
    """
    days = rows[DAY].unique().to_pylist()
    return [write_file(place, day, rows.filter(pc.equal(rows[DAY], day)) if len(days) > 1 else rows) for day in days]


def write_file(place: Place, day: date, rows: pa.Table, *, is_new: bool = True) -> AddAction:
    """Write one file of one day's rows, which are sorted, and its index.

    Args:
        place: of the table.
        day: of the rows.
        rows: all columns of the table.
        is_new: False where the rows were in the table before.

    Raises:
        OSError, DeltaError: the store cannot be written.
    """
    folder, first = f"{DAY}={day.isoformat()}", pc.min(rows["batch"]).as_py()
    path = f"{folder}/{first:010d}-{uuid.uuid4().hex}.parquet"
    stored = rows.drop_columns([DAY])
    try:
        place.files.create_dir(folder, recursive=True)
        _write_rows(place, path, stored)
        place.files.create_dir(INDEX_FOLDER, recursive=True)
        with place.files.open_output_stream(index_path(path)) as out:
            out.write(build_index(stored["id_hash"]))
        size = place.files.get_file_info(path).size
    except BaseException:
        delete_files(place, [path])  # of a disk that is full, half a file would be kept
        raise
    return AddAction(path, size, {DAY: day.isoformat()}, int(time.time() * 1_000), is_new, _statistics(stored))


def delete_files(place: Place, paths: Iterable[str]) -> None:
    """Delete data files and their indexes, as far as that is possible: what is left is in no table."""
    place.delete([each for path in paths for each in (path, index_path(path))])


def _write_rows(place: Place, path: str, rows: pa.Table) -> None:
    values, sampled = _count_values(rows)
    repeated = [name for name, count in values.items() if count * _REPEATS_MIN <= sampled]
    with place.files.open_output_stream(path) as out:
        pq.write_table(
            rows,
            out,
            compression=dict(_list_codecs(rows.schema, repeated)),
            row_group_size=ROW_GROUP_ROWS if len(rows) <= LARGE_FILE_ROWS else LARGE_GROUP_ROWS,
            data_page_size=_PAGE_BYTES,
            write_batch_size=_PAGE_STEP_ROWS,
            use_dictionary=repeated,
            column_encoding=dict.fromkeys(_list_integers(rows.schema, repeated), "DELTA_BINARY_PACKED"),
            write_statistics=[*_WITH_STATISTICS, *(name for name, count in values.items() if count == 1)],
        )


def _count_values(rows: pa.Table) -> tuple[dict[str, int], int]:
    """Return how many values columns have in a sample, and its rows; it is of the middle, because rows are sorted."""
    sample = rows.slice(max(0, len(rows) - _SAMPLE_ROWS) // 2, _SAMPLE_ROWS)
    plain = [field.name for field in rows.schema if not pa.types.is_nested(field.type)]
    return {name: pc.count_distinct(sample[name], mode="all").as_py() for name in plain}, len(sample)


def _list_integers(schema: pa.Schema, repeated: Collection[str]) -> Iterator[str]:
    for field in schema:
        if pa.types.is_integer(field.type) and field.name not in repeated:
            yield field.name


def _list_codecs(schema: pa.Schema, repeated: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the codec of each column by its name in the file: only text that hardly repeats is worth zstd."""
    for field in schema:
        for leaf, kind in _list_leaves(field.name, field.type):
            yield leaf, _SMALL if pa.types.is_string(kind) and field.name not in repeated else _QUICK


def _list_leaves(name: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Yield what a file has of a column, by the names that Parquet gives."""
    if pa.types.is_list(kind):
        yield from _list_leaves(f"{name}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for part in kind:
            yield from _list_leaves(f"{name}.{part.name}", part.type)
    else:
        yield name, kind


def _statistics(rows: pa.Table) -> str:
    ranges = {name: pc.min_max(rows[name]).as_py() for name in COUNTED}
    return json.dumps(
        {
            "numRecords": len(rows),
            "minValues": {name: found["min"] for name, found in ranges.items()},
            "maxValues": {name: found["max"] for name, found in ranges.items()},
            "nullCount": dict.fromkeys(COUNTED, 0),
        }
    )
