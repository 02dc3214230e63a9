"""Erasure: no byte of the id is left in any file, every other row is as it was, and the chain still verifies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weir.archive.columns import FIXED, bucket_of
from weir.archive.erasing import erase, find_holding
from weir.archive.holding import Wanted, encode_text
from weir.archive.joining import join_day
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import TableReader
from weir.archive.rows import Raw, RowMaker
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import load_key
from weir.archive.seals.sealing import seal_new
from weir.archive.seals.verify import Verified, verify
from weir.archive.table import ArchiveTable, open_table
from weir.schemas.avro.codec import Decoded
from weir.schemas.errors import Refused
from weir.streaming.stage import do_nothing

DAY_MS = 86_400_000
T0_MS = 20_000 * DAY_MS
WANTED = "card-000007"
CARD = Wanted(WANTED, "card_id", is_key=True)
RECORD = pa.schema([("transaction_id", pa.string()), ("card_id", pa.string()), ("amount", pa.int64())])


class Topic(NamedTuple):
    name: str
    topic_id: str


def _card(number: int) -> str:
    return f"card-{number % 10:06d}"


def _decode(values):
    """Read ``id|card|amount``; what is not of that form was never decoded."""
    good = [(place, value[5:].split(b"|")) for place, value in enumerate(values) if value[5:].count(b"|") == 2]
    rows = [{"transaction_id": p[0].decode(), "card_id": p[1][1:].decode(), "amount": int(p[2])} for _, p in good]
    batch = pa.RecordBatch.from_pylist(rows, schema=RECORD)
    return Decoded(batch, np.array([place for place, _ in good], np.int64), [], np.ones(len(good), np.int64))


def _fill(table: ArchiveTable, topic: str, *, is_letters: bool = False) -> None:
    """Three batches of 20 rows each over two days, in two partitions."""
    maker = RowMaker(topic, {} if is_letters else table.columns(RECORD), None if is_letters else _decode,
                     "transaction_id", os.urandom)  # fmt: skip
    for batch in range(3):
        raw = Raw()
        for number in range(20):
            offset = 30 * batch + number
            value = b"\0\0\0\0\1t-%d|" % offset + encode_text(_card(number)) + b"|5"
            if is_letters:
                value = b"not decoded, of " + _card(number).encode()
            raw.partitions.append(number % 2)
            raw.offsets.append(offset)
            raw.append_ms.append(T0_MS + DAY_MS * (batch // 2) + offset)
            raw.keys.append(_card(number).encode() if not is_letters else b"k")
            raw.values.append(value)
            raw.headers.append([("h", b"1")])
            raw.framed.append(value)
        ends = dict.fromkeys((0, 1), 30 * batch + 20)
        if not batch:
            table.begin([0, 1])
        table.append([maker.make(raw)], ends, do_nothing)


class Archive:
    """An archive of two topics with its chain."""

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, Place(str(root / "archive"))
        self.chain, self.key = Chain(self.place), load_key(root / "seal.key")
        self.tables: dict[str, ArchiveTable] = {}
        for name, record in (("events", RECORD), ("events.dlq", pa.schema([]))):
            table = open_table(self.place.below(name), Topic(name, "1"), "events", record)
            _fill(table, name, is_letters=name == "events.dlq")
            seal_new(self.chain, self.key, name=name, table=table)
            self.tables[name] = table

    def erase(self, why: str = "asked for", on_step=do_nothing) -> int:
        count = 0
        for table in self.tables.values():
            found = find_holding(table, CARD)
            count += len(found.rows)
            erase(found, CARD, chain=self.chain, key=self.key, at_ms=T0_MS, why=why, on_step=on_step)
        return count

    def verify(self) -> Verified:
        return verify(self.chain, self.tables, Objects(self.place))

    def files(self) -> Iterator[tuple[Path, bytes]]:
        for path in sorted((self.root / "archive").rglob("*")):
            if path.is_file():
                yield path, path.read_bytes()

    def rows(self, name: str) -> list[dict]:
        order = [("partition", "ascending"), ("offset", "ascending")]
        rows: list[dict] = self.tables[name].delta.to_pyarrow_table().sort_by(order).to_pylist()
        return rows


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def _uncompressed(path: Path, content: bytes) -> bytes:
    """A file's bytes, and those of its pages, which are compressed."""
    if path.suffix != ".parquet":
        return content
    data = pq.ParquetFile(path)
    groups = [data.metadata.row_group(number) for number in range(data.num_row_groups)]
    statistics = [group.column(column).statistics for group in groups for column in range(data.metadata.num_columns)]
    return content + repr((data.read().to_pylist(), data.metadata.metadata, statistics)).encode()


def _holding(archive: Archive, wanted: str) -> list[str]:
    return [path.name for path, content in archive.files() if wanted.encode() in _uncompressed(path, content)]


def test_no_byte_of_an_erased_id_is_left_in_any_file(archive: Archive) -> None:
    for table in archive.tables.values():
        join_day(table, pa.scalar(T0_MS // DAY_MS, pa.int32()).cast(pa.date32()).as_py(), do_nothing)
    (orphan := archive.root / "archive" / "events" / "left-over.parquet").write_bytes(WANTED.encode())
    os.utime(orphan, (time.time() - 7_200,) * 2)
    assert len([1 for path, content in archive.files() if path.suffix == ".parquet"]) >= 9
    assert archive.erase() == 12
    assert not orphan.exists()
    assert _holding(archive, WANTED) == []
    assert len(_holding(archive, "card-000008")) >= 4


def test_an_erased_row_keeps_its_place_and_leaf_and_no_other_row_changes(archive: Archive) -> None:
    before = {name: archive.rows(name) for name in archive.tables}
    archive.erase()
    for name, rows in before.items():
        for was, now in zip(rows, archive.rows(name), strict=True):
            holds = WANTED.encode() in was["value"]
            assert {k: now[k] for k in ("partition", "offset", "append_ms", "day", "bucket", "leaf", "batch")} == {
                k: was[k] for k in ("partition", "offset", "append_ms", "day", "bucket", "leaf", "batch")
            }
            kept = {name: value for name, value in now.items() if value is not None}
            assert (len(kept) == 7) if holds else (now == was)


def test_verification_answers_erased_and_not_changed(archive: Archive) -> None:
    archive.erase()
    verified = archive.verify()
    assert verified.findings == []
    assert {name: table.erased for name, table in verified.tables.items()} == {"events": 6, "events.dlq": 6}


def test_an_erased_event_is_found_by_no_id_and_the_others_are(archive: Archive) -> None:
    archive.erase()
    reader = TableReader(archive.tables["events"])
    assert reader.find("t-7") == []
    assert [row["offset"] for row in reader.find("t-8")] == [8]
    assert reader.history(WANTED.encode()).num_rows == 0
    assert reader.history(b"card-000008").num_rows == 6


def test_erasing_again_finds_nothing(archive: Archive) -> None:
    archive.erase()
    seals = archive.chain.read_length()
    assert archive.erase() == 0
    assert archive.chain.read_length() == seals


class Killed(Exception):
    """The process died."""


@pytest.mark.parametrize("step", ["erase_recorded", "erase_emptied"])
def test_a_run_that_died_is_finished_by_the_next(archive: Archive, step: str) -> None:
    def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        archive.erase(on_step=die)
    archive.erase()
    assert _holding(archive, WANTED) == []
    assert archive.verify().findings == []


def test_rows_that_were_recorded_and_not_erased_yet_are_named(archive: Archive) -> None:
    def die(_: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        archive.erase(on_step=die)
    assert {finding.kind for finding in archive.verify().findings} == {"not erased"}
    assert len(archive.verify().findings) == 6


def test_rows_are_archived_while_others_are_erased(archive: Archive) -> None:
    found = find_holding(archive.tables["events"], CARD)
    again = open_table(archive.place.below("events"), Topic("events", "1"), "events", RECORD)
    again.begin([0, 1])
    maker = RowMaker("events", again.columns(RECORD), _decode, "transaction_id", os.urandom)
    value = b"\0\0\0\0\1t-500|" + encode_text("card-000001") + b"|5"
    raw = Raw([0], [500], [T0_MS + 2 * DAY_MS], [b"card-000001"], [value], [[]], [value])

    def append(step: str) -> None:
        if step == "erase_recorded":
            again.append([maker.make(raw)], {0: 501}, do_nothing)

    erase(found, CARD, chain=archive.chain, key=archive.key, at_ms=T0_MS, why="", on_step=append)
    seal_new(archive.chain, archive.key, name="events", table=again)
    again.look()
    assert len(archive.rows("events")) == 61
    assert archive.verify().findings == []


def test_a_reason_that_holds_the_id_is_refused(archive: Archive) -> None:
    with pytest.raises(Refused, match="a reason without the id"):
        archive.erase(why=f"{WANTED} asked")
    assert archive.verify().findings == []


def test_what_stays_of_a_row_is_what_the_contract_names() -> None:
    emptied = {"key", "value", "headers", "id", "id_hash", "undecoded", "x_request_id", "salt"}
    kept = {"partition", "offset", "append_ms", "day", "bucket", "leaf", "batch"}
    assert {each.name for each in FIXED} - emptied == kept
    assert bucket_of(WANTED.encode()) < 64
