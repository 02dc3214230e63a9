"""Reads a topic's table in the order of the log: within a partition by offset, of several partitions by append time.

Files hold a day's rows sorted by key, so a day is sorted again. A small one is sorted in memory. Of a large one each
row is first written to one of several temporary files, by its append time, and those are sorted one after the other.

Where the broker's clock steps back, the offset decides, within a day's part.

**Cost:** memory of one part of ``PART_ROWS`` rows; for a large day, temporary disk of the columns that are read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import DAY
from weir.archive.reader import TableReader
from weir.schemas.durations import DAY_MS

PART_ROWS: Final = 500_000
"""Of payments some 200 MB."""
_BATCH_ROWS: Final = 20_000
_PLACE: Final = ("partition", "offset", "append_ms")
_SECOND_MS: Final = 1_000


def read_in_order(
    reader: TableReader, columns: Sequence[str], *, first: date = date.min, last: date = date.max
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some days, both included, in the order of the log.

    Args:
        reader: of the table.
        columns: that are read, next to partition, offset and append time.
        first: day.
        last: day.

    Raises:
        Transient: the store cannot be read.
    """
    wanted = list(dict.fromkeys([*_PLACE, *columns]))
    files = reader.files
    rows = files.group_by(f"partition.{DAY}").aggregate([("num_records", "sum")]).to_pylist()
    found = {each[f"partition.{DAY}"]: each["num_records_sum"] for each in rows}
    schema = pa.schema([reader.schema.field(name) for name in wanted])
    for day in sorted(day for day in found if first <= day <= last):
        if found[day] <= PART_ROWS:
            yield from _sort(pa.Table.from_batches(reader.scan(day, day, wanted), schema))
        else:
            yield from _read_large(reader, day, schema)


def _read_large(reader: TableReader, day: date, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Sort a day by way of temporary files, each of which fits into memory."""
    edges = _find_edges(reader, day)
    with tempfile.TemporaryDirectory(prefix="weir-") as folder:
        paths = [Path(folder) / str(number) for number in range(len(edges) + 1)]
        with ExitStack() as stack:
            parts = [stack.enter_context(pa.ipc.new_stream(path, schema)) for path in paths]
            for batch in reader.scan(day, day, schema.names):
                part_of = np.searchsorted(edges, batch["append_ms"].to_numpy(), side="right")
                for part in np.unique(part_of).tolist():
                    parts[part].write_batch(batch.filter(pa.array(part_of == part)))
        for path in paths:
            with pa.ipc.open_stream(path) as part:
                yield from _sort(part.read_all())
            path.unlink()


def _find_edges(reader: TableReader, day: date) -> npt.NDArray[np.int64]:
    """Return the append times, whole seconds, at which a day is cut into parts of about ``PART_ROWS`` rows."""
    begin_ms = int(np.datetime64(day, "ms").astype(np.int64))
    seconds = np.zeros(DAY_MS // _SECOND_MS, np.int64)
    for batch in reader.scan(day, day, ["append_ms"]):
        seconds += np.bincount((batch["append_ms"].to_numpy() - begin_ms) // _SECOND_MS, minlength=len(seconds))
    before = np.cumsum(seconds) // PART_ROWS
    edges: npt.NDArray[np.int64] = begin_ms + _SECOND_MS * (1 + np.flatnonzero(np.diff(before)))
    return edges


def _sort(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield rows in the order of the log."""
    rows = rows.sort_by([("partition", "ascending"), ("offset", "ascending")])
    times = rows["append_ms"].to_numpy().copy()
    partitions = rows["partition"].to_numpy()
    edges = [0, *(1 + np.flatnonzero(np.diff(partitions))).tolist(), len(times)]
    for begin, end in pairwise(edges):
        np.maximum.accumulate(times[begin:end], out=times[begin:end])
    order = pa.array(np.argsort(times, kind="stable"))
    for begin in range(0, len(order), _BATCH_ROWS):
        yield from pc.take(rows, order.slice(begin, _BATCH_ROWS)).combine_chunks().to_batches()
