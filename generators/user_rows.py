"""Rows of a user's own file with the number of each: CSV, JSON lines or Parquet. Types are not looked at here.

A line that is no row at all is an error of that line; the lines after it are still read. Memory: one row, or one
batch of a Parquet file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import PoisonRecord, Refused

Row = dict[str, Any]
NumberedRow = tuple[int, Row | PoisonRecord]
_PARQUET_BATCH_ROWS = 10_000
_EXTRA_CELLS = "\0extra"


def read_rows(path: Path) -> Iterator[NumberedRow]:
    """Yield the number and the raw fields of each row, or what is wrong with that line.

    CSV and JSON lines are numbered by line in the file, from 1, the header included; Parquet by row, from 1.

    Raises:
        Refused: the file is missing, of another kind, or cannot be opened as what its name says.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise Refused(
            f"expected a file named .csv, .jsonl, .ndjson or .parquet, found {path.name}; rename or convert it"
        )
    if not path.is_file():
        raise Refused(f"expected a file at {path}, found none")
    return reader(path)


def _read_csv(path: Path) -> Iterator[NumberedRow]:
    # undecodable bytes become lone surrogates, which the field they stand in is refused for
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        reader = csv.DictReader(stream, restkey=_EXTRA_CELLS)
        if not reader.fieldnames:
            raise Refused(f"expected a header line in {path.name}, found an empty file")
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield reader.line_num, PoisonRecord("malformed_line", f"expected a CSV line, found: {error}")
                continue
            yield reader.line_num, _check_cells(row, len(reader.fieldnames))


def _check_cells(row: Row, expected: int) -> Row | PoisonRecord:
    extra = row.pop(_EXTRA_CELLS, None)
    if extra is None:
        return row
    return PoisonRecord("malformed_line", f"expected {expected} cells, found {expected + len(extra)}")


def _read_json_lines(path: Path) -> Iterator[NumberedRow]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _parse_json(line)


def _parse_json(line: str) -> Row | PoisonRecord:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "nested too deeply")
        return PoisonRecord("malformed_line", f"expected a JSON object, found text that is none: {str(reason).lower()}")
    if isinstance(row, dict):
        return row
    return PoisonRecord("malformed_line", f"expected a JSON object, found {type(row).__name__}")


def _read_parquet(path: Path) -> Iterator[NumberedRow]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise Refused(f"expected a Parquet file at {path}, found: {str(error).splitlines()[0].lower()}") from None
    number = 0
    for batch in file.iter_batches(_PARQUET_BATCH_ROWS):
        for row in batch.to_pylist():
            number += 1
            yield number, row


_READERS: dict[str, Callable[[Path], Iterator[NumberedRow]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}
