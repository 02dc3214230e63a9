"""What is no file of ours is refused in one line that says what it is; nothing that is named can block or blow up."""

from __future__ import annotations

import io
import os
import socket
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.infra.user_files.files import GOOD, payments, read, write_csv, write_json, write_parquet
from weir.infra.user_files import parquet_rows
from weir.schemas.errors import Refused

TEXT = ",".join(GOOD) + "\n" + ",".join(map(str, GOOD.values())) + "\n"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl", "a.csv.gz"])
def test_what_is_no_regular_file_is_named_and_never_waited_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(Refused, match="no such file"):
        read(path)
    os.mkfifo(path)
    with pytest.raises(Refused, match="named pipe"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(Refused, match="a directory"):
        read(path)
    path.rmdir()
    path.symlink_to("/dev/zero")
    with pytest.raises(Refused, match="a device"):
        read(path)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(Refused, match="expected a file"):
        read(path)


def test_a_socket_and_a_file_of_the_kernel_are_refused(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "a.csv"))
    with pytest.raises(Refused, match="a socket"):
        read(tmp_path / "a.csv")
    listener.close()
    (tmp_path / "b.csv").symlink_to("/proc/self/maps")
    with pytest.raises(Refused, match="expected"):
        read(tmp_path / "b.csv")


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.csv", TEXT)
    return stream.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "a workbook": (zipped(), "zip archive or an Excel workbook"),
    "ISO 8583, hex": (b"0200B238000102C080040000000000000002100000000000001700010814", "ISO 8583"),
    "ISO 8583, hex, with a length": (b"00560200B238000102C0800400000000000000021000", "ISO 8583"),
    "ISO 8583, bytes": (b"\x00\x3a0100\xf2\x3c\x44\x81\x28\xe0\x80\x00" + b"\x00" * 40, "ISO 8583"),
    "ISO 8583, packed": (b"\x00\x3a\x01\x00\x72\x3c\x44\x81\x28\xe0\x80\x00" + b"\x10" * 40, "ISO 8583"),
    "ISO 20022": (
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:cain.001.001.02">',
        "ISO 20022",
    ),
    "a web page": (b"<!doctype html><html>", "XML or HTML"),
    "an array": (b'[{"transaction_id": "t1"}]', "jq -c '.[]'"),
    "a database": (b"SQLite format 3\x00" + b"\0" * 90, "SQLite"),
    "Avro": (b"Obj\x01\x04\x16avro.schema", "Avro container"),
    "Feather": (b"ARROW1\0\0", "Arrow"),
    "nothing": (b"", "an empty file"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_of_another_format_is_named_with_the_way_to_rows(tmp_path: Path, kind: str, name: str) -> None:
    contents, says = FOREIGN[kind]
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(Refused) as refusal:
        read(tmp_path / name)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "says"), [("a.xlsx", "named"), ("a", "named"), ("a.json", "named"), ("a.parquet", "PAR1")]
)
def test_a_name_and_contents_that_disagree_are_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_text(TEXT)
    with pytest.raises(Refused, match=says):
        read(tmp_path / name)
    write_parquet(tmp_path / "b.csv", payments(1))
    with pytest.raises(Refused, match="found Parquet"):
        read(tmp_path / "b.csv")


@pytest.mark.parametrize("write", [write_csv, write_json, write_parquet])
def test_the_standard_input_is_read_by_what_its_first_bytes_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    data = write(tmp_path / "any", payments(9)).read_bytes()
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with os.fdopen(reading) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert len(read(Path("-")).rows) == 9
    feeder.join()


def test_bytes_that_are_not_utf_8_in_parquet_cost_their_row(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(payments(3))
    binary = pa.array([b"mer", b"M\xfcller", b"mer"])
    names = pa.Array.from_buffers(pa.string(), 3, binary.buffers())  # as writers that do not look leave it
    pq.write_table(table.set_column(3, "merchant_id", names), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert (len(found.rows), found.errors) == (2, [(2, "merchant_id")])


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_timestamps_beyond_every_calendar_cost_their_row(tmp_path: Path, unit: str) -> None:
    per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    good = 1_785_000_000 * per_second
    times = pa.array([good, 2**63 - 1, -(2**63) + 1, good], pa.int64()).cast(pa.timestamp(unit))
    table = pa.Table.from_pylist(payments(4))
    place = table.schema.get_field_index("event_time_ms")
    pq.write_table(table.set_column(place, "event_time_ms", times), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert [row["event_time_ms"] for row in found.rows] == [1_785_000_000_000] * 2
    assert [number for number, _ in found.errors] == [2, 3]


def test_a_damaged_part_costs_its_rows_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(payments(3_000)), path, row_group_size=1_000, compression="zstd")
    group = pq.ParquetFile(path).metadata.row_group(1)
    data = bytearray(path.read_bytes())
    start = group.column(0).dictionary_page_offset or group.column(0).data_page_offset
    data[start + 8 : start + 200] = b"\xff" * 192
    path.write_bytes(data)
    found = read(path)
    assert (len(found.rows), found.outcome.bad, found.outcome.lines) == (2_000, 1_000, 3_000)
    assert "expected rows 1001 to 2000 to be readable" in found.messages[0]
    assert found.outcome.broken


def test_a_small_file_that_unpacks_to_more_than_memory_is_refused_by_its_own_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_rows, "CHUNK_BYTES_MAX", 1 << 20)
    table = pa.Table.from_pylist(payments(40))
    bulk = pa.array(["x" * 100_000 + str(number) for number in range(40)])
    small: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}
    pq.write_table(table.append_column("device_id", bulk), tmp_path / "a.parquet", **small)
    assert (tmp_path / "a.parquet").stat().st_size < 50_000
    with pytest.raises(Refused, match="device_id of group 1; write smaller row groups"):
        read(tmp_path / "a.parquet")
    pq.write_table(table.append_column("other", bulk), tmp_path / "b.parquet", **small)
    assert len(read(tmp_path / "b.parquet").rows) == 40  # what is not read need not fit


def test_one_long_value_that_every_row_repeats_is_never_repeated_in_memory(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(payments(5_000))
    bulk = pa.DictionaryArray.from_arrays(pa.array([0] * 4_999 + [None], pa.int32()), pa.array(["x" * (4 << 20)]))
    pq.write_table(table.append_column("device_id", bulk), tmp_path / "a.parquet", compression="zstd")
    before = pa.total_allocated_bytes()
    peak = pa.default_memory_pool().max_memory()
    found = read(tmp_path / "a.parquet")
    assert (found.outcome.bad, found.outcome.good) == (4_999, 1)
    assert "at most 65,536 bytes" in found.messages[0]
    assert pa.default_memory_pool().max_memory() - max(peak, before) < 200 << 20  # 20 GB if it were repeated
