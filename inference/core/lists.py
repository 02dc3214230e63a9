"""Allow, block and watch lists: who is decided before any model is asked, and who is looked at. Pure.

The file, which ``inference/bundle.py`` reads, and the text of a published version are the same document::

    {"version": "2026-01", "allow": {"card": ["c1"]},
     "block": {"ip": ["203.0.113.7", {"entry": "203.0.113.9", "reason": "probes", "until": "2026-03-01T00:00:00Z"}]}}

An entry ends by the append time of the record that is decided, never by a clock of ours: a decision can be made again.

Cost: memory of one set of strings per list and entity kind, and of a filter where it is long; what an entry has besides
its id is kept for those alone that have something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.inference.core.id_filter import IdFilter
from weir.schemas.errors import Refused
from weir.schemas.expression import LISTS
from weir.schemas.rules import parse_time_ms

SIDES: Final = LISTS
APPEND_TIME: Final = "ingest_time_ms"
"""The broker's time of a record: what ends is held against it, so that a replay decides alike."""
ENTRIES_MAX: Final = 5_000_000
"""Some 600 MB of memory in every process that decides."""
_FILTERED_MIN: Final = 10_000
"""Entries from which on a filter is worth its memory: a shorter list stays in a processor's cache."""
TEXT_MAX: Final = 200
"""Characters of a reason or a source: it is in the decisions."""
_ENTRY_FIELDS = {"entry", "reason", "source", "until"}

Ids = Mapping[str, Sequence[str | None] | pa.Array]
"""Entity kind to its ids, one per row; of a column no text is made but of ids that may be listed."""
Times = npt.NDArray[np.int64]
Listed = Mapping[str, Set[str]]
"""Entity kind to the ids that a list names."""


class Note(NamedTuple):
    """What an entry has besides its id.

    Attributes:
        until_ms: records that are appended from then on are no longer meant, UTC epoch ms; 0 is never.
    """

    reason: str = ""
    source: str = ""
    until_ms: int = 0


Notes = Mapping[tuple[str, str], Mapping[str, Note]]
"""List and entity kind to the notes of those ids that have one."""
Filters = Mapping[tuple[str, str], IdFilter]
"""List and entity kind to what says who is not listed, where that is quicker than to look."""


@dataclass(frozen=True)
class Lists:
    """All lists, by entity kind. ``watch`` decides nothing by itself: it tags, and rules ask for it."""

    version: str = "none"
    allow: Listed = field(default_factory=dict)
    block: Listed = field(default_factory=dict)
    watch: Listed = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)
    filters: Filters = field(default_factory=dict, compare=False, repr=False)

    @property
    def kinds(self) -> frozenset[str]:
        """Return the entity kinds that a list names: only their ids need to be looked at."""
        return frozenset(kind for side in SIDES for kind, listed in self.of(side).items() if listed)

    def of(self, name: str) -> Listed:
        """Return a list by its name, one of ``SIDES``."""
        return {"allow": self.allow, "block": self.block, "watch": self.watch}[name]

    def note(self, side: str, kind: str, entry: str) -> Note:
        """Return what an entry has besides its id; an empty one by default."""
        return self.notes.get((side, kind), {}).get(entry, _NO_NOTE)

    def find(self, side: str, ids: Ids, rows: int, append_ms: Times | None = None) -> tuple[_Hits, list[str]]:
        """Return which rows a list names, and per row the entity kind that was found first (empty: none).

        Args:
            side: one of ``SIDES``.
            ids: entity kind to ids, one per row.
            rows: how many there are.
            append_ms: of the rows' records, UTC epoch ms; without it nothing has ended.

        Cost: of a column of ids, some 200 ns per row and long list as a scorer runs; of other ids a set look-up.
        """
        places = self.find_kinds(side, ids, rows, append_ms)
        names, kinds = tuple(self.of(side)), [""] * rows
        for row in np.flatnonzero(places >= 0).tolist():
            kinds[row] = names[places[row]]
        return places >= 0, kinds

    def find_kinds(self, side: str, ids: Ids, rows: int, append_ms: Times | None = None) -> npt.NDArray[np.int32]:
        """Return per row the place, in ``of(side)``, of the entity kind that was found first; -1 where none was."""
        places = np.full(rows, -1, np.int32)
        for place, (kind, listed) in enumerate(self.of(side).items()):
            notes = self.notes.get((side, kind), {})
            for row, entry in _find_listed(listed, self.filters.get((side, kind)), ids.get(kind, ())):
                if places[row] < 0 and not _has_ended(notes.get(entry), append_ms, row):
                    places[row] = place
        return places

    @property
    def has_ends(self) -> bool:
        """Return whether any entry ends: only then append times are asked for."""
        return any(note.until_ms for notes in self.notes.values() for note in notes.values())


_Hits = npt.NDArray[np.bool_]
_NO_NOTE = Note()


class ListsBuilder:
    """Puts lists together, document by document: a long one comes in parts, and changes come after it."""

    def __init__(self, entities: Sequence[str]) -> None:
        """Begin with nothing.

        Args:
            entities: names of the stream's entities: kinds that a list may name.
        """
        self._entities = entities
        self._sides: dict[str, dict[str, set[str]]] = {side: {} for side in SIDES}
        self._notes: dict[tuple[str, str], dict[str, Note]] = {}
        self._known: dict[Note, Note] = {}  # a million entries of one reason hold it once

    @classmethod
    def from_lists(cls, lists: Lists, entities: Sequence[str]) -> Self:
        """Begin with a copy."""
        builder = cls(entities)
        for side in SIDES:
            builder._sides[side] = {kind: set(listed) for kind, listed in lists.of(side).items()}
        builder._notes = {where: dict(notes) for where, notes in lists.notes.items()}
        return builder

    def add(self, document: Any) -> Self:
        """Add the entries of a document; one that is there takes the reason, the source and the end given here.

        Raises:
            Refused: wrong shape or an unknown entity kind; ids are never repeated in the message.
        """
        for each in self._read(document):
            listed, notes = self._of(each)
            listed.update(each.plain)
            if notes:
                for entry in each.plain:
                    notes.pop(entry, None)
            for entry, note in each.noted:
                listed.add(entry)
                notes[entry] = self._known.setdefault(note, note)
        return self

    def remove(self, document: Any) -> Self:
        """Take the entries of a document out; one that is not there stays away.

        Raises:
            Refused: as ``add``.
        """
        for each in self._read(document):
            listed, notes = self._of(each)
            for entry in (*each.plain, *(entry for entry, _ in each.noted)):
                listed.discard(entry)
                notes.pop(entry, None)
        return self

    def build(self, version: str) -> Lists:
        """Return the lists; this builder is done with.

        Raises:
            Refused: too many entries.
        """
        count = sum(len(listed) for kinds in self._sides.values() for listed in kinds.values())
        if count > ENTRIES_MAX:
            raise Refused(f"lists: expected at most {ENTRIES_MAX:,} entries, found {count:,}; leave out the expired")
        notes = {where: found for where, found in self._notes.items() if found}
        allow, block, watch = (self._sides[side] for side in SIDES)
        return Lists(version, allow, block, watch, notes, self._build_filters())

    def _build_filters(self) -> Filters:
        sides = self._sides.items()
        long = {(side, kind): of for side, kinds in sides for kind, of in kinds.items() if len(of) >= _FILTERED_MIN}
        return {where: IdFilter(listed) for where, listed in long.items()}

    def _of(self, each: _Given) -> tuple[set[str], dict[str, Note]]:
        return self._sides[each.side].setdefault(each.kind, set()), self._notes.setdefault((each.side, each.kind), {})

    def _read(self, document: Any) -> Iterator[_Given]:
        if not isinstance(document, dict) or not set(document) <= {"version", *SIDES}:
            raise Refused("lists: expected an object with version, allow, block and watch; fix the file or remove it")
        for side in SIDES:
            for kind, entries in _check_kinds(side, document.get(side, {}), self._entities):
                yield _read_entries(side, kind, entries)


def parse_lists(document: Any, entities: Sequence[str]) -> Lists:
    """Check a lists document.

    Args:
        document: as read.
        entities: names of the stream's entities: kinds that a list may name.

    Raises:
        Refused: wrong shape or an unknown entity kind; ids are never repeated in the message.

    >>> parse_lists({"version": "1", "block": {"shop": ["s-7"]}}, ["shop"]).block["shop"]
    {'s-7'}
    """
    builder = ListsBuilder(entities).add(document)
    return builder.build(str(document.get("version", "unnamed")))


def split_lists(lists: Lists, *, entries_max: int) -> Iterator[dict[str, Any]]:
    """Yield documents of at most so many entries that make up the lists together, always the same ones.

    >>> given = parse_lists({"block": {"ip": ["b", "a", {"entry": "c", "reason": "probes"}]}}, ["ip"])
    >>> list(split_lists(given, entries_max=2))
    [{'block': {'ip': ['a', 'b']}}, {'block': {'ip': [{'entry': 'c', 'reason': 'probes'}]}}]
    """
    for side in SIDES:
        for kind, listed in sorted(lists.of(side).items()):
            ordered = sorted(listed)
            for start in range(0, len(ordered), entries_max):
                some = ordered[start : start + entries_max]
                yield {side: {kind: [write_entry(entry, lists.note(side, kind, entry)) for entry in some]}}


def write_entry(entry: str, note: Note) -> str | dict[str, str]:
    """Return an entry as a document holds it."""
    if note == _NO_NOTE:
        return entry
    until = datetime.fromtimestamp(note.until_ms / 1_000, UTC).isoformat() if note.until_ms else ""
    given = {"entry": entry, "reason": note.reason, "source": note.source, "until": until}
    return {name: value for name, value in given.items() if value}


def read_append_ms(fields: pa.RecordBatch | None) -> Times | None:
    """Return the append times of some rows; ``None`` where they are not known."""
    if fields is None or APPEND_TIME not in fields.schema.names:
        return None
    times: Times = fields.column(APPEND_TIME).to_numpy(zero_copy_only=False)
    return times


def _check_kinds(side: str, given: Any, entities: Sequence[str]) -> list[tuple[str, list[Any]]]:
    if not isinstance(given, dict):
        raise Refused(f"lists: expected an object at {side}, found {type(given).__name__}; fix the file or remove it")
    for kind, entries in given.items():
        if kind not in entities:
            raise Refused(f"lists: expected one of {', '.join(entities)} in {side}, found {kind!r:.40}")
        if not isinstance(entries, list):
            raise _wrong_entry(f"{side}.{kind}")
    return list(given.items())


class _Given(NamedTuple):
    """Entries of one list and kind: ids alone, and those that have more."""

    side: str
    kind: str
    plain: list[str]
    noted: list[tuple[str, Note]]


def _read_entries(side: str, kind: str, entries: list[Any]) -> _Given:
    # a million entries are read next to a loop that decides, so those of an id alone take no step of ours each
    where, plain = f"{side}.{kind}", [entry for entry in entries if isinstance(entry, str)]
    if not all(plain):
        raise _wrong_entry(where)
    noted = [] if len(plain) == len(entries) else [_read_entry(e, where) for e in entries if not isinstance(e, str)]
    return _Given(side, kind, [*plain, *(entry for entry, note in noted if note == _NO_NOTE)],
                  [(entry, note) for entry, note in noted if note != _NO_NOTE])  # fmt: skip


def _read_entry(given: Any, where: str) -> tuple[str, Note]:
    if not isinstance(given, dict) or not set(given) <= _ENTRY_FIELDS or not given.get("entry"):
        raise _wrong_entry(where)
    if not all(isinstance(value, str) and len(value) <= TEXT_MAX for value in given.values()):
        raise Refused(f"lists: expected texts of at most {TEXT_MAX} characters in {where}, found others")
    try:
        until_ms = parse_time_ms(given["until"]) if given.get("until") else 0
    except (ValueError, OverflowError):
        raise Refused(f"lists: expected until as 2026-03-01T00:00:00Z in {where}, found another text") from None
    return given["entry"], Note(given.get("reason", ""), given.get("source", ""), until_ms)


def _wrong_entry(where: str) -> Refused:
    return Refused(
        f"lists: expected non-empty strings, or objects with entry, reason, source and until, in {where}; fix the file "
        "or remove it"
    )


def _find_listed(
    listed: Set[str], may_list: IdFilter | None, of_rows: Sequence[str | None] | pa.Array
) -> Iterator[tuple[int, str]]:
    """Yield the rows whose id is listed, in order, and the id."""
    if isinstance(of_rows, pa.DictionaryArray):
        values = dict(_find_listed(listed, may_list, of_rows.dictionary))
        codes = of_rows.indices.fill_null(len(of_rows.dictionary)).to_numpy(zero_copy_only=False) if values else ()
        for row in np.flatnonzero(np.isin(codes, [*values])).tolist():
            yield row, values[codes[row]]
        return
    rows: Iterable[int] = range(len(of_rows))
    if isinstance(of_rows, pa.Array):
        if may_list is not None and pa.types.is_string(of_rows.type):  # a field that no row has is of no type
            found = may_list.find(of_rows)
            rows, of_rows = found.tolist(), of_rows.take(pa.array(found))
        of_rows = of_rows.to_pylist()
    if not listed.isdisjoint(of_rows):
        yield from (each for each in zip(rows, of_rows, strict=True) if each[1] in listed)


def _has_ended(note: Note | None, append_ms: Times | None, row: int) -> bool:
    return bool(note and note.until_ms and append_ms is not None and append_ms[row] >= note.until_ms)
