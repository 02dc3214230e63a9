"""The archived feature rows of one stream, by the names of their fields, and the row of one event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weir.archive.columns import decoded_columns
from weir.archive.place import Place
from weir.archive.reader import Row, TableReader
from weir.archive.records import codec_of
from weir.archive.search.opened import open_topic
from weir.infra.settings import Settings
from weir.schemas.contracts import features_schema
from weir.schemas.stream import Stream


@dataclass(frozen=True)
class FeatureTable:
    """The table of a stream's feature rows.

    Attributes:
        columns: the column that each field of a row has in the table.
    """

    stream: Stream
    reader: TableReader
    columns: Mapping[str, str]

    def find(self, event_id: str) -> Row | None:
        """Return the newest row of an event by its columns, or None where none is archived.

        Raises:
            Transient: the store cannot be read.
        """
        return max(self.reader.find(event_id), key=lambda row: (row["append_ms"], row["offset"]), default=None)

    def list_stored(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """Return the columns of those fields that the table has had, by what the fields are given for."""
        stored = set(self.reader.schema.names)
        found = {name: self.columns.get(str(field), "") for name, field in fields.items()}
        return {name: column for name, column in found.items() if column in stored}


def open_features(settings: Settings, root: Place) -> FeatureTable:
    """Open the table of a stream's feature rows as it is now.

    Raises:
        NoTable: there is none.
        Refused: one that this version cannot read.
        Transient: the store cannot be read.
    """
    stream = settings.stream
    record = codec_of(features_schema(stream)).arrow_schema
    columns = {name: column.name for name, column in decoded_columns(record).items()}
    table = open_topic(root, settings.topics.of(stream).features)
    return FeatureTable(stream, TableReader(table), columns)
