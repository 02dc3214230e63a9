"""The audit log in an archive: its own table, and every record of it found again after the topic has forgotten."""

from __future__ import annotations

import os
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.archive.test_table import Topic
from weir.archive.audit import read_archived_calls
from weir.archive.columns import FIXED, decoded_columns
from weir.archive.place import Place
from weir.archive.reader import open_reader
from weir.archive.rows import Raw, RowMaker
from weir.archive.run import Followed, _list_there, _open, list_followed
from weir.archive.table import no_step
from weir.infra.kafka.topics import TopicState
from weir.infra.settings import ArchiveSettings, Settings
from weir.schemas.audit import ID_FIELD, SCHEMA, AuditRecord
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments

TOPIC = "weir.audit"
NOON_MS = int(datetime(2026, 1, 10, 12, tzinfo=UTC).timestamp() * 1_000)
CODEC = BatchCodec(schema=SCHEMA)
WRITER = WriterSchema(1, True, SCHEMA)
(AUDIT,) = [each for each in list_followed(Settings(), [payments], audit=True) if each.stream is None]


def call(number: int, phase: str = "call") -> AuditRecord:
    return AuditRecord(phase, NOON_MS, f"r{number}", "key", "10.0.0.1", "GET", "/v1/models", "", "ab", 200, number)


def encode(records: list[AuditRecord]) -> list[bytes]:
    columns = zip(*map(astuple, records), strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, CODEC.arrow_schema, strict=True)]
    return CODEC.encode(pa.RecordBatch.from_arrays(arrays, schema=CODEC.arrow_schema), 1)


def archive(root: Place, values: list[bytes], append_ms: list[int]) -> None:
    """Add records at these times, one commit for each half, the later half first."""
    table = _open(root, Topic(TOPIC), AUDIT)  # type: ignore[arg-type]
    table.begin([0, 1])
    maker = RowMaker(
        TOPIC, table.columns(CODEC.arrow_schema), lambda some: CODEC.decode(some, {1: WRITER}.__getitem__), ID_FIELD,
        os.urandom,
    )  # fmt: skip
    half = len(values) // 2
    for partition, places in enumerate((range(half, len(values)), range(half))):
        some: list[bytes | None] = [values[place] for place in places]
        keys: list[bytes | None] = [None for _ in some]
        count = len(some)
        raw = Raw(
            [partition] * count, list(range(count)), [append_ms[place] for place in places], keys, some,
            [[] for _ in some], [*some],
        )  # fmt: skip
        table.append([maker.make(raw)], {partition: count}, no_step)


def test_every_field_of_a_record_is_a_column_of_its_own_name() -> None:
    columns = decoded_columns(CODEC.arrow_schema).items()
    assert [(name, column.name) for name, column in columns] == [(name, name) for name in AuditRecord.__slots__]
    assert not set(AuditRecord.__slots__) & set(FIXED.names)


def test_calls_from_a_time_on_are_read_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    root, records = Place(str(tmp_path)), [call(number) for number in range(8)]
    archive(root, encode(records), [NOON_MS + number * DAY_MS // 3 for number in range(8)])
    found = list(read_archived_calls(root, TOPIC, NOON_MS + DAY_MS))
    assert found == records[3:]
    assert list(read_archived_calls(root, TOPIC, 0)) == records
    assert not list(read_archived_calls(root, TOPIC, NOON_MS + 30 * DAY_MS))


def test_what_is_no_record_of_ours_is_left_out(tmp_path: Path) -> None:
    root, records = Place(str(tmp_path)), [call(number) for number in range(4)]
    values = encode(records)
    archive(root, [*values[:2], b"garbage", *values[2:]], [NOON_MS + number for number in range(5)])
    assert list(read_archived_calls(root, TOPIC, 0)) == records


def test_both_halves_of_a_change_are_found_by_the_id_of_the_request(tmp_path: Path) -> None:
    root, records = Place(str(tmp_path)), [call(1, "intent"), call(2), call(1, "result"), call(3)]
    archive(root, encode(records), [NOON_MS] * 4)
    assert {row["phase"] for row in open_reader(root, TOPIC).find("r1")} == {"intent", "result"}


def test_an_archive_without_the_log_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"expected the table of topic weir\.audit .* `weir archive` makes it"):
        read_archived_calls(Place(str(tmp_path)), TOPIC, 0)


def test_the_log_is_followed_next_to_the_streams_if_there_is_one() -> None:
    found = list_followed(Settings(), [payments], audit=True)
    assert found[-1] == Followed(TOPIC, None, "audit", SCHEMA)
    assert found[:-1] == list_followed(Settings(), [payments])
    states = {each.topic: TopicState(1, {}) for each in found}
    assert _list_there(found, states) == found
    del states[TOPIC]
    assert _list_there(found, states) == found[:-1]
    del states["features"]
    assert _list_there(found, states) == found[:-1], "of a stream's topics none may be missing"


def test_how_long_it_is_kept_is_a_setting_of_its_own() -> None:
    assert ArchiveSettings(keep_audit_days=7).keep_days(AUDIT.kind) == 7
    assert ArchiveSettings(keep_events_days=7).keep_days(AUDIT.kind) == 0
