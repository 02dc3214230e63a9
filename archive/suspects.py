"""Records that may end the process that decodes them: they are decoded apart from it, and those that do end it never.

A decoder is native code, and a process that it ends, or hangs, says nothing any more. So an archiver notes which
records it is about to decode, in a file that outlives it, and takes the note back when they are decoded. Its successor
takes the records of a note that it finds for suspects, and has them examined as a processor does
(``streaming/isolation.py``) before it decodes them itself. What ended two children is archived undecoded, with the
reason; so is what cannot be examined here, because no child can be started.

A note only decides where a record is decoded: one that is lost costs another restart, one too many some seconds.

**Cost:** two writes of some bytes for each read of a topic.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weir.archive.rows import Raw
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import SchemaLookup
from weir.streaming.dlq.letter import DECODER_DIED, NOT_EXAMINED
from weir.streaming.isolation import EXAMINE_SECONDS_MAX, examine

Ranges = dict[int, tuple[int, int]]
"""By partition, the first offset and the one after the last."""
log = get_logger(__name__)


class Suspects:
    """The notes on one topic, of one archiver."""

    def __init__(self, path: Path, topic: str, schema: str, schema_of: SchemaLookup) -> None:
        """Read what a predecessor noted.

        Args:
            path: of the file of notes, which need not exist.
            topic: for the log.
            schema: Avro, as JSON text, that records are decoded by.
            schema_of: the writer's schema of an id.
        """
        self._path = path
        self._topic = topic
        self._schema = schema
        self._schema_of = schema_of
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._left = _read(path)
        if self._left:
            log.warning("suspected", topic=topic, ranges=self._left)

    def sort(self, raw: Raw) -> None:
        """Refuse those of some records that may not be decoded here.

        Raises:
            Transient: the registry is unreachable.
        """
        places = [
            place for place, where in enumerate(zip(raw.partitions, raw.offsets, strict=True)) if self._has(*where)
        ]
        while places:
            values = [raw.framed[place] for place in places]
            found = examine(self._schema, values, self._schema_of, deadline=time.monotonic() + EXAMINE_SECONDS_MAX)
            for at in found.killers:
                self._refuse(raw, places[at], DECODER_DIED)
            if found.obstacle and not found.end:
                log.error("not_examined", topic=self._topic, records=len(places), obstacle=found.obstacle)
                for place in places:
                    self._refuse(raw, place, NOT_EXAMINED)
                break
            places = places[found.end :]

    @contextmanager
    def decoding(self, raw: Raw) -> Iterator[None]:
        """Note some records while they are decoded, and that those of them that were suspected are no more."""
        own = _cover(zip(raw.partitions, raw.offsets, strict=True))
        self._write({**self._left, **{number: _join(self._left.get(number), own[number]) for number in own}})
        try:
            yield
        except BaseException:  # of Python's: the process lives
            self._write(self._left)
            raise
        for number, (_, end) in own.items():
            if number in self._left and self._left[number][1] <= end:
                del self._left[number]
        self._write(self._left)

    def _has(self, partition: int, offset: int) -> bool:
        first, end = self._left.get(partition, (0, 0))
        return first <= offset < end

    def _refuse(self, raw: Raw, place: int, reason: str) -> None:
        log.error(reason, at=f"{self._topic}[{raw.partitions[place]}]@{raw.offsets[place]}")
        raw.framed[place] = None
        raw.refused[place] = reason

    def _write(self, ranges: Ranges) -> None:
        # a disk that is full stops no archiver here: without a note a killer costs one more restart
        with suppress(OSError):
            self._path.write_text(json.dumps([[number, *where] for number, where in ranges.items()]))


def _cover(places: Iterator[tuple[int, int]]) -> Ranges:
    found: Ranges = {}
    for partition, offset in places:
        found[partition] = _join(found.get(partition), (offset, offset + 1))
    return found


def _join(one: tuple[int, int] | None, other: tuple[int, int]) -> tuple[int, int]:
    return other if one is None else (min(one[0], other[0]), max(one[1], other[1]))


def _read(path: Path) -> Ranges:
    try:
        return {int(number): (int(first), int(end)) for number, first, end in json.loads(path.read_text())}
    except (OSError, ValueError, TypeError):
        return {}
