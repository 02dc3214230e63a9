"""Reads the rows of some keys; fast where the rows of a file are sorted by bucket and key, as the archive's are.

Of a file, the row groups that hold a key's bucket are asked for their keys alone; the other columns are read only where
a key is found, and only up to its last row.

**Cost:** the footer of each file, and one or two row groups of 8,192 rows, of which half are read on average.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.archive.columns import bucket_of
from weir.archive.place import Place
from weir.archive.slices import complete

_BUCKET, _KEY = "bucket", "key"
_REQUESTS_AT_ONCE: Final = 8
"""An object store takes its time for each; files on this machine are read by as many threads as it has cores."""


def read_keys(place: Place, paths: Sequence[str], keys: Collection[bytes], schema: pa.Schema) -> pa.Table:
    """Return the rows of some keys, in the order of the files and of their rows.

    Args:
        place: of the table.
        paths: of its files.
        keys: as in the records.
        schema: the columns that are read.
    """
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE if place.is_remote else pa.cpu_count()) as files:
        tables = [*files.map(partial(_read_file, place, keys=keys, schema=schema), paths)]
    return pa.concat_tables([schema.empty_table(), *tables])


def _read_file(place: Place, path: str, keys: Collection[bytes], schema: pa.Schema) -> pa.Table:
    with place.files.open_input_file(path) as source:
        # reading ahead is for who waits for each answer; here it costs a copy, and a thread for each column
        parquet, wanted = pq.ParquetFile(source, pre_buffer=place.is_remote), pa.array(sorted(keys), pa.binary())
        groups = _list_groups(parquet.metadata, {bucket_of(key) for key in keys})
        found = [rows for group in groups if (rows := _read_group(parquet, group, wanted, schema)) is not None]
    return pa.concat_tables([schema.empty_table(), *found])


def _list_groups(metadata: pq.FileMetaData, buckets: set[int]) -> Iterator[int]:
    place = metadata.schema.names.index(_BUCKET)
    for number in range(metadata.num_row_groups):
        has = metadata.row_group(number).column(place).statistics
        if any(has.min <= bucket <= has.max for bucket in buckets):
            yield number


def _read_group(parquet: pq.ParquetFile, group: int, wanted: pa.Array, schema: pa.Schema) -> pa.Table | None:
    keys = parquet.read_row_group(group, columns=[_KEY], use_threads=False)[_KEY]
    places = pc.indices_nonzero(pc.is_in(keys, wanted))
    if not len(places):
        return None
    own = set(parquet.schema_arrow.names)
    columns, count = [name for name in schema.names if name in own], places[-1].as_py() + 1
    batch = next(parquet.iter_batches(count, row_groups=[group], columns=columns, use_threads=False))
    return complete(pa.table(batch).take(places), schema)
