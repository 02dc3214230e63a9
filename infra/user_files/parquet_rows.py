"""Rows of a Parquet file by number, with nothing that a small file could unpack to read in one piece.

Only the columns asked for are read, some rows at a time, text of a dictionary as codes into it, so that one long value
that every row repeats stays one value. A part of the file that cannot be read costs that part, the rest is still read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.infra.user_files.blocks import BLOCK_ROWS, Block
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.masking import quote

CHUNK_BYTES_MAX = 512 << 20
"""Of one column in one row group, unpacked, as the file declares it; writers keep a whole group below this."""
VALUE_BYTES_MAX = 64 * 1024
"""A longer text is no field of a payment; it is cut out before it is repeated for each row."""
READ_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""What reading damaged contents raises."""


class ParquetRows:
    """A Parquet file that opens.

    Attributes:
        names: its columns, nested ones by their first part.
        types: the Arrow type of each.
        rows: how many it declares.
    """

    def __init__(self, name: str, stream: BinaryIO) -> None:
        """Open it.

        Raises:
            Refused: it is none, or unpacks to more than is read in one piece.
        """
        self._name = name
        try:
            plain = pq.ParquetFile(stream, pre_buffer=False)
            schema = plain.schema_arrow
        except READ_ERRORS as error:
            raise Refused(f"expected a Parquet file in {name}, found: {_first_line(error)}") from None
        self._text = [field.name for field in schema if _is_text(field.type)]
        self._stream = stream
        self._metadata = plain.metadata
        self.rows: int = plain.metadata.num_rows
        self.names: list[str] = schema.names
        self.types: dict[str, Any] = {field.name: _plain_type(field.type) for field in schema}

    def read(self, names: list[str]) -> Iterator[Block]:
        """Yield the rows in blocks with some of the columns.

        Raises:
            Refused: one of them unpacks to more than is read in one piece.
        """
        self._check_sizes(names)
        self._stream.seek(0)
        dictionaries = [name for name in self._text if name in names]
        file = pq.ParquetFile(self._stream, pre_buffer=False, read_dictionary=dictionaries, metadata=self._metadata)
        first = 1
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            yield from self._read_group(file, group, names, first, rows)
            first += rows

    def _read_group(self, file: pq.ParquetFile, group: int, names: list[str], first: int, rows: int) -> Iterator[Block]:
        done = 0
        try:
            for batch in file.iter_batches(BLOCK_ROWS, row_groups=[group], columns=names, use_threads=False):
                yield _block(batch, first + done)
                done += batch.num_rows
        except READ_ERRORS as error:
            yield _unreadable(first + done, rows - done, error)

    def _check_sizes(self, names: list[str]) -> None:
        for group in range(self._metadata.num_row_groups):
            described = self._metadata.row_group(group)
            for place in range(described.num_columns):
                column = described.column(place)
                name = column.path_in_schema.split(".")[0]
                if name in names and column.total_uncompressed_size > CHUNK_BYTES_MAX:
                    raise Refused(
                        f"expected at most {CHUNK_BYTES_MAX:,} bytes in a column of a row group of {self._name}, found "
                        f"{column.total_uncompressed_size:,} in {name} of group {group + 1}; write smaller row groups"
                    )


def _is_text(kind: Any) -> bool:
    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def _plain_type(kind: Any) -> Any:
    """Return the type that a column is read as: views and bytes of one width have few functions of their own."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.large_binary()
    return kind


def _as_plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [column.cast(_plain_type(column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _first_line(error: Exception) -> str:
    return quote((str(error).splitlines() or [type(error).__name__])[0].lower())


def _block(batch: pa.RecordBatch, first: int) -> Block:
    batch = _as_plain(batch)
    numbers = list(range(first, first + batch.num_rows))
    bad: dict[int, PoisonRecord] = {}
    for place, name in enumerate(batch.schema.names):
        for row in _find_long(batch.column(place)):
            bad.setdefault(row, _too_long(name))
    if bad:
        kept = pa.array([row for row in range(batch.num_rows) if row not in bad], pa.int64())
        numbers, batch, lines = [numbers[row] for row in kept.to_pylist()], batch.take(kept), batch.num_rows
    else:
        lines = batch.num_rows
    columns = {name: _as_values(batch.column(place)) for place, name in enumerate(batch.schema.names)}
    return Block(numbers, columns, [(first + row, error) for row, error in sorted(bad.items())], lines=lines)


def _find_long(column: pa.Array) -> list[int]:
    """Return the rows whose text is longer than any field, asked of the dictionary where there is one."""
    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not _is_text(values.type):
        return []
    is_long = pc.greater(pc.binary_length(values), VALUE_BYTES_MAX)
    if not pc.any(is_long).as_py():
        return []
    rows = is_long.take(column.indices) if pa.types.is_dictionary(column.type) else is_long
    found: list[int] = pc.indices_nonzero(pc.fill_null(rows, False)).to_pylist()
    return found


def _too_long(name: str) -> PoisonRecord:
    return PoisonRecord("wrong_type", f"expected at most {VALUE_BYTES_MAX:,} bytes, found more at $.{name}", name)


def _as_values(column: pa.Array) -> pa.Array:
    return column.dictionary.take(column.indices) if pa.types.is_dictionary(column.type) else column


def _unreadable(first: int, rows: int, error: Exception) -> Block:
    """Return rows that are lost as one error that counts for all of them."""
    last = first + rows - 1
    reason = PoisonRecord("unreadable", f"expected rows {first} to {last} to be readable, found: {_first_line(error)}")
    return Block(bad=[(first, reason)], lost=rows - 1, lines=rows)
