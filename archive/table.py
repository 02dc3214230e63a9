"""One topic's table: where its rows end, and the commit that adds some exactly once.

How far each partition is archived travels in the table's own commits, as Delta's application transactions: of
``partition.N`` the next offset, of ``batch`` the number of the last batch. So rows and positions cannot differ.

A batch is added in numbered steps:

1. The table's positions are the ones that this process knows; else somebody else archives these partitions, and it
   stops.
2. Data files and their indexes are written, with the next batch's number in them. They are in no table yet.
3. One commit adds the files and moves the positions. It fails as a whole where any other commit came in between.

After a commit that failed, or whose answer was lost, the table itself says whether the files are in it. If not, the
steps are taken again from the first, with files of their own.

**Delivery:** each record below a partition's position is in the table once, whatever dies between two steps and however
many archivers there are. Files of steps that were not finished are left over until ``weir archive optimize``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from weir.archive.columns import DAY, FIXED, FORMAT, decoded_columns
from weir.archive.files import delete_files, write_days
from weir.archive.place import LOG_DAYS, Place, first_line
from weir.archive.rows import sort_rows
from weir.schemas.errors import Refused, Transient, WeirError

ATTEMPTS_MAX = 20
"""A commit that others come before is tried again so often: with a few archivers on a table, one or two times."""
CHECKPOINT_COMMITS = 20
"""Who opens a table reads each commit since the last checkpoint, 0.3 ms each; to write one takes as long as some do."""
_BATCH = "batch"
_FORMAT, _TOPIC, _TOPIC_ID, _STREAM = "weir.format", "weir.topic", "weir.topic_id", "weir.stream"

OnStep = Callable[[str], None]


def no_step(name: str) -> None:
    """Do nothing at a step: nobody is told."""
    del name


class Overtaken(WeirError):
    """Another archiver has moved a partition that this one follows: one of them has to stop."""

    def __init__(self, message: str, table: ArchiveTable, partition: int) -> None:
        super().__init__(message)
        self._table = table
        self._partition = partition
        self._found = table.position(partition)

    def is_ahead(self) -> bool:
        """Return whether the other one has moved on since: then it is at work.

        Raises:
            Transient: the store cannot be read.
        """
        self._table.look()
        return self._table.position(self._partition) != self._found


class Identity(Protocol):
    """What a table belongs to: a topic, by the id that it has for its cluster."""

    @property
    def name(self) -> str:
        """The topic's name."""

    @property
    def topic_id(self) -> str:
        """Its id, which changes when it is deleted and created again, and is another one in each cluster."""


class ArchiveTable:
    """A table as of the last look at it; not for use by two threads at once."""

    def __init__(self, place: Place, delta: DeltaTable) -> None:
        """Wrap a table that is there; ``open_table`` makes one where there is none."""
        self.place = place
        self._delta = delta
        self._known: dict[int, int | None] = {}
        self._doubtful: list[str] = []
        self._refusal = ""

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return str(self._delta.metadata().configuration[_TOPIC])

    @property
    def topic_id(self) -> str:
        """The id of the topic as its cluster has it."""
        return str(self._delta.metadata().configuration[_TOPIC_ID])

    @property
    def stream(self) -> str:
        """The full name of the stream."""
        return str(self._delta.metadata().configuration.get(_STREAM, ""))

    @property
    def delta(self) -> DeltaTable:
        """The table as delta-rs has it, for who reads it."""
        return self._delta

    @property
    def batch(self) -> int:
        """The number of the last batch; 0 before the first one."""
        return self._delta.transaction_version(_BATCH) or 0

    def schema(self) -> pa.Schema:
        """Return the table's columns."""
        return pa.schema(self._delta.schema().to_arrow())

    def columns(self, record: pa.Schema) -> dict[str, pa.Field]:
        """Return the column of each field of a record, as it is in the table."""
        own = self.schema()
        return {name: own.field(column.name) for name, column in decoded_columns(record).items()}

    def add_columns(self, record: pa.Schema) -> None:
        """Add the columns that the table has not, of ours or of a record; a commit of its own that rewrites nothing.

        Raises:
            Transient: the store cannot be used, or others commit without end.
        """
        for _ in range(ATTEMPTS_MAX):
            there = set(self.schema().names)
            missing = [each for each in (*FIXED, *decoded_columns(record).values()) if each.name not in there]
            if not missing:
                return
            try:
                with self.place.errors("changed"):
                    self._add_fields(missing)
            except CommitFailedError:
                pass
            self.look()
        raise Transient(
            f"archive: {self.place.uri} got no columns in {ATTEMPTS_MAX} attempts: others commit all the time"
        )

    def _add_fields(self, missing: list[pa.Field]) -> None:
        try:
            self._delta.alter.add_columns(list(Schema.from_arrow(pa.schema(missing)).fields))
        except CommitFailedError:
            raise
        except DeltaError:
            # another archiver may have added the very same columns just now
            self.look()
            if not {each.name for each in missing} <= set(self.schema().names):
                raise

    def look(self) -> None:
        """Read the newest state of the table.

        Raises:
            Transient: the store cannot be read.
        """
        with self.place.errors("read"):
            self._delta.update_incremental()

    def begin(self, partitions: Sequence[int]) -> dict[int, int | None]:
        """Return how far partitions are archived, and take that for what must stand until we move it.

        Returns:
            The next offset of each; None where nothing of it was archived.
        """
        self._known |= {partition: self.position(partition) for partition in partitions}
        return {partition: self._known[partition] for partition in partitions}

    def append(self, rows: Sequence[pa.RecordBatch], ends: Mapping[int, int], on_step: OnStep) -> None:
        """Add rows and move the positions of their partitions; after a failure, call it again with the same.

        Args:
            rows: of one schema, without a batch's number.
            ends: next offset of each partition that moves.
            on_step: called after each numbered step.

        Raises:
            Overtaken: somebody else moved one of the partitions; nothing was added.
            Transient: the store cannot be used now.
        """
        for _ in range(ATTEMPTS_MAX):
            if self._has_landed():
                break
            self._check_positions()
            on_step("archive_checked")
            added = self._write(rows)
            on_step("archive_written")
            if self._commit(added, ends):
                break
        else:
            raise Transient(f"archive: {self.place.uri} took no commit in {ATTEMPTS_MAX} attempts: {self._refusal}")
        self._doubtful = []
        self._known |= ends
        pa.default_memory_pool().release_unused()  # what sorting took is not needed until the next time
        on_step("archive_committed")

    def _write(self, rows: Sequence[pa.RecordBatch]) -> list[AddAction]:
        with self.place.errors("written"):
            return write_days(self.place, self._complete(sort_rows(rows, self.batch + 1)))

    def _complete(self, rows: pa.Table) -> pa.Table:
        """Add columns of others: another archiver may have a newer declaration."""
        own = self.schema()
        for each in own:
            if each.name not in rows.schema.names:
                rows = rows.append_column(each, pa.nulls(len(rows), each.type))
        return rows.select(own.names)

    def _commit(self, added: list[AddAction], ends: Mapping[int, int]) -> bool:
        """Return whether the commit is there; False where another one came first."""
        self._doubtful = [each.path for each in added]
        moves = [Transaction(_app_id(partition), end) for partition, end in sorted(ends.items())]
        properties = CommitProperties(
            app_transactions=[Transaction(_BATCH, self.batch + 1), *moves], max_commit_retries=0
        )
        try:
            with self.place.errors("written"):
                self._delta.create_write_transaction(
                    [*added], "append", self._delta.schema(), partition_by=[DAY], commit_properties=properties
                )
        except CommitFailedError as error:
            self._refusal = first_line(error)
            return False
        self.look()
        return True

    def _has_landed(self) -> bool:
        """Find out whether a commit without an answer was made, and take its files away where it is not there."""
        if not self._doubtful:
            return False
        self.look()
        if self._doubtful[0] in self.list_paths():
            return True
        delete_files(self.place, self._doubtful)
        self._doubtful = []
        return False

    def list_paths(self) -> set[str]:
        """Return the paths of the data files in the table."""
        return set(pa.table(self._delta.get_add_actions())["path"].to_pylist())

    def list_files(self) -> pa.Table:
        """Return path, day and statistics of each data file."""
        return pa.table(self._delta.get_add_actions(flatten=True))

    def count_files(self) -> int:
        """Return how many data files the table has."""
        return self._delta.get_add_actions().num_rows

    def _check_positions(self) -> None:
        for partition, known in self._known.items():
            found = self.position(partition)
            if found != known:
                raise Overtaken(
                    f"archive: expected {self.topic}[{partition}] to be archived up to {known or 0}, found up to "
                    f"{found or 0}: another archiver follows the same partition; this one stops and that one continues",
                    self,
                    partition,
                )

    def position(self, partition: int) -> int | None:
        """Return how far a partition is archived, as of the last look; None where nothing of it is."""
        return self._delta.transaction_version(_app_id(partition))


def open_table(place: Place, topic: Identity, stream: str, record: pa.Schema) -> ArchiveTable:
    """Open the table of a topic with every column of its record, and make it where there is none.

    Args:
        place: of the table.
        topic: whose records it holds.
        stream: full name of the topic's stream.
        record: decoded fields of the topic's records; empty where they are not decoded.

    Raises:
        Refused: what is there is not the topic's table, or was written by a newer version.
        Transient: the store cannot be used.
    """
    table = find_table(place)
    if table is None:
        _create(place, topic, stream, record)
        table = find_table(place)
        if table is None:
            raise Transient(f"archive: {place.uri} was made and cannot be found")
    _check_identity(table, topic)
    table.add_columns(record)
    return table


def find_table(place: Place) -> ArchiveTable | None:
    """Open a table, or return ``None`` where there is none.

    Raises:
        Refused: what is there is no table of an archive, or one of a newer version.
        Transient: the store cannot be read.
    """
    try:
        with place.errors("read"):
            delta = _open(place)
    except _Missing:
        return None
    configuration = delta.metadata().configuration
    if _FORMAT not in configuration:
        raise Refused(
            f"expected a table of an archive in {place.uri}, found one of something else; choose another root"
        )
    if not configuration[_FORMAT].isdecimal() or int(configuration[_FORMAT]) > FORMAT:
        raise Refused(
            f"expected format {FORMAT} or lower in {place.uri}, found {configuration[_FORMAT]}: a newer version of "
            "weir wrote it, and that version reads it"
        )
    return ArchiveTable(place, delta)


class _Missing(Exception):
    """There is no table; an error of delta-rs otherwise counts as a store that does not answer."""


def _open(place: Place) -> DeltaTable:
    try:
        return DeltaTable(place.uri, storage_options=dict(place.options))
    except TableNotFoundError:
        raise _Missing from None


def _create(place: Place, topic: Identity, stream: str, record: pa.Schema) -> None:
    schema = pa.schema([*FIXED, *decoded_columns(record).values()])
    described = {_FORMAT: str(FORMAT), _TOPIC: topic.name, _TOPIC_ID: topic.topic_id, _STREAM: stream}
    described["delta.logRetentionDuration"] = f"interval {LOG_DAYS} days"
    described["delta.checkpointInterval"] = str(CHECKPOINT_COMMITS)
    with place.errors("made"):
        if not place.is_remote:  # it holds payments, as the home does
            Path(place.uri).mkdir(mode=0o700, parents=True, exist_ok=True)
        DeltaTable.create(
            place.uri,
            schema,
            mode="ignore",  # another archiver may be first
            partition_by=[DAY],
            configuration=described,
            storage_options=dict(place.options),
            raise_if_key_not_exists=False,
        )


def _check_identity(table: ArchiveTable, topic: Identity) -> None:
    configuration = table.delta.metadata().configuration
    found = configuration[_TOPIC], configuration[_TOPIC_ID]
    if found != (topic.name, topic.topic_id):
        what = "of that name which was deleted and created again" if found[0] == topic.name else f"{found[0]}"
        raise Refused(
            f"expected the table of topic {topic.name} as this cluster has it in {table.place.uri}, found that of one "
            f"{what}, or of another cluster; archive into another root with --to"
        )


def _app_id(partition: int) -> str:
    return f"partition.{partition}"


__all__ = ["ArchiveTable", "Overtaken", "find_table", "open_table"]
