"""``weir archive status``: what each table holds, and how far its topic is ahead of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.place import Place
from weir.archive.table import ArchiveTable, find_table
from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Refused, Transient


class Standing(NamedTuple):
    """One table.

    Attributes:
        size_bytes: of its data files.
        batch: number of the last one.
        newest: append time of its newest row, UTC in ISO 8601; None of an empty table.
        lag: committed records that are not archived, markers of transactions included; None where no broker says.
    """

    topic: str
    stream: str
    rows: int
    files: int
    size_bytes: int
    batch: int
    newest: str | None
    lag: int | None


def read_standings(root: Place, kafka: KafkaSettings) -> Iterator[Standing]:
    """Yield how each table of an archive stands, by the name of its topic.

    Raises:
        Refused: there is no archive.
        Transient: the store cannot be read.
    """
    tables = [table for name in root.list_folders() if (table := find_table(root.below(name))) is not None]
    if not tables:
        raise Refused(f"expected an archive in {root.uri}, found none; `weir archive` makes it")
    for table in tables:
        files = pa.table(table.delta.get_add_actions(flatten=True))
        newest_ms = pc.max(files["max.append_ms"]).as_py() if len(files) else None
        yield Standing(
            table.topic,
            table.stream,
            pc.sum(files["num_records"]).as_py() or 0,
            len(files),
            pc.sum(files["size_bytes"]).as_py() or 0,
            table.batch,
            None if newest_ms is None else datetime.fromtimestamp(newest_ms / 1_000, UTC).isoformat(),
            _measure_lag(table, kafka),
        )


def _measure_lag(table: ArchiveTable, kafka: KafkaSettings) -> int | None:
    try:
        ends: Mapping[int, int] = end_offsets(kafka, table.topic)
    except (Refused, Transient):  # a topic may be gone, and its archive stays
        return None
    known = table.begin(sorted(ends))
    return sum(max(0, end - (known[number] or 0)) for number, end in ends.items())
