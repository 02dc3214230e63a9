"""Reads one stream's archived records by whom they are about, in the order in which they were appended.

The records of a key are found by the key. Those of another entity, such as a device, are under many keys: these are
found first, by one column, then the keys' records are read and the others left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import decoded_columns
from weir.archive.place import Place
from weir.archive.reader import MS_MAX, MayHold, TableReader
from weir.archive.records import CONSUMED, Record
from weir.archive.table import find_table
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import Refused

_COLUMNS: Final = (*CONSUMED, "id")


class StreamRecords:
    """The tables of one stream, as they were when it was opened."""

    def __init__(self, settings: Settings, root: Place) -> None:
        """Open the tables that there are.

        Raises:
            Refused: there is none of events, or one that this version cannot read.
            Transient: the store cannot be read.
        """
        self.stream = settings.stream
        self.topics = settings.topics.of(self.stream)
        topics = (self.topics.events, self.topics.features, self.topics.decisions, self.topics.labels)
        names = [name for name in topics if name]
        with ThreadPoolExecutor(len(names)) as logs:  # each takes some ms to read
            opened = logs.map(find_table, map(root.below, names))
            self._readers = {name: TableReader(table) for name, table in zip(names, opened, strict=True) if table}
        if self.topics.events not in self._readers:
            raise Refused(f"expected the table of topic {self.topics.events} in {root.uri}, found none; `weir archive`")
        schema = BatchCodec(schema=event_schemas(self.stream)[-1]).arrow_schema
        self._columns = {name: column.name for name, column in decoded_columns(schema).items()}

    @property
    def partitions(self) -> dict[str, int]:
        """How many partitions of each topic have records."""
        return {
            name: (pc.max(reader.files["max.partition"]).as_py() or 0) + 1 for name, reader in self._readers.items()
        }

    def begins_after(self, time_ms: int) -> int | None:
        """Return when the archive's events begin, if earlier ones are wanted that were in the topic."""
        files = self._readers[self.topics.events].files
        begins = pc.min(files["min.append_ms"]).as_py()
        return None if begins is None or begins <= time_ms or pc.min(files["min.offset"]).as_py() == 0 else begins

    def about(
        self, topic: str, entity: str, ids: Collection[str], first_ms: int = 0, end_ms: int = MS_MAX
    ) -> list[Record]:
        """Return the records of a topic about some of an entity's ids; none where the topic is not archived.

        Args:
            topic: of the stream.
            entity: its name.
            ids: of it.
            first_ms: append time of the first record that is wanted, UTC epoch milliseconds.
            end_ms: and of the first one that is not.

        Raises:
            Transient: the store cannot be read.
        """
        if entity == self.stream.key.name:
            return self.of_keys(topic, [each.encode() for each in ids], first_ms, end_ms)
        reader, column = self._readers.get(topic), self._columns[self.stream.entity(entity).field]
        if reader is None or column not in reader.schema.names or not ids:
            return []
        keys = [key for key in reader.keys_of(column, ids, first_ms, end_ms) if key is not None]
        if not keys:
            return []
        found = reader.histories(keys, first_ms, end_ms, [*_COLUMNS, column])
        return _as_records(topic, found.filter(pc.is_in(found[column], pa.array(sorted(ids), pa.string()))))

    def of_keys(
        self,
        topic: str,
        keys: Collection[bytes],
        first_ms: int = 0,
        end_ms: int = MS_MAX,
        columns: Sequence[str] = _COLUMNS,
        may_hold: MayHold | None = None,
    ) -> list[Record]:
        """Return the records of a topic that have one of some keys; arguments as of ``TableReader.histories``."""
        reader = self._readers.get(topic)
        if reader is None or not keys:
            return []
        rows = reader.histories(keys, first_ms, end_ms, columns, may_hold)
        return [Record(topic, row) for row in rows.to_pylist()]

    def event_at(self, offset: int, partition: int | None, entity: str, entity_id: str) -> Record:
        """Return the event of an entity at an offset.

        Raises:
            Refused: there is none in the archive, or one in each of several partitions.
            Transient: the store cannot be read.
        """
        found = self._readers[self.topics.events].find_at(offset, partition)
        if entity == self.stream.key.name:
            found = found.filter(pc.equal(found["key"], pa.scalar(entity_id.encode(), pa.binary())))
        else:
            found = found.filter(pc.equal(found[self._columns[self.stream.entity(entity).field]], entity_id))
        records = _as_records(self.topics.events, found.select(_COLUMNS))
        if len(records) > 1:
            raise Refused(
                f"offset {offset}: expected one event, found one in each of several partitions; say which, as "
                f"PARTITION:{offset}"
            )
        if not records:
            where = f"[{partition}]@{offset}" if partition is not None else f"@{offset}"
            raise Refused(
                f"expected a {self.stream.event} of this {entity} at {self.topics.events}{where}, found none in the "
                "archive; without offsets a time is given, and the walk shows the offsets"
            )
        return records[0]


def _as_records(topic: str, rows: pa.Table) -> list[Record]:
    return [Record(topic, row) for row in rows.select(_COLUMNS).to_pylist()]
