"""Feast's offline store over an archive: what was logged, as it was at a time.

Nothing is computed again: a value is the one that the stream logged, bit for bit, and none is from after the asked
time. Event time counts; with Feast's ``filter_by_created_timestamp`` a row also has to be appended by then, so that
what came late is not known before it came.

It reads. What writes is refused: the archive is written by ``weir archive`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_requested_feature_views_to_features_dict, _get_requested_on_demand_feature_views

from weir.archive.feast.place import find_place
from weir.archive.feast.source import WeirSource
from weir.archive.place import Place
from weir.archive.point_in_time import PLACE, Asked, NewestRows, Times, find_latest
from weir.archive.reader import TableReader, open_reader
from weir.schemas.errors import Refused

_ROWS_AT_ONCE: Final = 131_072
_NS: Final = 1_000_000
"""Nanoseconds of a millisecond: Feast asks by the first, the archive has the second."""
_FOREVER: Final = np.iinfo(np.int64).min
_FLOAT: Final = pa.float32()


class WeirOfflineStoreConfig(FeastConfigBaseModel):
    """``offline_store`` of ``feature_store.yaml``."""

    type: Literal["weir.archive.feast.offline_store.WeirOfflineStore"] = (
        "weir.archive.feast.offline_store.WeirOfflineStore"
    )
    archive: str = ""
    """A URL, or a folder as seen from the repository; by default where Weir's own settings have the archive."""


class ArchiveJob(RetrievalJob):
    """A read that is made when its rows are asked for."""

    def __init__(
        self,
        read: Callable[[], pa.Table],
        *,
        full_feature_names: bool = False,
        on_demand: Sequence[Any] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        """Wrap what reads."""
        self._read, self._full_feature_names = read, full_feature_names
        self._on_demand, self._metadata = list(on_demand), metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether a feature's name has its view's before it."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """Views that Feast computes of the rows."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked."""
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        del timeout
        return self._read()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> NoReturn:
        """Refuse to write.

        Raises:
            Refused: always.
        """
        del storage, allow_overwrite, timeout
        _refuse_to_write("a saved dataset", "take its rows by to_arrow() and write them where you want them")


class WeirOfflineStore(OfflineStore):
    """Reads the tables of an archive."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **_: Any,
    ) -> RetrievalJob:
        """Return the newest logged values at or before the time of each entity row, within each view's ttl.

        Raises:
            Refused: there are no entity rows, or a view cannot be read.
        """
        if not isinstance(entity_df, pd.DataFrame):
            found = "none" if entity_df is None else "SQL"
            raise Refused(f"expected entity rows as a pandas DataFrame, found {found}; name each key and its time")
        time = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        on_demand = _get_requested_on_demand_feature_views(feature_refs, project, registry)
        views, _of_request = _get_requested_feature_views_to_features_dict(feature_refs, feature_views, on_demand)
        wanted = [_View.of(view, names, full_feature_names) for view, names in views.items()]
        asked_ns = pd.to_datetime(entity_df[time], utc=True).astype("datetime64[ns, UTC]").astype("int64").to_numpy()

        def read() -> pa.Table:
            root, rows = find_place(config), pa.Table.from_pandas(entity_df, preserve_index=False)
            for view in wanted:
                for name, values in _find(root, view, entity_df, asked_ns, is_known=filter_by_created_timestamp):
                    rows = rows.append_column(name, values)
            return rows

        keys = [name for name in entity_df.columns if name != time]
        metadata = RetrievalMetadata(feature_refs, keys, entity_df[time].min(), entity_df[time].max())
        requested = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        return ArchiveJob(read, full_feature_names=full_feature_names, on_demand=requested, metadata=metadata)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Return the newest row of each key within a time, both ends included: what `feast materialize` writes."""
        del created_timestamp_column
        columns = [*join_key_columns, *feature_name_columns]

        def read() -> pa.Table:
            latest: pa.Table | None = None
            for rows in _read_between(
                config, data_source, join_key_columns, feature_name_columns, start_date, end_date
            ):
                found = rows if latest is None else pa.concat_tables([latest, rows])
                latest = find_latest(found, join_key_columns, timestamp_field).combine_chunks()
            return _with_times(latest, columns, timestamp_field)

        return ArchiveJob(read)

    @staticmethod
    def pull_all_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Return every row within a time, both ends included, oldest first."""
        del created_timestamp_column
        columns = [*join_key_columns, *feature_name_columns]

        def read() -> pa.Table:
            rows = pa.concat_tables(
                _read_between(config, data_source, join_key_columns, feature_name_columns, start_date, end_date)
            )
            rows = rows.sort_by([(name, "ascending") for name in (timestamp_field, *PLACE)])
            return _with_times(rows, columns, timestamp_field)

        return ArchiveJob(read)

    @staticmethod
    def offline_write_batch(config: Any, feature_view: Any, table: Any, progress: Any) -> NoReturn:
        """Refuse to write.

        Raises:
            Refused: always.
        """
        del config, feature_view, table, progress
        _refuse_to_write("feature rows", "`weir process` computes them and `weir archive` keeps them")

    @staticmethod
    def write_logged_features(config: Any, data: Any, source: Any, logging_config: Any, registry: Any) -> NoReturn:
        """Refuse to write.

        Raises:
            Refused: always.
        """
        del config, data, source, logging_config, registry
        _refuse_to_write("logged features", "what a model saw is in the features topic, and so in the archive")


def _refuse_to_write(what: str, instead: str) -> NoReturn:
    raise Refused(f"the offline store of Weir is read only: expected no {what} to write; {instead}")


@dataclass(frozen=True)
class _View:
    """What is read of one view.

    Attributes:
        topic: whose table is read.
        time: column of a row's time.
        key: column of a row's key.
        asked: column of the entity rows that has the key.
        columns: of the table, by the name that each has in what is returned.
        ttl_ns: how old a value may be, nanoseconds; 0 for any age.
    """

    topic: str
    time: str
    key: str
    asked: str
    columns: Mapping[str, str]
    ttl_ns: int

    @classmethod
    def of(cls, view: Any, names: Sequence[str], full: bool) -> _View:
        source, keys = view.batch_source, [column.name for column in view.entity_columns]
        if not isinstance(source, WeirSource):
            raise Refused(f"view {view.name}: expected a WeirSource, found {type(source).__name__}")
        if len(keys) != 1:
            raise Refused(f"view {view.name}: expected one join key, found {len(keys)}")
        called = view.projection.name_to_use()
        columns = {f"{called}__{name}" if full else name: name for name in names}
        ttl_ns = 1_000 * (view.ttl // timedelta(microseconds=1)) if view.ttl else 0
        asked = view.projection.join_key_map.get(keys[0], keys[0])
        return cls(source.topic, source.timestamp_field, keys[0], asked, columns, ttl_ns)


def _find(
    root: Place, view: _View, entity_df: pd.DataFrame, asked_ns: Times, *, is_known: bool
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield each column of a view for the entity rows, under the name that it has there."""
    if view.asked not in entity_df:
        raise Refused(f"expected the column {view.asked} in the entity rows, found {', '.join(entity_df.columns)}")
    reader = open_reader(root, view.topic)
    schema = _columns(reader, view.topic, [view.key], view.time, view.columns.values())
    asked = _ask(view, _as_keys(entity_df[view.asked], schema.field(view.key).type), asked_ns, is_known=is_known)
    newest = NewestRows(asked, schema, key=view.key, time=view.time)
    if len(asked_ns):
        of_time = (int(asked.oldest_ms.min()), int(asked.newest_ms.max()))
        for rows in _read(reader, schema, view.time, *of_time):
            newest.add(rows)
    found = newest.rows()
    yield from ((name, found[column]) for name, column in view.columns.items())


def _ask(view: _View, keys: pa.Array, asked_ns: Times, *, is_known: bool) -> Asked:
    newest_ms = asked_ns // _NS
    oldest_ms = -((view.ttl_ns - asked_ns) // _NS) if view.ttl_ns else np.full(len(asked_ns), _FOREVER)
    return Asked(keys, newest_ms, oldest_ms, newest_ms if is_known else None)


def _as_keys(values: pd.Series, kind: pa.DataType) -> pa.Array:
    try:
        keys = pa.array(values, from_pandas=True).cast(kind)
        return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    except pa.ArrowException:
        raise Refused(f"expected keys of type {kind} in the column {values.name}, found others") from None


def _read_between(
    config: Any, source: Any, keys: Sequence[str], features: Sequence[str], start: datetime | None, end: datetime | None
) -> Iterator[pa.Table]:
    """Yield the rows of a source within a time, both ends included; at least one table, which may be empty."""
    reader = open_reader(find_place(config), source.topic)
    schema = _columns(reader, source.topic, keys, source.timestamp_field, features)
    first = _FOREVER if start is None else -(-pd.to_datetime(start, utc=True).value // _NS)
    last = np.iinfo(np.int64).max if end is None else pd.to_datetime(end, utc=True).value // _NS
    yield schema.empty_table()
    yield from _read(reader, schema, source.timestamp_field, first, int(last))


def _columns(reader: TableReader, topic: str, keys: Sequence[str], time: str, features: Iterable[str]) -> pa.Schema:
    """Return columns of a table with those of a row's place; a feature that no row has yet is null."""
    own = reader.schema
    lacking = [name for name in (*keys, time) if name not in own.names]
    if lacking:
        raise Refused(f"expected the columns {', '.join(lacking)} in the archive of topic {topic}, found none of them")
    wanted = dict.fromkeys([*keys, time, *features, *PLACE])
    return pa.schema([own.field(name) if name in own.names else pa.field(name, _FLOAT) for name in wanted])


def _read(reader: TableReader, schema: pa.Schema, time: str, first_ms: int, last_ms: int) -> Iterator[pa.Table]:
    """Yield the rows of a range of times, both ends included, so many at once that each part is worth sorting."""
    there = [name for name in schema.names if name in reader.schema.names]
    is_wanted = (ds.field(time) >= first_ms) & (ds.field(time) <= last_ms)
    held: list[pa.RecordBatch] = []
    for batch in reader.scan(date.min, date.max, there, is_wanted):
        held.append(batch)
        if sum(map(len, held)) >= _ROWS_AT_ONCE:
            yield _complete(held, schema)
            held = []
    if held:
        yield _complete(held, schema)


def _complete(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    rows = pa.Table.from_batches(batches)
    missing = {field.name: pa.nulls(len(rows), field.type) for field in schema if field.name not in rows.schema.names}
    for name, nulls in missing.items():
        rows = rows.append_column(name, nulls)
    return rows.select(schema.names).cast(schema)


def _with_times(rows: pa.Table, columns: Sequence[str], time: str) -> pa.Table:
    """Return the columns that Feast asked for, with when a row was and when it was appended as timestamps."""
    found = rows.select([*columns])
    for name in (time, "append_ms"):
        found = found.append_column(name, rows[name].cast(pa.timestamp("ms", "UTC")))
    return found
