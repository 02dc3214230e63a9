"""Calls of the audit log that a backup has put back: Parquet files in ``<home>/audit``, read along with the log.

A row is a record with its place: the topic's id as its cluster had it, partition, offset and append time. By its place
a call is shown once where the topic or the archive has it too. Rows are in the order in which they were appended; what
was put back before comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from weir.schemas.audit import SCHEMA, Placed, read_record
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Damaged

COLUMNS: Final = pa.schema(
    [
        pa.field("topic_id", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("append_ms", pa.int64()),
        *BatchCodec(schema=SCHEMA).arrow_schema,
    ]
)
_PLACE: Final = 4
"""So many columns say where a record was."""
_ROWS_AT_ONCE: Final = 20_000
IsElsewhere = Callable[[str, int, int], bool]
"""Says of a topic's id, a partition and an offset whether the record there is shown from somewhere else."""


def folder_of(home: Path) -> Path:
    """Return where the calls that were put back are."""
    return home / "audit"


def list_kept(home: Path) -> list[Path]:
    """Return the files of a home, in the order of the times in their names."""
    return sorted(folder_of(home).glob("*.parquet"))


def read_kept(home: Path, since_ms: int, is_elsewhere: IsElsewhere) -> Iterator[Placed]:
    """Yield the calls that were put back and were appended from a time on.

    **Cost:** memory of the places of all calls where there are several files.

    Args:
        home: of this deployment.
        since_ms: UTC epoch ms.
        is_elsewhere: of calls that are shown from somewhere else; a call that two files have is shown once.

    Raises:
        Damaged: a file is not what was put back.
    """
    shown: set[tuple[str, int, int]] = set()
    paths = list_kept(home)
    for path in paths:
        for each in read_calls_of(path, since_ms):
            where = (each.topic_id, each.partition, each.offset)
            if where in shown or is_elsewhere(*where):
                continue
            if len(paths) > 1:
                shown.add(where)
            yield each


def read_calls_of(path: Path, since_ms: int = 0) -> Iterator[Placed]:
    """Yield the calls of a file that were appended from a time on.

    **Cost:** parts of a file whose calls are all older are not read.

    Raises:
        Damaged: it is not what ``write_calls`` wrote.
    """
    try:
        with pq.ParquetFile(path) as file:
            parts = [each for each in range(file.num_row_groups) if _newest_ms(file, each) >= since_ms]
            for batch in file.iter_batches(row_groups=parts, columns=COLUMNS.names):
                yield from (_read_row(row) for row in batch.to_pylist() if row["append_ms"] >= since_ms)
    except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
        raise Damaged(f"expected calls of the audit log in {path}, found something else: {error}") from None


def _newest_ms(file: pq.ParquetFile, part: int) -> int:
    return int(file.metadata.row_group(part).column(COLUMNS.names.index("append_ms")).statistics.max)


def _read_row(row: dict[str, Any]) -> Placed:
    return Placed(row["topic_id"], row["partition"], row["offset"], row["append_ms"], read_record(row))


def write_calls(path: Path, calls: Iterable[Placed]) -> int:
    """Write calls to a new file, and return how many there are; no file where there are none.

    **Cost:** memory of twenty thousand calls.
    """
    found, count = iter(calls), 0
    part = list(islice(found, _ROWS_AT_ONCE))
    if not part:
        return 0
    with pq.ParquetWriter(path, COLUMNS, compression="zstd") as writer:
        while part:
            rows = zip(*((*each[:_PLACE], *astuple(each.record)) for each in part), strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(rows, COLUMNS, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=COLUMNS))
            count += len(part)
            part = list(islice(found, _ROWS_AT_ONCE))
    return count
