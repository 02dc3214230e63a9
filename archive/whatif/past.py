"""Reads decisions and the feature rows that they were made of, day by day and in bounded parts.

A decision is joined with its row by the source partition and offset that both carry. Both have the record's key, so a
day is read in ranges of key buckets, and a part is a few hundred thousand rows whatever a day holds. A row is looked
for on the day of its decision, then on the day before, then everywhere: a scorer that was down decides old rows.

**Cost:** memory of one part: its decisions, and of its feature rows the columns that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
from weir.archive.table import find_table
from weir.inference.core.lists import APPEND_TIME
from weir.inference.core.vector import Matrix
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, features_schema
from weir.schemas.stream import Stream, Topics

PART_ROWS: Final = 250_000
"""Of sixty features they are 60 MB, and with what is made of them less than 1 GB."""
SOURCE: Final = ("source_partition", "source_offset")
RECORDED: Final = (
    "decision", "score", "decided_by", "tags", "shadow_rules", "model_name", "model_version", "rules_version",
    "declarations_hash", APPEND_TIME, *SOURCE,
)  # fmt: skip
_PLACE: Final = ("partition", "offset", "append_ms", "id_hash")
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class Part:
    """Some decisions of one day.

    Attributes:
        day: UTC day on which they were appended.
        decisions: the columns of ``RECORDED`` and ``_PLACE``, and the field of the key; without a place in time.
        buckets: the range of key buckets that they are of, both included.
    """

    day: date
    decisions: pa.Table
    buckets: tuple[int, int]


@dataclass(frozen=True)
class Joined:
    """Decisions with the feature rows that they were made of, row by row.

    Attributes:
        decisions: as in the part, those that have a row.
        features: float32, shape (rows, len(names)); NaN is a missing one.
        names: of the features.
        fields: of the events, and the append time.
        lost: how many decisions have no row in the archive.
    """

    decisions: pa.Table
    features: Matrix
    names: tuple[str, ...]
    fields: pa.RecordBatch
    lost: int


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

    def parts(self, since_ms: int, until_ms: int) -> Iterator[Part]:
        """Yield all decisions that were appended in a time, oldest day first; those that were erased are left out."""
        names = {name: self._recorded[name] for name in (*RECORDED, self.stream.key.field) if name in self._recorded}
        columns = list(dict.fromkeys([*_PLACE, *names.values()]))
        for day, rows in self._days(since_ms, until_ms):
            for buckets in _cut(rows):
                found = pa.Table.from_batches(
                    self._decisions.scan(day, day, columns, buckets=buckets), _only(self._decisions.schema, columns)
                )
                time = found["append_ms"]
                kept = pc.and_(pc.greater_equal(time, since_ms), pc.less(time, until_ms))
                kept = pc.and_(kept, pc.is_valid(found[self._recorded[SOURCE[1]]]))
                found = found.filter(kept).rename_columns({column: name for name, column in names.items()})
                if found.num_rows:
                    yield Part(day, found, buckets)

    def join(self, part: Part, features: Iterable[str], fields: Iterable[str]) -> Joined:
        """Return decisions with their feature rows.

        Args:
            part: of this past.
            features: that are read; one that the archive never had is missing in every row.
            fields: of the events that are read, next to the append time.
        """
        wanted = _sources(part.decisions)
        names = tuple(dict.fromkeys(features))
        rows = [*names, *dict.fromkeys([APPEND_TIME, *fields])]
        found: list[pa.Table] = []
        places = np.full(len(wanted), -1, np.int64)
        for first, last in (part.day, part.day), (part.day - _DAY, part.day - _DAY), (_EPOCH, part.day + _DAY):
            missing = np.flatnonzero(places < 0)
            if not len(missing):
                break
            table = self._read_rows(first, last, part.buckets, rows)
            own = _find(_sources(table), wanted[missing])
            hit = own >= 0
            places[missing[hit]] = own[hit] + sum(map(len, found))
            found.append(table)
        kept = places >= 0
        taken = pa.concat_tables(found).take(pa.array(places[kept])).combine_chunks()
        decisions = part.decisions.filter(pa.array(kept)) if not kept.all() else part.decisions
        matrix = np.empty((len(names), taken.num_rows), np.float32)
        for position, name in enumerate(names):
            matrix[position] = taken[name].to_numpy(zero_copy_only=False)
        (plain,) = taken.select(rows[len(names) :]).to_batches() or [pa.record_batch([], pa.schema([]))]
        return Joined(decisions.combine_chunks(), matrix.T, names, plain, int((~kept).sum()))

    def _days(self, since_ms: int, until_ms: int) -> list[tuple[date, int]]:
        """Return the days that have decisions of a time, and how many."""
        files = self._decisions.files
        within = pc.and_(pc.less(files["min.append_ms"], until_ms), pc.greater_equal(files["max.append_ms"], since_ms))
        found = files.filter(within).group_by(f"partition.{DAY}").aggregate([("num_records", "sum")])
        return sorted(zip(found[f"partition.{DAY}"].to_pylist(), found["num_records_sum"].to_pylist(), strict=True))

    def _read_rows(self, first: date, last: date, buckets: tuple[int, int], wanted: Sequence[str]) -> pa.Table:
        """Return columns of feature rows by the names of their fields; one that the table lacks is null."""
        schema = self._features.schema
        there = {name: self._seen[name] for name in (*SOURCE, *wanted) if self._seen.get(name) in schema.names}
        columns = list(there.values())
        batches = self._features.scan(first, last, columns, buckets=buckets)
        found = pa.Table.from_batches(batches, _only(schema, columns)).rename_columns(list(there))
        for name in wanted:
            if name not in there:
                found = found.append_column(name, pa.nulls(len(found), pa.float32()))
        return found


_DAY: Final = timedelta(days=1)


def _columns_of(schema: str) -> dict[str, str]:
    """Return the column of each field of a record."""
    return {name: column.name for name, column in decoded_columns(BatchCodec(schema=schema).arrow_schema).items()}


def _only(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _cut(rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of buckets that hold a part each, as long as keys are spread evenly."""
    count = min(BUCKETS, -(-rows // PART_ROWS))
    edges = [BUCKETS * number // count for number in range(count + 1)]
    yield from ((first, end - 1) for first, end in pairwise(edges))


def _sources(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return where each event was as one number."""
    partition, offset = (rows[name].to_numpy() for name in SOURCE)
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
