"""Reads an archived topic as a reader of the topic has it: what can be decoded, in the order of the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.features.history import RAW, frame_rows
from weir.archive.features.in_order import read_in_order
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.reader import open_reader
from weir.archive.records import codec_of, lookup_of
from weir.monitoring.logs import get_logger

_log = get_logger("archive")


def read_records(root: Place, topic: str, schema: str, since_ms: int = 0) -> Iterator[pa.RecordBatch]:
    """Yield the records of a topic; those that were erased are gone, those that cannot be read are left out and told.

    Args:
        root: of the archive.
        topic: of a stream.
        schema: the newest one of its values.
        since_ms: append time of the first record that is wanted, UTC epoch milliseconds.

    Raises:
        Refused: the topic is not archived.
        Transient: the store cannot be read.
    """
    codec, schema_of = codec_of(schema), cache(lookup_of(Objects(root), topic))
    first = datetime.fromtimestamp(since_ms / 1_000, UTC).date()
    for rows in read_in_order(open_reader(root, topic), RAW, first=first):
        is_wanted = pc.and_(rows["salt"].is_valid(), pc.greater_equal(rows["append_ms"], since_ms))
        decoded = codec.decode(frame_rows(rows.filter(is_wanted)), schema_of)
        if decoded.errors:
            _log.warning(
                "records_left_out", topic=topic, records=len(decoded.errors), first=decoded.errors[0][1].reason
            )
        yield decoded.batch
