"""A stream's history out of an archive: the records that count, decoded from the bytes that are kept.

What did not count when it was decided does not count here: dead letters of the processors' group say which records
those are. What they let in is judged as a new record would be, by the declarations of now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import compress

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.features.in_order import read_in_order
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import TableReader, open_reader
from weir.archive.table import find_table
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec, SchemaLookup
from weir.schemas.avro.framing import frame_by_header
from weir.schemas.contracts import event_schemas, label_schemas
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.validation import validate_events, validate_labels
from weir.schemas.stream import Stream
from weir.streaming.dlq.letter import UNDECODED, Coordinate, parse_dead_letter
from weir.streaming.framed import find_no_guid

APPEND_TIME = "append_time_ms"
SOURCE = ("source_partition", "source_offset")
RAW = ("key", "value", "headers", "salt", "undecoded")
Validate = Callable[..., list[tuple[int, PoisonRecord]]]


@dataclass
class Left:
    """How many records were left out, and why.

    Attributes:
        dead: they are dead letters.
        erased: of a person who was forgotten; nothing but the place is known.
        bad: they cannot be decoded, or would not be let in now.
    """

    dead: int = 0
    erased: int = 0
    bad: int = 0


class Snapshot:
    """An archive as it is when each of its tables is first read: an archiver may add to it all the time."""

    def __init__(self, root: Place) -> None:
        """Open nothing yet."""
        self.root = root
        self._readers: dict[str, TableReader | None] = {}

    def find(self, topic: str) -> TableReader | None:
        """Return what reads a topic, or None where it has no table; raises ``Transient`` without an answer."""
        if topic not in self._readers:
            table = find_table(self.root.below(topic))
            self._readers[topic] = TableReader(table) if table is not None else None
        return self._readers[topic]


@dataclass
class ArchivedHistory:
    """The events and labels of one stream.

    Attributes:
        archive: that they are in.
        settings: of the stream, by whose declarations records are judged.
        left: events that were left out so far.
    """

    archive: Snapshot
    settings: Settings
    left: Left = field(default_factory=Left)

    @property
    def stream(self) -> Stream:
        """The stream."""
        return self.settings.stream

    def events(self) -> Iterator[pa.RecordBatch]:
        """Yield the events that count, in the order of the log: the newest schema's fields, append time and place.

        Raises:
            Refused: there are none in the archive.
            Transient: the store cannot be read.
        """
        names = self.settings.topics
        reader = self.archive.find(names.transactions) or open_reader(self.archive.root, names.transactions)
        read = self._read(names.transactions, names.dlq, event_schemas(self.stream)[-1], validate_events)
        yield from read(reader, self.left)

    def labels(self) -> pa.Table | None:
        """Return the labels that count, or None where there are none.

        Raises:
            Transient: the store cannot be read.
        """
        names = self.settings.topics
        reader = self.archive.find(names.labels) if self.stream.labels else None
        if reader is None:
            return None
        read = self._read(names.labels, names.labels_dlq, label_schemas(self.stream)[-1], validate_labels)
        batches = list(read(reader, Left()))
        return pa.Table.from_batches(batches) if batches else None

    def _read(self, topic: str, dlq: str, schema: str, validate: Validate) -> Callable[..., Iterator[pa.RecordBatch]]:
        dead = find_dead(self.archive.find(dlq), topic, self.settings.processor.group)
        decoder = _Decoder(schema, partial(Objects(self.archive.root).read_schema, topic), validate, self.stream,
                           self.settings.placeholders)  # fmt: skip
        return partial(_read_counted, decoder, dead)


def find_dead(letters: TableReader | None, topic: str, group: str) -> set[tuple[int, int]]:
    """Return the places of a topic's records that did not count, as dead letters in an archive say.

    Args:
        letters: reader of the dead letters; None where there are none.
        topic: of the records.
        group: whose dead letters are verdicts.

    Raises:
        Transient: the store cannot be read.
    """
    found = set()
    for batch in read_in_order(letters, ["headers"]) if letters is not None else ():
        for headers in batch["headers"].to_pylist():
            pairs = [(each["name"], each["value"]) for each in headers or []]
            letter = parse_dead_letter(at=Coordinate("", 0, 0), key=None, value=None, headers=pairs, appended_ms=0)
            if letter.source is not None and (letter.source.topic, letter.group) == (topic, group):
                found.add((letter.source.partition, letter.source.offset))
    return found


@dataclass(frozen=True)
class _Decoder:
    schema: str
    schema_of: SchemaLookup
    validate: Validate
    stream: Stream
    placeholders: Placeholders


def _read_counted(
    decoder: _Decoder, dead: set[tuple[int, int]], reader: TableReader, left: Left
) -> Iterator[pa.RecordBatch]:
    codec = BatchCodec(schema=decoder.schema)
    for rows in read_in_order(reader, RAW):
        places = zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True)
        is_dead = np.fromiter((place in dead for place in places), np.bool_, len(rows))
        is_erased = rows["salt"].is_null().to_numpy(zero_copy_only=False) & ~is_dead
        left.dead += int(is_dead.sum())
        left.erased += int(is_erased.sum())
        kept = rows.filter(pa.array(~is_dead & ~is_erased))
        batch = _decode(decoder, codec, kept)
        left.bad += len(kept) - len(batch)
        if len(batch):
            yield batch


def _decode(decoder: _Decoder, codec: BatchCodec, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the good records of some rows, with their append times and places."""
    decoded = codec.decode(frame_rows(rows), decoder.schema_of)
    good = pa.array(decoded.rows)
    keys: Sequence[bytes | None] = rows["key"].take(good).to_pylist()
    times = rows["append_ms"].take(good)
    append_ms: npt.NDArray[np.int64] = times.to_numpy()
    bad = decoder.validate(
        decoder.stream, decoded.batch, keys=keys, append_time_ms=append_ms, placeholders=decoder.placeholders
    )
    found = decoded.batch.append_column(APPEND_TIME, times)
    for name, own in zip(SOURCE, ("partition", "offset"), strict=True):
        found = found.append_column(name, rows[own].take(good))
    if not bad:
        return found
    is_good = np.ones(len(found), np.bool_)
    is_good[[row for row, _ in bad]] = False
    return found.filter(pa.array(is_good))


def frame_rows(rows: pa.RecordBatch) -> list[bytes | None]:
    """Return the values as the decoder takes them; none of what only the registry could read, or ended a decoder."""
    pairs_of = zip(rows["value"].to_pylist(), rows["undecoded"].to_pylist(), strict=True)
    values: list[bytes | None] = [None if reason in UNDECODED else value for value, reason in pairs_of]
    headers = rows["headers"].to_pylist()
    for row, held in compress(enumerate(headers), headers):
        pairs = [(each["name"], each["value"]) for each in held]
        framed = frame_by_header(values[row], pairs, find_no_guid)
        values[row] = None if isinstance(framed, PoisonRecord) else framed
    return values
