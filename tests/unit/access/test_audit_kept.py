"""Calls that a backup has put back: read as they were written, each once, and from nowhere if the log has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from weir.access.audit.kept import folder_of, list_kept, read_kept, write_calls
from weir.schemas.audit import AuditRecord, Placed
from weir.schemas.errors import Damaged

RECORD = AuditRecord("result", 7, "r", "0123abcd", "::1", "POST", "/v1/labels", "payments", "ab" * 16, 409, 123, 4)


def place(offset: int, *, of: str = "topic", partition: int = 0) -> Placed:
    return Placed(of, partition, offset, 1_000 + offset, replace(RECORD, time_ms=offset, request_id=f"réq-{offset}"))


def write(home: Path, name: str, calls: Iterable[Placed]) -> int:
    folder_of(home).mkdir(parents=True, exist_ok=True)
    return write_calls(folder_of(home) / name, calls)


def read(home: Path, since_ms: int = 0, elsewhere: frozenset[tuple[str, int, int]] = frozenset()) -> list[Placed]:
    return list(read_kept(home, since_ms, lambda *where: where in elsewhere))


def test_calls_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.access.audit.kept._ROWS_AT_ONCE", 7)
    calls = [place(offset) for offset in range(20)]
    assert write(tmp_path, "calls-1.parquet", iter(calls)) == 20
    assert pq.ParquetFile(list_kept(tmp_path)[0]).num_row_groups == 3  # so it was written in parts
    assert read(tmp_path) == calls
    for since in (0, 6, 7, 8, 15, 19, 20):
        assert read(tmp_path, since_ms=1_000 + since) == calls[since:]


def test_a_call_that_is_elsewhere_or_in_two_files_is_shown_once(tmp_path: Path) -> None:
    write(tmp_path, "calls-2.parquet", [place(3), place(4), place(4, of="another"), place(4, partition=1)])
    write(tmp_path, "calls-1.parquet", [place(2), place(3)])
    found = [
        (each.topic_id, each.partition, each.offset) for each in read(tmp_path, elsewhere=frozenset({("topic", 0, 2)}))
    ]
    assert found == [("topic", 0, 3), ("topic", 0, 4), ("another", 0, 4), ("topic", 1, 4)]


def test_no_calls_are_no_file(tmp_path: Path) -> None:
    assert write(tmp_path, "calls-1.parquet", []) == 0
    assert (list_kept(tmp_path), read(tmp_path)) == ([], [])


def test_another_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, "calls-1.parquet", [place(1)])
    (path,) = list_kept(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Damaged, match=r"calls-1\.parquet"):
        read(tmp_path)
