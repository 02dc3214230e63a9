"""Damaged files of every format: refused in words, or every line accounted for; no traceback and no lost line."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.infra.user_files.files import payments, read_or_refuse, write_csv, write_json

ROWS = 40
TRIES = 60
JUNK = [b"\x00", b"\xff", b'"', b"\n", b"\r", b",", b"\xef\xbb\xbf", b"9" * 400, b"{", b"\x1a", b"\xc2\x85", b";", b" "]


def csv_bytes(path: Path) -> bytes:
    return write_csv(path, payments(ROWS)).read_bytes()


def json_bytes(path: Path) -> bytes:
    return write_json(path, payments(ROWS)).read_bytes()


def packed_bytes(path: Path) -> bytes:
    return gzip.compress(csv_bytes(path))


def parquet_bytes(path: Path) -> bytes:
    del path
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(payments(ROWS)), stream, row_group_size=10)
    return stream.getvalue()


def damage(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        data = rng.choice(
            [
                data[:at] + rng.choice(JUNK) + data[at:],
                data[:at] + data[at + rng.randint(1, 30) :],
                data[:at] + bytes(rng.randrange(256) for _ in range(8)) + data[at + 8 :],
                data[: max(at, 1)],
            ]
        )
    return data or b"x"


@pytest.mark.parametrize(
    ("name", "make"),
    [("a.csv", csv_bytes), ("a.jsonl", json_bytes), ("a.csv.gz", packed_bytes), ("a.parquet", parquet_bytes)],
)
def test_a_damaged_file_is_refused_in_words_or_every_line_of_it_is_accounted_for(
    tmp_path: Path, name: str, make: Callable[[Path], bytes]
) -> None:
    sound = make(tmp_path / "sound")
    results = []
    for seed in range(TRIES):
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(damage(sound, random.Random(seed)))
        results.append(read_or_refuse(path))
    # what is read had its counts held to its lines
    assert max((len(found.rows) for _, found in results if found is not None), default=0) <= ROWS
    assert [refusal for refusal, found in results if found is None and ("\n" in refusal or not refusal)] == []


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz", "a.tsv", "a.txt"])
def test_bytes_without_meaning_are_refused_or_counted(tmp_path: Path, name: str) -> None:
    for seed in range(TRIES):
        rng = random.Random(seed)
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(bytes(rng.randrange(256) for _ in range(rng.randint(1, 600))))
        refusal, found = read_or_refuse(path)
        assert "\n" not in refusal, f"seed {seed}"
        assert found is None or found.rows == [], f"seed {seed}"
