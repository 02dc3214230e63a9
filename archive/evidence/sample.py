"""Makes many decisions of an archive again, chosen by chance, and names every one that differs.

Which ones are chosen follows from a seed and from where each decision is, so that a run can be repeated. They are read
day by day in ranges of key buckets, next to the feature rows that they were made of, and decided together by what was
in force. One that differs then is made again alone, by everything that may have decided it, as an answer for it does.

**Cost:** the decisions and feature rows of the days are read whole; some 60 µs for each that is made again; memory of
one range of buckets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import BUCKETS, DAY
from weir.archive.evidence.again import DecidedBy, decide_again, find_allowed
from weir.archive.evidence.in_force import list_in_force
from weir.archive.in_force.given import Given
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import TableReader, open_reader
from weir.archive.records import CONSUMED, Record, codec_of, lookup_of
from weir.inference.decide import Decider, DecisionWriter
from weir.inference.shadow import ShadowScorer
from weir.infra.settings import Settings
from weir.schemas.avro.codec import SchemaLookup, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.errors import Damaged
from weir.streaming.feature_rows import FeatureRowReader

PART_ROWS: Final = 100_000
"""Decisions of one range of buckets about."""
TOGETHER: Final = 1_000
_SOURCE: Final = ("source_partition", "source_offset")
_SHADOW: Final = ("shadow_model_name", "shadow_model_version")
_BY: Final = ("model_name", "model_version", "declarations_hash", "rules_version", *_SHADOW)
_ROW: Final = (*CONSUMED, *_SOURCE)
_RECORDED: Final = frozenset({"decision_time_ms"})
"""Fields that are not computed again: when it was decided."""
_OF_SHADOW: Final = frozenset({*_SHADOW, "shadow_score"})
"""Fields that are not computed again where the shadow's bundle is gone."""
_EVERY: Final = np.uint64(1 << 32)
_OWN_ID: Final = 1
Document = dict[str, Any]


@dataclass
class Sampled:
    """What came of a sample.

    Attributes:
        made: how many decisions were made again.
        different: those that are not as recorded: where each is, and what differs.
        not_made: how many could not be, by reason.
        unexplained: how many differ in reasons as the record allows, and in nothing that it does not
            (``docs/evidence.md``).
        shadows_made: how many were made again together with the score of their shadow.
        shadows_not_made: how many were made again without it, by reason.
        unscored: how many have no score of their shadow where it gives one now, as the record allows.
    """

    made: int = 0
    different: list[Document] = field(default_factory=list)
    not_made: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    shadows_made: int = 0
    shadows_not_made: Counter[str] = field(default_factory=Counter)
    unscored: int = 0


class Sampler:
    """Takes a sample of one stream's decisions."""

    def __init__(self, settings: Settings, root: Place, given: Given) -> None:
        """Open the tables.

        Raises:
            Refused: there are none of decisions or features.
            Transient: the store cannot be read.
        """
        self._settings, self._given, self._objects = settings, given, Objects(root)
        self._names, self._stream = settings.topics.of(settings.stream), settings.stream
        self._decisions, self._features = (
            open_reader(root, topic) for topic in (self._names.decisions, self._names.features)
        )
        self._schemas: dict[str, SchemaLookup] = {
            topic: cache(lookup_of(self._objects, topic)) for topic in (self._names.decisions, self._names.features)
        }
        self._in_force = cache(self._find_in_force)

    def run(self, count: int, *, since_ms: int = 0, seed: int = 0) -> Sampled:
        """Make about so many decisions again.

        Args:
            count: how many; all there are where it is more.
            since_ms: append time of the first one that may be chosen.
            seed: another one chooses others.
        """
        found = Sampled()
        days = _list_days(self._decisions, since_ms)
        total = sum(rows for _, rows in days)
        for day, rows in days:
            for buckets in _cut(rows):
                chosen = self._read(day, buckets, since_ms)
                chosen = chosen.filter(pa.array(_choose(chosen, count / max(total, 1), seed)))
                if len(chosen):
                    self._check(chosen, self._find_rows(chosen, day, buckets), found)
        return found

    def _read(self, day: date, buckets: tuple[int, int], since_ms: int) -> pa.Table:
        schema = pa.schema([self._decisions.schema.field(name) for name in _ROW])
        rows = self._decisions.read_buckets(day, day, schema, buckets)
        return rows.filter(pc.and_(pc.greater_equal(rows["append_ms"], since_ms), pc.is_valid(rows[_SOURCE[1]])))

    def _find_rows(self, chosen: pa.Table, day: date, buckets: tuple[int, int]) -> dict[tuple[int, int], Record]:
        """Return the feature rows of decisions by the place of their event: of the same day as a rule, else of any."""
        schema = pa.schema([self._features.schema.field(name) for name in _ROW])
        wanted = _places(chosen)
        rows = self._features.read_buckets(day, day, schema, buckets)
        found = self._index(rows.filter(pa.array(np.isin(_places(rows), wanted))))
        missing = chosen.filter(pa.array(~np.isin(wanted, _places(rows))))
        if len(missing):
            keys = [key for key in missing["key"].unique().to_pylist() if key is not None]
            found |= self._index(self._features.histories(keys, columns=_ROW))
        return found

    def _index(self, rows: pa.Table) -> dict[tuple[int, int], Record]:
        topic = self._names.features
        return {(row[_SOURCE[0]], row[_SOURCE[1]]): Record(topic, row) for row in rows.to_pylist()}

    def _check(self, chosen: pa.Table, rows: dict[tuple[int, int], Record], found: Sampled) -> None:
        decisions = [Record(self._names.decisions, row) for row in chosen.to_pylist()]
        groups: dict[tuple[str | None, ...], list[tuple[Record, Record]]] = {}
        recorded = self._decode([each.decodable() for each in decisions], self._schemas[self._names.decisions])
        for decision, *named in zip(decisions, *(recorded[name].to_pylist() for name in _BY), strict=True):
            row = rows.get((decision.row[_SOURCE[0]], decision.row[_SOURCE[1]]))
            if row is None:
                found.not_made["its feature row is not in the archive"] += 1
            else:
                groups.setdefault(tuple(named), []).append((decision, row))
        for by, pairs in groups.items():
            for at in range(0, len(pairs), TOGETHER):
                self._check_group(dict(zip(_BY, by, strict=True)), pairs[at : at + TOGETHER], found)

    def _check_group(self, by: dict[str, str | None], pairs: list[tuple[Record, Record]], found: Sampled) -> None:
        in_force = self._in_force(*by.values())
        if isinstance(in_force, Damaged):
            found.not_made[str(in_force)] += len(pairs)
            return
        found.made += len(pairs)
        found.shadows_made += len(pairs) if in_force.shadow else 0
        if in_force.why_no_shadow:
            found.shadows_not_made[in_force.why_no_shadow] += len(pairs)
        for at in self._find_different(in_force, pairs):
            decision, row = pairs[at]
            differences = self._make_alone(by, decision, row)
            allowed = set(find_allowed(differences))
            if allowed == set(differences):
                found.unexplained += "reasons" in allowed
                found.unscored += "shadow_score" in allowed
            else:
                found.different.append({"at": decision.describe(), "differences": differences})

    def _find_different(self, in_force: DecidedBy, pairs: list[tuple[Record, Record]]) -> Iterator[int]:
        """Yield which of some decisions are not the same when all are made together."""
        stream, names = self._stream, self._names
        read = FeatureRowReader(stream, self._schemas[names.features]).from_avro([row for _, row in pairs])
        if read.unreadable:
            raise Damaged(f"a feature row cannot be read: {read.unreadable[0][1]}")
        decided = Decider(in_force, stream, ShadowScorer(in_force)).decide(read.batch)
        writer = DecisionWriter(stream, source_topic=names.events, topic=names.decisions, schema_id=_OWN_ID)
        own = WriterSchema(_OWN_ID, subject_ok=True, schema=decisions_schema(stream))
        now = self._decode([*writer.to_avro(decided, decision_time_ms=0).values], lambda _: own)
        was = self._decode([decision.value() for decision, _ in pairs], self._schemas[names.decisions])
        unmade = _RECORDED | _OF_SHADOW if in_force.why_no_shadow else _RECORDED
        different: set[int] = set()
        for name in was.schema.names:
            if name not in unmade and not was[name].equals(now[name]):
                values = zip(was[name].to_pylist(), now[name].to_pylist(), strict=True)
                different |= {at for at, (recorded, computed) in enumerate(values) if recorded != computed}
        yield from sorted(different)

    def _make_alone(self, by: dict[str, str | None], decision: Record, row: Record) -> Document:
        """Return what differs in the decision that is nearest to what was recorded; nothing where one is the same."""
        made = [
            decide_again(self._stream, row, decision, in_force, self._schemas)
            for in_force in list_in_force(self._settings, self._objects, by, self._given)
        ]
        return min((each.differences for each in made), key=len)

    def _find_in_force(self, *by: str | None) -> DecidedBy | Damaged:
        try:
            return next(list_in_force(self._settings, self._objects, dict(zip(_BY, by, strict=True)), self._given))
        except Damaged as error:
            return error

    def _decode(self, values: list[bytes | None], schema_of: SchemaLookup) -> pa.RecordBatch:
        decoded = codec_of(decisions_schema(self._stream)).decode(values, schema_of)
        if decoded.errors:
            raise Damaged(f"a decision cannot be read: {decoded.errors[0][1]}")
        return decoded.batch


def _list_days(reader: TableReader, since_ms: int) -> list[tuple[date, int]]:
    files = reader.files
    by_day = files.filter(pc.greater_equal(files["max.append_ms"], since_ms)).group_by(f"partition.{DAY}")
    found = by_day.aggregate([("num_records", "sum")])
    return sorted(zip(found[f"partition.{DAY}"].to_pylist(), found["num_records_sum"].to_pylist(), strict=True))


def _cut(rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of buckets, both ends included, that hold a part of a day each."""
    count = min(BUCKETS, -(-rows // PART_ROWS))
    for number in range(count):
        yield BUCKETS * number // count, BUCKETS * (number + 1) // count - 1


def _choose(rows: pa.Table, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose a share of decisions by a hash of where they are (splitmix64)."""
    mixed = _places_of(rows["partition"], rows["offset"]).astype(np.uint64) + np.uint64(
        (seed + 1) * 0x9E3779B97F4A7C15 % (1 << 64)
    )
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) % _EVERY < np.float64(share) * np.float64(_EVERY))


def _places(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return where each row's event was, as one number."""
    return _places_of(rows[_SOURCE[0]], rows[_SOURCE[1]])


def _places_of(partition: pa.ChunkedArray, offset: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = (partition.to_numpy().astype(np.int64) << 44) | offset.to_numpy().astype(np.int64)
    return found
