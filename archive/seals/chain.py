"""Where the chain of seals is kept: a Delta table of its own next to those of the topics, only ever appended to.

Each seal is one commit that moves the table's own mark, ``chain``, to the seal's number. Delta refuses the second of
two commits that move one mark, so two sealers at once cannot fork the chain: the one that was later reads again.

**Delivery:** exactly once. A seal is a function of rows that are committed, so after a crash between rows and seal the
same seal is written by the next who looks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from weir.archive.place import LOG_DAYS, Place
from weir.archive.seals.key import SealKey
from weir.archive.seals.reading import ANY, group_files, list_files, read_file
from weir.archive.seals.seal import NO_BATCH, NO_TABLE, RETENTION, ROWS, Seal, hash_text, link, read_seal, skip_of
from weir.schemas.errors import Damaged, Transient

FOLDER = "_seals"
"""Under the tables' root, where each topic has a folder of its name."""
_CHAIN = "chain"
_BATCH, _REMOVED = "batch/", "removed/"
"""Before a table's name: the marks of its newest batch that is sealed, and of the last one that was removed."""
_MARKS = {ROWS: _BATCH, RETENTION: _REMOVED}
_TRIES = 20
"""Sealers that lose the race one after the other; each time another seal was written, so this many is a storm."""
_REMEMBERED = 64
"""Hashes of seals that were written here, of which the next ones need one or two."""
_SEALS_AT_ONCE = 1_024
"""Held as Python has them, some 2 kB each."""
_JOIN_EVERY = 256
"""Seals, each in a file of its own, that are joined into one file."""

_SCHEMA = pa.schema(
    [
        ("sequence", pa.int64()),
        ("table", pa.string()),
        ("batch", pa.int64()),
        ("seal", pa.string()),
        ("hash", pa.string()),
        ("signature", pa.string()),
        ("public_key", pa.string()),
    ]
)


@dataclass(frozen=True)
class Stored:
    """A seal as it is kept.

    Attributes:
        sequence: the number that it was written under.
        text: its line.
        hash: as it was written; equal to that of ``text`` where nothing was altered.
        signature: of ``hash``.
        public_key: whose signature that is.
    """

    sequence: int
    text: str
    hash: str
    signature: str
    public_key: str


class Chain:
    """The seals under one root."""

    def __init__(self, root: Place) -> None:
        """Bind to the folder that holds the tables."""
        self._place = root.below(FOLDER)
        self._opened: DeltaTable | None = None
        self._written: OrderedDict[int, str] = OrderedDict()

    def read_length(self) -> int:
        """Return how many seals there are now."""
        return self._read_mark(_CHAIN)

    def read_sealed_batch(self, name: str) -> int:
        """Return the newest batch of a table that is sealed now, 0 for none."""
        return self._read_mark(_BATCH + name)

    def read_removed_batch(self, name: str) -> int:
        """Return the batch of a table up to which rows were removed because they were old, 0 for none."""
        return self._read_mark(_REMOVED + name)

    def _read_mark(self, name: str) -> int:
        self._refresh()
        return self._mark(name)

    def _mark(self, name: str) -> int:
        """Return a mark as of the last look at the table, which takes more time than anything else here."""
        return (self._opened.transaction_version(name) or 0) if self._opened else 0

    def read(self) -> Iterator[Stored]:
        """Yield all seals in order."""
        return self._read("sequence", 0, ANY, None)

    def read_many(self, sequences: Collection[int]) -> Iterator[Stored]:
        """Yield the seals of these numbers, in order."""
        return self._read("sequence", min(sequences), max(sequences), pc.field("sequence").isin(sorted(sequences)))

    def read_of(self, name: str, batch: int) -> Iterator[Stored]:
        """Yield the seals that have this batch of a table, or with 0 those of the table's erasures."""
        return self._read("batch", batch, batch, (pc.field("table") == name) & (pc.field("batch") == batch))

    def read_between(self, name: str, first: int, last: int) -> Iterator[Stored]:
        """Yield the seals of the batches of a table from one to another, both included."""
        batch = pc.field("batch")
        return self._read("batch", first, last, (pc.field("table") == name) & (batch >= first) & (batch <= last))

    def read_files(self) -> dict[str, str]:
        """Return the hash of every file that is sealed, by its path; the newest seal of each counts.

        Of the seals some are in memory at a time, of each file some 200 bytes.

        Raises:
            Damaged: a seal is not what was written.
            Refused: a newer release wrote one.
        """
        found: dict[str, str] = {}
        for stored in self.read_of(NO_TABLE, NO_BATCH):
            found |= read_seal(stored.text).files
        return found

    def read_one(self, sequence: int) -> Stored:
        """Return one seal.

        Raises:
            Damaged: it is not there, or twice.
        """
        found = list(self.read_many([sequence]))
        if len(found) != 1:
            raise Damaged(f"expected one seal of number {sequence} in the archive, found {len(found)}; "
                          "`weir evidence verify` says what else was altered")  # fmt: skip
        return found[0]

    def read_head(self) -> Stored | None:
        """Return the newest seal, or None where there is none.

        Raises:
            Damaged: it is gone.
        """
        length = self.read_length()
        return self.read_one(length) if length else None

    def _read(self, column: str, first: int, last: int, wanted: pc.Expression | None) -> Iterator[Stored]:
        """Yield seals in order; in memory are those of one file, or of some whose numbers overlap."""
        table = self._refresh()
        paths = list_files(table, column, first, last) if table else []
        for group in group_files(table, "sequence", paths) if table else ():
            parts = [
                pa.Table.from_batches([part], _SCHEMA).filter(pc.scalar(True) if wanted is None else wanted)
                for path in group
                for part in read_file(self._place, path, _SCHEMA.names)
            ]
            rows = pa.concat_tables([_SCHEMA.empty_table(), *parts]).sort_by("sequence")
            for row in (row for part in rows.to_batches(_SEALS_AT_ONCE) for row in part.to_pylist()):
                yield Stored(row["sequence"], row["seal"], row["hash"], row["signature"], row["public_key"])

    def append(self, seal: Seal, key: SealKey) -> Stored | None:
        """Put a seal at the end; return it as it is kept, or None where its batch is sealed, or removed, already.

        Raises:
            Transient: other sealers were faster each time.
        """
        for _ in range(_TRIES):
            sequence = self.read_length() + 1
            mark = _MARKS.get(seal.kind)
            if mark is not None and seal.batch <= self._mark(mark + seal.table):
                return None
            try:
                stored = self._write(self._link(seal, sequence), key)
            except CommitFailedError:
                continue
            if stored is not None:
                return stored
        raise Transient(f"expected to seal within {_TRIES} tries, found other sealers at work each time; trying again")

    def _link(self, seal: Seal, sequence: int) -> Seal:
        previous, skip = (self._hash_of(number) for number in (sequence - 1, skip_of(sequence)))
        return link(seal, sequence=sequence, previous=previous, skip=skip)

    def _hash_of(self, sequence: int) -> str:
        if not sequence:
            return ""
        return self._written.get(sequence) or hash_text(self.read_one(sequence).text)

    def _write(self, seal: Seal, key: SealKey) -> Stored | None:
        """Write a seal; None where the table, as it is known now, has another one of that number.

        Linking has read the table again. A commit on top of what another sealer wrote meanwhile conflicts with nothing.
        """
        table = self._opened or self._create()
        if (table.transaction_version(_CHAIN) or 0) != seal.sequence - 1:
            return None
        text = seal.to_text()
        signed = hash_text(text)
        stored = Stored(seal.sequence, text, signed, key.sign(signed), key.public)
        row = [seal.sequence, seal.table, seal.batch, text, signed, stored.signature, key.public]
        marks = {_CHAIN: seal.sequence}
        if seal.kind in _MARKS:
            marks[_MARKS[seal.kind] + seal.table] = seal.batch
        write_deltalake(
            table,
            pa.table([[value] for value in row], schema=_SCHEMA),
            mode="append",
            commit_properties=CommitProperties(app_transactions=[Transaction(k, v) for k, v in marks.items()]),
        )
        self._written[seal.sequence] = signed
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)
        if seal.sequence % _JOIN_EVERY == 0:
            self._join()
        return stored

    def _join(self) -> None:
        table = self._refresh()
        if table is not None:
            table.optimize.compact()
            table.create_checkpoint()
            table.vacuum(dry_run=False)
            table.cleanup_metadata()

    def _create(self) -> DeltaTable:
        configuration = {
            "delta.dataSkippingStatsColumns": "sequence,batch",
            "delta.appendOnly": "true",
            "delta.logRetentionDuration": f"interval {LOG_DAYS} days",
        }
        made = DeltaTable.create(
            self._place.uri,
            _SCHEMA,
            mode="ignore",
            configuration=configuration,
            storage_options=dict(self._place.options),
        )
        self._opened = made
        return made

    def _refresh(self) -> DeltaTable | None:
        if self._opened is not None:
            self._opened.update_incremental()
            return self._opened
        try:
            self._opened = DeltaTable(self._place.uri, storage_options=dict(self._place.options))
        except TableNotFoundError:
            return None
        return self._opened
