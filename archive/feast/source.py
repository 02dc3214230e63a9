"""Where Feast's views read: the table of one topic in an archive, by its columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from feast.data_source import DataSource
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.type_map import pa_to_feast_value_type

from weir.archive.feast.place import find_place
from weir.archive.reader import open_reader
from weir.schemas.errors import Refused

APPENDED: Final = "append_ms"


class WeirSource(DataSource):
    """A topic's table.

    Times are columns of UTC epoch milliseconds; when a row was created is when it was appended to the topic.
    """

    def __init__(self, *, topic: str, timestamp_field: str, name: str = "", **described: Any) -> None:
        """Name a table.

        Args:
            topic: whose records it has.
            timestamp_field: column of a row's time.
            name: of the source; the topic's by default.
            described: ``description``, ``tags``, ``owner``.
        """
        super().__init__(
            name=name or topic, timestamp_field=timestamp_field, created_timestamp_column=APPENDED, **described
        )
        self.topic = topic

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WeirSource) and bool(super().__eq__(other)) and self.topic == other.topic

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.topic))

    def source_type(self) -> Any:
        """Return that Feast does not know this kind by itself."""
        return DataSourceProto.CUSTOM_SOURCE

    @staticmethod
    def from_proto(data_source: Any) -> WeirSource:
        """Return a source as the registry has it."""
        return WeirSource(
            topic=json.loads(data_source.custom_options.configuration)["topic"],
            timestamp_field=data_source.timestamp_field,
            name=data_source.name,
            description=data_source.description,
            tags=dict(data_source.tags),
            owner=data_source.owner,
        )

    def _to_proto_impl(self) -> Any:
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type=f"{__name__}.WeirSource",
            custom_options=DataSourceProto.CustomSourceOptions(
                configuration=json.dumps({"topic": self.topic}).encode()
            ),
            timestamp_field=self.timestamp_field,
            created_timestamp_column=self.created_timestamp_column,
            description=self.description,
            tags=self.tags,
            owner=self.owner,
        )

    def validate(self, config: Any) -> None:
        """Take what the archive does not have yet: views are declared before there are rows."""

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], Any]:
        """Return what turns a column's type into Feast's."""
        return pa_to_feast_value_type

    def get_table_column_names_and_types(self, config: Any) -> Iterable[tuple[str, str]]:
        """Return the table's columns and their types.

        Raises:
            Refused: the topic is not archived.
        """
        schema = open_reader(find_place(config), self.topic).schema
        return [(field.name, str(field.type)) for field in schema]

    def get_table_query_string(self) -> str:
        """Refuse SQL.

        Raises:
            Refused: always.
        """
        raise Refused(f"expected a read by the offline store of Weir, found one by SQL of topic {self.topic}")
