"""Reads the audit log out of an archive: what the topic has forgotten is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import DAY
from weir.archive.place import Place
from weir.archive.reader import TableReader, open_reader
from weir.archive.table import find_table
from weir.schemas.audit import AuditRecord, Placed, read_record

_ORDER: Final = ("append_ms", "partition", "offset")
_FIELDS: Final = tuple(AuditRecord.__slots__)


def read_archived_calls(root: Place, topic: str, since_ms: int) -> Iterator[AuditRecord]:
    """Return the records that the brokers appended from a time on, oldest first; what is no record of ours is left out.

    **Cost:** the records of one day in memory.

    Args:
        root: of the archive.
        topic: of the audit log.
        since_ms: UTC epoch ms.

    Raises:
        Refused: the archive has no such table.
        Transient: the store cannot be read.
    """
    reader = open_reader(root, topic)
    return (read_record(row) for row in _each_row(reader, since_ms))


@dataclass(frozen=True)
class ArchivedLog:
    """The audit log as an archive had it at one moment.

    Attributes:
        topic_id: of the topic that was archived.
        end_of: returns the next offset of a partition; what is below is archived, or was removed by retention.
        calls: the records with their places, oldest first.
    """

    topic_id: str
    end_of: Callable[[int], int]
    calls: Iterable[Placed]


def open_archived_log(root: Place, topic: str, since_ms: int = 0) -> ArchivedLog | None:
    """Return the audit log of an archive, or nothing where the archive has none.

    Args:
        root: of the archive.
        topic: of the audit log.
        since_ms: UTC epoch ms.

    Raises:
        Refused: a newer version wrote its table.
        Transient: the store cannot be read.
    """
    table = find_table(root.below(topic))
    if table is None:
        return None
    reader, topic_id = TableReader(table), table.topic_id
    calls = (
        Placed(topic_id, row["partition"], row["offset"], row["append_ms"], read_record(row))
        for row in _each_row(reader, since_ms)
    )
    return ArchivedLog(topic_id, lambda partition: table.position(partition) or 0, calls)


def _each_row(reader: TableReader, since_ms: int) -> Iterator[dict[str, Any]]:
    first = datetime.fromtimestamp(since_ms / 1_000, UTC).date()
    days = [day for day in sorted(pc.unique(reader.files[f"partition.{DAY}"]).to_pylist()) if day >= first]
    return (row for day in days for row in _read_day(reader, day, since_ms))


def _read_day(reader: TableReader, day: date, since_ms: int) -> Iterator[dict[str, Any]]:
    columns = [*_ORDER, *_FIELDS]
    schema = pa.schema([reader.schema.field(name) for name in columns])
    rows = pa.Table.from_batches(reader.scan(day, day, columns), schema)
    is_wanted = pc.and_(pc.greater_equal(rows["append_ms"], since_ms), pc.is_valid(rows["phase"]))
    rows = rows.filter(is_wanted).sort_by([(name, "ascending") for name in _ORDER])
    for batch in rows.to_batches():
        yield from batch.to_pylist()
