"""The answers to an uploaded file as a file of the same form, written as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from weir.infra.csv_text import write_csv
from weir.infra.uploads.job import Form

_TYPES = {
    "line": pa.int64(),
    "decision": pa.string(),
    "score": pa.float64(),
    "reasons": pa.string(),
    "model": pa.string(),
    "model_version": pa.string(),
    "rules_version": pa.string(),
    "error": pa.string(),
}
COLUMNS = tuple(_TYPES)
"""After the event's id. ``line`` is where the event is in the file: of Parquet, which row."""
_GROUP_ROWS = 4_096
"""Written at a time, in some 2 ms: the thread that answers requests writes."""
Row = Mapping[str, Any]


class ResultWriter(Protocol):
    """Writes rows in order."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write some; what a row lacks is empty."""
        ...

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End the file."""
        ...


def open_result(path: Path, form: Form, id_name: str) -> ResultWriter:
    """Return what writes a result."""
    return _Csv(path, (id_name, *COLUMNS)) if form == "csv" else _Parquet(path, id_name)


class _Csv:
    """A spreadsheet shows what a client wrote in its ids, and runs nothing of it."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._file: TextIO = path.open("w", encoding="utf-8", newline="")
        self._file.write(write_csv([columns]))

    def write(self, rows: Sequence[Row]) -> None:
        self._file.write(write_csv([row.get(name) for name in self._columns] for row in rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, id_name: str) -> None:
        self._schema = pa.schema({id_name: pa.string()} | _TYPES)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._waiting: list[pa.RecordBatch] = []

    def write(self, rows: Sequence[Row]) -> None:
        self._waiting.append(pa.RecordBatch.from_pylist(list(rows), schema=self._schema))
        if sum(each.num_rows for each in self._waiting) >= _GROUP_ROWS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
            self._waiting = []
