"""Reads decisions and the feature rows that they were made of, day by day and in bounded parts.

A decision is joined with its row by the source partition and offset that both carry. Both have the record's key, so a
day is read in ranges of key buckets, and a part is a few hundred thousand rows whatever a day holds. A row is looked
for on the day of its decision, then on the day before, then everywhere: a scorer that was down decides old rows.

**Cost:** memory of one part: its decisions, and of its feature rows the columns that are asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import BUCKETS, DAY, decoded_columns
from weir.archive.place import Place
from weir.archive.reader import TableReader, open_reader
from weir.archive.slices import to_array, with_dictionaries
from weir.archive.table import find_table
from weir.inference.core.lists import APPEND_TIME
from weir.inference.core.vector import Matrix
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, features_schema
from weir.schemas.stream import Stream, Topics

PART_ROWS: Final = 250_000
"""Of sixty features they are 60 MB, and with what is made of them less than 1 GB."""
SOURCE: Final = ("source_partition", "source_offset")
PROPENSITY: Final = "propensity"
SHADOW_SCORE: Final = "shadow_score"
SHADOW: Final = (SHADOW_SCORE, "shadow_model_name", "shadow_model_version")
"""What a model that only scored said of an event; a table of an older release lacks them."""
MODEL_CONFIDENCE: Final = ("probability", "prediction_set")
"""What a decision says of how sure its model is; it decides nothing, and is read where scores are checked."""
RECORDED: Final = (
    "decision", "score", "decided_by", "tags", "shadow_rules", "model_name", "model_version", "rules_version",
    APPEND_TIME, *SOURCE,
)  # fmt: skip
LABELLED: Final = (PROPENSITY, "id_hash")
"""What labels are found and weighted by, next to the key."""
ROW: Final = "row"
"""Which row of its part a decision is: its place in the topic is read for the few that are named."""
_PLACE: Final = ("partition", "offset")
_TIME: Final = "append_ms"
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class Part:
    """Some decisions of one day.

    Attributes:
        day: UTC day on which they were appended.
        decisions: the columns of ``RECORDED`` and ``ROW``, and the key and ``LABELLED`` where that is asked for;
            texts are dictionaries. What the archive never had is left out.
        buckets: the range of key buckets that they are of, both included.
        time: append times of the first and of the first one left out, where some of the day are.
        rows: of which of the rows of day and buckets they are; None for all.
    """

    day: date
    decisions: pa.Table
    buckets: tuple[int, int]
    time: tuple[int, int] | None = None
    rows: slice | None = None


@dataclass(frozen=True)
class Joined:
    """Decisions with the feature rows that they were made of, row by row.

    Attributes:
        decisions: as in the part, those that have a row.
        features: float32, shape (rows, len(names)); NaN is a missing one.
        names: of the features.
        fields: of the events; texts are dictionaries.
        lost: how many decisions have no row in the archive.
    """

    decisions: pa.Table
    features: Matrix
    names: tuple[str, ...]
    fields: pa.RecordBatch
    lost: int

    def pick(self, places: npt.NDArray[np.int64]) -> Joined:
        """Return some of the rows, in the order of their places."""
        if len(places) == self.decisions.num_rows:
            return self
        taken = pa.array(places)
        return replace(
            self,
            decisions=self.decisions.take(taken).combine_chunks(),
            features=self.features[places],
            fields=self.fields.take(taken),
        )


class Past:
    """The decisions of one stream in an archive."""

    def __init__(self, root: Place, stream: Stream, topics: Topics) -> None:
        """Open the tables.

        Raises:
            Refused: there are none of features or decisions.
            Transient: the store cannot be read.
        """
        self.stream = stream
        self._decisions = open_reader(root, topics.decisions)
        self._features = open_reader(root, topics.features)
        labels = find_table(root.below(topics.labels)) if stream.labels else None
        self.labels = TableReader(labels) if labels else None
        self._recorded = _columns_of(decisions_schema(stream))
        self._seen = _columns_of(features_schema(stream))

    @property
    def newest_ms(self) -> int:
        """Append time of the newest record that the archive has of decisions or labels: its "now"."""
        readers = [self._decisions, *([self.labels] if self.labels else [])]
        newest = [pc.max(reader.files["max.append_ms"]).as_py() for reader in readers if len(reader.files)]
        return max((each for each in newest if each is not None), default=0)

    @property
    def newest_decision_ms(self) -> int:
        """Append time of the newest decision; 0 where there is none."""
        newest = pc.max(self._decisions.files["max.append_ms"]).as_py() if len(self._decisions.files) else None
        return int(newest or 0)

    @property
    def oldest_decision_ms(self) -> int:
        """Append time of the oldest decision; 0 where there is none."""
        oldest = pc.min(self._decisions.files["min.append_ms"]).as_py() if len(self._decisions.files) else None
        return int(oldest or 0)

    def parts(self, since_ms: int, until_ms: int, *, labelled: bool = True, more: Sequence[str] = ()) -> Iterator[Part]:
        """Yield all decisions that were appended in a time, oldest day first; those that were erased are left out.

        Args:
            since_ms: of the first one.
            until_ms: of the first one that is left out.
            labelled: read what labels are found by.
            more: fields of decisions that are read too; those that the archive never had are left out.
        """
        asked = [*RECORDED, *more, *([self.stream.key.field, *LABELLED] if labelled else [])]
        for day, rows, is_whole in self._days(since_ms, until_ms):
            for buckets in _cut(rows):
                part = self._read_part(day, buckets, asked, None if is_whole else (since_ms, until_ms))
                if part.decisions.num_rows:
                    yield part

    def choose(self, part: Part, places: slice) -> Part:
        """Return a part of neighbours by their places, one at least; its decisions are not in memory."""
        first, last = (part.decisions[ROW][place].as_py() for place in (places.start, places.stop - 1))
        # a slice of none would keep all of them
        return replace(part, decisions=part.decisions.schema.empty_table(), rows=slice(first, last + 1))

    def read_again(self, part: Part, more: Sequence[str]) -> Part:
        """Return a part with its decisions, and more of their fields."""
        return self._read_part(part.day, part.buckets, [*RECORDED, *more], part.time, part.rows)

    def _read_part(
        self,
        day: date,
        buckets: tuple[int, int],
        asked: Sequence[str],
        time: tuple[int, int] | None,
        rows: slice | None = None,
    ) -> Part:
        column_of, stored = self._recorded | {"id_hash": "id_hash"}, self._decisions.schema.names
        # what is not stored was kept by a release before it
        names = {name: column_of[name] for name in asked if column_of.get(name) in stored}
        columns = list(dict.fromkeys([*names.values(), *([_TIME] if time else [])]))
        found = _read(self._decisions, (day, day), columns, buckets, rows)
        places = np.arange(len(found), dtype=np.int32) + (rows.start if rows else 0)
        found = _select(found.append_column(ROW, pa.array(places)), self._recorded, time)
        kept = [*names.items(), (ROW, ROW)]
        return Part(day, pa.table({name: to_array(found[column]) for name, column in kept}), buckets, time, rows)

    def find_places(self, part: Part, rows: Sequence[int]) -> list[tuple[int, int]]:
        """Return the partition and offset of some decisions of a part, by their ``ROW``."""
        found = _read(self._decisions, (part.day, part.day), list(_PLACE), part.buckets).take(
            pa.array(rows, pa.int64())
        )
        return [
            (partition, offset) for partition, offset in zip(*(found[name].to_pylist() for name in _PLACE), strict=True)
        ]

    def join(self, part: Part, features: Iterable[str], fields: Iterable[str]) -> Joined:
        """Return decisions with their feature rows.

        Args:
            part: of this past.
            features: that are read; one that the archive never had is missing in every row.
            fields: of the events that are read.
        """
        names, plain = tuple(dict.fromkeys(features)), list(dict.fromkeys(fields))
        decisions, columns = part.decisions, [*names, *plain]
        rows = self._read_rows(part.day, part.day, part.buckets, columns, part.rows)
        if not all(rows[name].equals(decisions[name]) for name in SOURCE):  # else both are sorted alike
            if part.rows is not None:
                rows = self._read_rows(part.day, part.day, part.buckets, columns)
            decisions, rows = self._match(part, rows, columns)
        matrix = np.empty((len(names), rows.num_rows), np.float32)
        for position, name in enumerate(names):
            matrix[position] = rows[name].to_numpy()  # what is null is not a number
        lost = part.decisions.num_rows - decisions.num_rows
        return Joined(decisions, matrix.T, names, _to_batch(rows.select(plain)), lost)

    def _match(self, part: Part, same_day: pa.Table, columns: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """Return the decisions that have a feature row, and the rows in their order."""
        wanted, found = _sources(part.decisions), [same_day]
        places = _find(_sources(same_day), wanted)
        for first, last in (part.day - _DAY, part.day - _DAY), (_EPOCH, part.day + _DAY):
            missing = np.flatnonzero(places < 0)
            if not len(missing):
                break
            table = self._read_rows(first, last, part.buckets, columns)
            own = _find(_sources(table), wanted[missing])
            hit = own >= 0
            places[missing[hit]] = own[hit] + sum(map(len, found))
            found.append(table)
        has_row = places >= 0
        decisions = part.decisions if has_row.all() else part.decisions.filter(pa.array(has_row))
        rows = pa.concat_tables(found).unify_dictionaries()
        return decisions, rows.take(pa.array(places[has_row]))

    def count(self, since_ms: int, until_ms: int) -> int:
        """Return how many decisions the days of a time have; files say it, so none is read."""
        return sum(rows for _, rows, _ in self._days(since_ms, until_ms))

    def _days(self, since_ms: int, until_ms: int) -> list[tuple[date, int, bool]]:
        """Return the days that have decisions of a time, how many, and whether all files that have some are within."""
        files = self._decisions.files
        first, last = files["min.append_ms"], files["max.append_ms"]
        files = files.append_column("is_whole", pc.and_(pc.greater_equal(first, since_ms), pc.less(last, until_ms)))
        within = pc.and_(pc.less(first, until_ms), pc.greater_equal(last, since_ms))
        days = files.group_by(f"partition.{DAY}").aggregate([("is_whole", "all")])
        found = files.filter(within).group_by(f"partition.{DAY}").aggregate([("num_records", "sum")])
        found = found.join(days, f"partition.{DAY}").to_pylist()
        return sorted((row[f"partition.{DAY}"], row["num_records_sum"], row["is_whole_all"]) for row in found)

    def _read_rows(
        self, first: date, last: date, buckets: tuple[int, int], wanted: Sequence[str], places: slice | None = None
    ) -> pa.Table:
        """Return columns of feature rows by the names of their fields; one that the table lacks is null."""
        schema = self._features.schema
        there = {name: self._seen[name] for name in (*SOURCE, *wanted) if self._seen.get(name) in schema.names}
        columns = list(dict.fromkeys(there.values()))
        found = _read(self._features, (first, last), columns, buckets, places).rename_columns(list(there))
        for name in wanted:
            if name not in there:
                found = found.append_column(name, pa.nulls(len(found), pa.float32()))
        return found


_DAY: Final = timedelta(days=1)


def _columns_of(schema: str) -> dict[str, str]:
    """Return the column of each field of a record."""
    return {name: column.name for name, column in decoded_columns(BatchCodec(schema=schema).arrow_schema).items()}


def _read(
    reader: TableReader,
    days: tuple[date, date],
    columns: list[str],
    buckets: tuple[int, int],
    rows: slice | None = None,
) -> pa.Table:
    found = reader.read_buckets(*days, with_dictionaries(reader.schema, columns), buckets, rows)
    return found.unify_dictionaries()


def _select(rows: pa.Table, column_of: Mapping[str, str], time: tuple[int, int] | None) -> pa.Table:
    """Leave out what was erased, and what was appended at another time."""
    there = [rows[column_of[name]] for name in (SOURCE[1], "decision")]
    if time is None and not any(each.null_count for each in there):
        return rows
    kept = functools.reduce(pc.and_, map(pc.is_valid, there))
    if time is not None:
        kept = pc.and_(kept, pc.and_(pc.greater_equal(rows[_TIME], time[0]), pc.less(rows[_TIME], time[1])))
    return rows.filter(kept)


def _to_batch(rows: pa.Table) -> pa.RecordBatch:
    """Return a table of one chunk as a batch; one without a column has its rows all the same."""
    if not rows.num_columns:
        return pa.record_batch({"": pa.nulls(rows.num_rows)})
    return pa.record_batch([to_array(column) for column in rows.columns], names=rows.schema.names)


def _cut(rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of buckets that hold a part each, as long as keys are spread evenly."""
    count = min(BUCKETS, -(-rows // PART_ROWS))
    edges = [BUCKETS * number // count for number in range(count + 1)]
    yield from ((first, end - 1) for first, end in pairwise(edges))


def _sources(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return where each event was as one number; that of a row that was erased is no event's."""
    partition, offset = (pc.fill_null(rows[name], -1).to_numpy() for name in SOURCE)
    found: npt.NDArray[np.int64] = (partition.astype(np.int64) << 44) | offset.astype(np.int64)
    return found


def _find(there: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of each wanted number, of several the last; -1 for none."""
    if not len(there):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(there, kind="stable")
    places = np.searchsorted(there[order], wanted, side="right") - 1
    found = order[np.maximum(places, 0)]
    return np.where((places >= 0) & (there[found] == wanted), found, -1)
