"""A seal: what was in a table, as one line of text whose hash the next seal carries. Pure.

A seal of **rows** is about one batch of a table: which offsets it brought, and the root of the Merkle tree over their
leaves in the order of partition and offset. A seal of an **erasure** says which offsets were erased, when and why; one
of **retention** up to which batch all rows were removed because they were old; one of a **loss** which rows were in
files that are gone or damaged. A seal of **files** is about what is kept next to the tables, and of no table: the hash
of each file. All share one chain: its newest hash stands for all that was ever archived. Where rows lie in the files of
a table is in no seal, so joining files breaks none.

Each seal carries the hash of the one before and, as ``skip``, of an older one: that whose number has the lowest set bit
cleared. Following the longer of both steps leads from the newest seal to any other in some tens of steps, so the proof
of one row stays small.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.seals.runs import Runs, build_runs, read_runs
from weir.archive.tree import Tree
from weir.schemas.errors import Damaged, Refused

FORMAT: Final = 3
"""The newest; a seal has the lowest that it can be written in, and a release refuses a chain with a newer one."""
ROWS, ERASURE, RETENTION, FILES, LOSS = "rows", "erasure", "retention", "files", "loss"
_FORMAT_OF: Final = {ROWS: 1, ERASURE: 1, RETENTION: 2, FILES: 2, LOSS: 3}
NO_TABLE: Final = ""
"""In the place of a table's name in a seal of files."""
NO_BATCH: Final = 0
"""In the place of a batch's number in the seal of an erasure or a loss."""
_START: Final = ""
"""The hash of the seal before the first one."""


@dataclass(frozen=True)
class Seal:
    """One link of the chain.

    Attributes:
        sequence: 1 for the first.
        table: whose rows it is about.
        kind: ``rows``, ``erasure``, ``retention``, ``files`` or ``loss``.
        batch: of rows: the number of the commit that brought them; of retention the last one removed; else 0.
        runs: the offsets it is about.
        previous: hash of the seal before, hexadecimal; empty for the first.
        skip: hash of the seal that ``skip_of`` names; empty where there is none.
        root: of the tree over the leaves, hexadecimal.
        first_ms: of rows: the earliest append time; else when it was done.
        last_ms: of rows: the latest append time; else when it was done.
        why: of an erasure, of retention or of a loss.
        files: of files: the SHA-256 of each, hexadecimal, by its path under the root.
    """

    sequence: int
    table: str
    kind: str
    batch: int
    runs: Runs
    previous: str
    skip: str
    root: str = ""
    first_ms: int = 0
    last_ms: int = 0
    why: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return it as one line; equal seals have equal lines."""
        document = {"format": _FORMAT_OF[self.kind], **vars(self), "runs": self.runs.to_data()}
        if self.kind != FILES:
            del document["files"]
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


def hash_text(text: str) -> str:
    """Return what the next seal carries of this one's line."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_seal(text: str) -> Seal:
    """Return the seal that a line holds.

    Raises:
        Refused: it was written by a newer release.
        Damaged: it is no seal, or not in the form that every seal has.
    """
    try:
        document = json.loads(text)
        found = document.pop("format")
        if found > FORMAT:
            raise Refused(f"expected seals of format {FORMAT} or below, found {found}; read them with a newer release")
        seal = Seal(**{**document, "runs": read_runs(document["runs"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Damaged("expected a seal, found other text") from None
    if seal.to_text() != text:
        raise Damaged(f"expected seal {seal.sequence} in the form in which it was written, found another")
    return seal


def skip_of(sequence: int) -> int:
    """Return which older seal one carries the hash of; 0 for none.

    >>> [skip_of(n) for n in (1, 6, 7, 8)]
    [0, 4, 6, 0]
    """
    return sequence & (sequence - 1)


def steps_between(newest: int, wanted: int) -> Iterator[int]:
    """Yield the numbers of the seals from the newest to an older one, each of which carries the hash of the next.

    >>> list(steps_between(12, 5))
    [12, 8, 7, 6, 5]
    """
    yield newest
    while newest > wanted:
        newest = skip_of(newest) if skip_of(newest) >= wanted else newest - 1
        yield newest


def seal_rows(table: str, batch: int, rows: pa.Table) -> Seal:
    """Return the seal of a batch, which ``link`` then puts in its place.

    Args:
        table: of the rows.
        batch: its number.
        rows: ``partition``, ``offset``, ``append_ms`` and ``leaf``, in any order; at least one.

    Raises:
        Damaged: an offset is there twice.
    """
    ordered = rows.sort_by([("partition", "ascending"), ("offset", "ascending")])
    times = pc.min_max(ordered["append_ms"])
    return Seal(
        sequence=0,
        table=table,
        kind=ROWS,
        batch=batch,
        runs=build_runs(ordered),
        previous=_START,
        skip=_START,
        root=Tree(ordered["leaf"].to_pylist()).root.hex(),
        first_ms=times["min"].as_py(),
        last_ms=times["max"].as_py(),
    )


def seal_erasure(table: str, runs: Runs, *, at_ms: int, why: str) -> Seal:
    """Return the record that rows were erased, which ``link`` then puts in its place."""
    return Seal(0, table, ERASURE, NO_BATCH, runs, _START, _START, first_ms=at_ms, last_ms=at_ms, why=why)


def seal_loss(table: str, runs: Runs, *, at_ms: int, why: str) -> Seal:
    """Return the record that rows were lost, which ``link`` then puts in its place."""
    return Seal(0, table, LOSS, NO_BATCH, runs, _START, _START, first_ms=at_ms, last_ms=at_ms, why=why)


def seal_retention(table: str, batch: int, *, at_ms: int, why: str) -> Seal:
    """Return the record that all rows up to a batch were removed, which ``link`` then puts in its place."""
    return Seal(0, table, RETENTION, batch, Runs({}), _START, _START, first_ms=at_ms, last_ms=at_ms, why=why)


def seal_files(files: Mapping[str, str], *, at_ms: int) -> Seal:
    """Return the seal of files by their hashes, which ``link`` then puts in its place."""
    return Seal(0, NO_TABLE, FILES, NO_BATCH, Runs({}), _START, _START, first_ms=at_ms, last_ms=at_ms, files=files)


def link(seal: Seal, *, sequence: int, previous: str, skip: str) -> Seal:
    """Return a seal at its place in the chain."""
    return replace(seal, sequence=sequence, previous=previous, skip=skip)
