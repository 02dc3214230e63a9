"""What the topics hold of some events: the feature row and the decision on each, and the labels that came."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from weir.archive.objects import Objects
from weir.archive.reader import MS_MAX, Ends, MayHold
from weir.archive.records import Record, decode_all, lookup_of
from weir.archive.stream_records import StreamRecords
from weir.schemas.contracts import decisions_schema, features_schema, label_schemas
from weir.schemas.durations import DAY_MS, MINUTE_MS

Document = dict[str, Any]
Place = tuple[int, int]
_SOURCE: Final = ("source_partition", "source_offset")
_COLUMNS: Final = ("partition", "offset", "append_ms", "value", "undecoded")
"""Of a record that is decoded and said where it is; each further column costs a tenth of a millisecond a file."""


@dataclass(frozen=True)
class Logged:
    """Records by the place of the event that they are about, labels by its id; ``at`` of each says where it was."""

    rows: dict[Place, Document]
    decisions: dict[Place, Document]
    labels: dict[str, list[Document]]


def read_logged(
    records: StreamRecords, objects: Objects, events: Sequence[Record], counted: Collection[Place]
) -> Logged:
    """Read all that is about some events.

    Args:
        records: of the stream.
        objects: of the archive, which has the schemas.
        events: of some keys.
        counted: those of which there should be a row.

    Raises:
        Transient: the store cannot be read.
    """
    reader = _Reader(records, objects, events, {event.place for event in events} & set(counted))
    topics, stream = records.topics, records.stream
    rows = reader.read(topics.features, features_schema(stream))
    decisions = reader.read(topics.decisions, decisions_schema(stream))
    return Logged(rows, decisions, reader.read_labels() if stream.labels else {})


class _Reader:
    def __init__(self, records: StreamRecords, objects: Objects, events: Sequence[Record], counted: set[Place]) -> None:
        self._records, self._objects, self._counted = records, objects, counted
        self._wanted = {event.place for event in events}
        self._keys = {key for event in events if (key := event.key()) is not None}
        times = [event.row["append_ms"] for event in events] or [0]
        self._first_ms, self._last_ms = min(times), max(times)
        self._times = np.sort(np.array(times, np.int64))

    def read(self, topic: str, schema: str) -> dict[Place, Document]:
        """Read what was made of the events: within a minute as a rule, much later where a process was down.

        The files of a minute after each event come first. An event that should have no row is looked for in the others
        too: to have one would be a difference.
        """
        soon_ms, found = self._last_ms + MINUTE_MS, dict[Place, Document]()
        steps: list[tuple[int, int, MayHold | None, set[Place]]] = [
            (self._first_ms, soon_ms, self._may_hold_soon, self._wanted),
            (self._first_ms, soon_ms, lambda low_ms, high_ms: ~self._may_hold_soon(low_ms, high_ms), self._counted),
            (soon_ms, self._last_ms + DAY_MS, None, self._counted),
            (self._last_ms + DAY_MS, MS_MAX, None, self._counted),
        ]
        for first_ms, end_ms, may_hold, enough in steps:
            found |= self._read_between(topic, schema, first_ms, end_ms, may_hold)
            if enough <= set(found):
                break
        return found

    def _may_hold_soon(self, low_ms: Ends, high_ms: Ends) -> npt.NDArray[np.bool_]:
        """Return of files whether they may have records of a minute after an event."""
        first = np.searchsorted(self._times, low_ms - MINUTE_MS, "left")
        found: npt.NDArray[np.bool_] = first < np.searchsorted(self._times, high_ms, "right")
        return found

    def read_labels(self) -> dict[str, list[Document]]:
        """Read what was learned of the events, whenever that was."""
        stream, found = self._records.stream, dict[str, list[Document]]()
        for label in self._decode(self._records.topics.labels, label_schemas(stream)[-1], self._first_ms, MS_MAX):
            found.setdefault(label[stream.id], []).append(label)
        return found

    def _read_between(
        self, topic: str, schema: str, first_ms: int, end_ms: int, may_hold: MayHold | None = None
    ) -> dict[Place, Document]:
        rows = self._decode(topic, schema, first_ms, end_ms, may_hold)
        by_place = {(row[_SOURCE[0]], row[_SOURCE[1]]): row for row in rows}
        return {place: row for place, row in by_place.items() if place in self._wanted}

    def _decode(
        self, topic: str, schema: str, first_ms: int, end_ms: int, may_hold: MayHold | None = None
    ) -> list[Document]:
        found = self._records.of_keys(topic, self._keys, first_ms, end_ms, _COLUMNS, may_hold)
        rows = decode_all(found, schema, lookup_of(self._objects, topic))
        return [row | {"at": record.describe()} for record, row in zip(found, rows, strict=True) if row]
