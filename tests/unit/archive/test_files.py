"""Data files: what repeats is a dictionary, whole numbers are differences, and others read what was written."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weir.archive import files
from weir.archive.columns import HEADERS
from weir.archive.files import LARGE_GROUP_ROWS, ROW_GROUP_ROWS, write_days
from weir.archive.place import Place

ROWS = 3 * ROW_GROUP_ROWS + 17
DAY = 20_000


def _build_rows() -> pa.Table:
    dice = np.random.default_rng(1)
    numbers = np.arange(ROWS)
    keys = np.sort(dice.integers(0, ROWS // 5, ROWS))
    return pa.table(
        {
            "partition": pa.array(np.zeros(ROWS), pa.int32()),
            "offset": pa.array(dice.permutation(numbers), pa.int64()),
            "append_ms": pa.array(DAY * 86_400_000 + numbers * 7, pa.int64()),
            "day": pa.array(np.full(ROWS, DAY), pa.int32()).cast(pa.date32()),
            "bucket": pa.array(numbers * 64 // ROWS, pa.int32()),
            "key": pa.array([b"card-%d" % key for key in keys]),
            "value": pa.array([dice.bytes(20) for _ in numbers]),
            "headers": pa.array([[]] * ROWS, HEADERS),
            "id": pa.array([f"t{number}" for number in numbers]),
            "id_hash": pa.array(dice.integers(-(2**63), 2**63 - 1, ROWS), pa.int64()),
            "batch": pa.array(np.ones(ROWS), pa.int64()),
            "decision": pa.array(["APPROVE"] * ROWS),
            "amount": pa.array(dice.random(ROWS), pa.float32(), mask=dice.random(ROWS) < 0.1),
            "count": pa.array(dice.integers(0, 5, ROWS), pa.float32()),
            "never": pa.nulls(ROWS, pa.float32()),
        }
    )


def test_a_file_is_encoded_by_what_its_columns_hold_and_another_reader_reads_it(tmp_path: Path) -> None:
    rows = _build_rows()
    (added,) = write_days(Place(str(tmp_path)), rows)
    path = tmp_path / added.path
    stored = rows.drop_columns(["day"])
    assert pq.ParquetFile(path).read().equals(stored)
    columns = [each for each in stored.schema.names if each != "headers"]
    names = ", ".join(f'"{each}"' for each in columns)
    with duckdb.connect() as connection:
        read = connection.sql(f"select {names} from '{path}'").to_arrow_table()
    assert read.to_pydict() == stored.select(columns).to_pydict()

    assert pq.read_metadata(path).row_group(0).num_rows == ROW_GROUP_ROWS
    group = pq.read_metadata(path).row_group(1)
    chunks = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    encoded = {name: set(chunk.encodings) for name, chunk in chunks.items()}
    dictionaries = {name for name, each in encoded.items() if "RLE_DICTIONARY" in each}
    assert dictionaries == {"partition", "bucket", "key", "batch", "decision", "count", "never"}
    differences = {name for name, each in encoded.items() if "DELTA_BINARY_PACKED" in each}
    assert differences == {"offset", "append_ms", "id_hash"}
    small = {name for name, chunk in chunks.items() if chunk.compression == "ZSTD"}
    assert small == {"id", "headers.list.element.name"}
    assert {chunk.compression for chunk in chunks.values()} == {"ZSTD", "LZ4"}
    # what has one value says so, and need not be read; the table's log says the lowest and highest of others
    of_one_value = {name for name, chunk in chunks.items() if chunk.is_stats_set}
    assert of_one_value == {"partition", "offset", "append_ms", "bucket", "batch", "key", "decision", "never"}


def test_a_large_file_has_larger_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGE_FILE_ROWS", ROWS - 1)
    (added,) = write_days(Place(str(tmp_path)), _build_rows())
    metadata = pq.read_metadata(tmp_path / added.path)
    assert [metadata.row_group(0).num_rows, metadata.num_rows] == [LARGE_GROUP_ROWS, ROWS]
