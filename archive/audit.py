"""Reads the audit log out of an archive: what the topic has forgotten is there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import DAY
from weir.archive.place import Place
from weir.archive.reader import TableReader, open_reader
from weir.schemas.audit import AuditRecord, read_record

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
    first = datetime.fromtimestamp(since_ms / 1_000, UTC).date()
    days = [day for day in sorted(pc.unique(reader.files[f"partition.{DAY}"]).to_pylist()) if day >= first]
    return (record for day in days for record in _read_day(reader, day, since_ms))


def _read_day(reader: TableReader, day: date, since_ms: int) -> Iterator[AuditRecord]:
    columns = [*_ORDER, *_FIELDS]
    schema = pa.schema([reader.schema.field(name) for name in columns])
    rows = pa.Table.from_batches(reader.scan(day, day, columns), schema)
    is_wanted = pc.and_(pc.greater_equal(rows["append_ms"], since_ms), pc.is_valid(rows["phase"]))
    rows = rows.filter(is_wanted).sort_by([(name, "ascending") for name in _ORDER])
    for batch in rows.to_batches():
        yield from map(read_record, batch.to_pylist())
