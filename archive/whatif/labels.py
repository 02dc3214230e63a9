"""What became known of events: the newest label of each, found by hashes of key and id.

An event that is too young for its label has *no* verdict, whatever it is labelled: of the youngest events only what is
quickly found out is known, and a figure of them would flatter or frighten. How old is old enough, the stream's labels
say by ``hold``.

**Cost:** some 40 bytes of memory for each label while they are read, some 30 after. An event without a label costs as a
rule one look at a table that fits a core's cache, where a search of the sorted hashes would miss it a dozen times.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import decoded_columns
from weir.archive.reader import TableReader
from weir.archive.slices import to_array
from weir.inference.core.lists import APPEND_TIME
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import label_schemas
from weir.schemas.stream import Stream

UNKNOWN, GOOD, FRAUD, YOUNG = -1, 0, 1, -2
"""What is known of an event: nothing although it is old enough, that it was good, that it was what the stream's labels
look for, or that it is too young for anything to be known."""
WITHDRAWN: Final = 2
"""Sorts after fraud: of two labels of one time the withdrawal wins, as in the label windows of the stream."""
_BITS_MAX: Final = 24
"""Labels are grouped by so many leading bits of their hashes at most, which are as good as drawn."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without a pattern: two hashes are mixed so that exchanging them gives another one."""

Hashes = npt.NDArray[np.uint64]
Verdicts = npt.NDArray[np.int8]


class LabelIndex:
    """The newest label of each event."""

    def __init__(self, hashes: Hashes, times: npt.NDArray[np.int64], verdicts: Verdicts, *, mature_ms: int) -> None:
        """Take labels in any order.

        Args:
            hashes: of events, from ``hash_events``.
            times: when each label became known.
            verdicts: ``GOOD``, ``FRAUD`` or ``WITHDRAWN``.
            mature_ms: events that were appended after it are too young.
        """
        order = np.lexsort((verdicts, times, hashes))
        hashes, verdicts = hashes[order], verdicts[order]
        newest = np.append(hashes[1:] != hashes[:-1], True) if len(hashes) else np.empty(0, np.bool_)
        self._hashes, found = hashes[newest], verdicts[newest]
        self._verdicts = np.where(found == WITHDRAWN, UNKNOWN, found).astype(np.int8)
        self._mature_ms = mature_ms
        bits = min(_BITS_MAX, max(1, len(self._hashes).bit_length() + 3))
        self._shift = np.uint64(64 - bits)
        of_label = self._hashes >> self._shift
        self._starts = np.searchsorted(of_label, np.arange((1 << bits) + 1, dtype=np.uint64)).astype(np.uint32)
        self._has_some = self._starts[1:] > self._starts[:-1]

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is known of any event."""
        return not len(self._hashes)

    def find(self, hashes: Hashes, append_ms: npt.NDArray[np.int64]) -> Verdicts:
        """Return what is known of events: int8, shape (n,)."""
        found = np.full(len(hashes), UNKNOWN, np.int8)
        groups = (hashes >> self._shift).astype(np.int64)
        rows = np.flatnonzero(self._has_some[groups])
        places, ends = self._starts[groups[rows]], self._starts[groups[rows] + 1]
        while len(rows):
            hit = self._hashes[places] == hashes[rows]
            found[rows[hit]] = self._verdicts[places[hit]]
            places += np.uint32(1)
            left = ~hit & (places < ends)
            rows, places, ends = rows[left], places[left], ends[left]
        found[append_ms > self._mature_ms] = YOUNG
        return found


def read_labels(reader: TableReader | None, stream: Stream, *, now_ms: int) -> LabelIndex | None:
    """Read the labels of a stream; None where it has none.

    Args:
        reader: of the labels' table; None where there is none.
        stream: whose labels they are.
        now_ms: what counts as now: labels of later times are not known yet.

    Raises:
        Transient: the store cannot be read.
    """
    if stream.labels is None:
        return None
    return LabelIndex(*scan_labels(reader, stream, now_ms=now_ms), mature_ms=now_ms - stream.label_hold_ms)


class Scanned(NamedTuple):
    """Labels as columns, in no order; a verdict is ``GOOD``, ``FRAUD`` or ``WITHDRAWN``."""

    hashes: Hashes
    times: npt.NDArray[np.int64]
    verdicts: Verdicts


def scan_labels(reader: TableReader | None, stream: Stream, *, now_ms: int) -> Scanned:
    """Read every label that is known by a time, of a stream that has labels; see ``read_labels``.

    Raises:
        Transient: the store cannot be read.
    """
    assert stream.labels is not None, "labels of a stream that has none; a bug of the caller"
    hashes: list[Hashes] = []
    times: list[npt.NDArray[np.int64]] = []
    verdicts: list[Verdicts] = []
    if reader is not None:
        schema = BatchCodec(schema=label_schemas(stream)[-1]).arrow_schema
        of = {name: column.name for name, column in decoded_columns(schema).items()}
        time, verdict, key = of[stream.labels.time], of[stream.labels.verdict], of[stream.key.field]
        for batch in reader.scan(date.min, date.max, ["id_hash", time, verdict, key]):
            known = pc.and_(pc.is_valid(batch["id_hash"]), pc.less_equal(batch[time], now_ms))
            rows = batch.filter(pc.fill_null(known, False))
            hashes.append(hash_events(hash_keys(rows[key]), rows["id_hash"]))
            times.append(rows[time].to_numpy())
            verdicts.append(pc.fill_null(rows[verdict].cast(pa.int8()), WITHDRAWN).to_numpy())
    return Scanned(
        np.concatenate([np.empty(0, np.uint64), *hashes]),
        np.concatenate([np.empty(0, np.int64), *times]),
        np.concatenate([np.empty(0, np.int8), *verdicts]),
    )


def hash_events(keys: Hashes, id_hashes: pa.Array | pa.ChunkedArray) -> Hashes:
    """Return one number for each event: its id alone is unique only within the stream's key."""
    ids = id_hashes.to_numpy(zero_copy_only=False) if isinstance(id_hashes, pa.Array) else id_hashes.to_numpy()
    with np.errstate(over="ignore"):
        mixed: Hashes = ids.astype(np.int64).view(np.uint64) * _MIX + keys
    return mixed


def hash_keys(keys: pa.Array | pa.ChunkedArray) -> Hashes:
    """Return one number for each key, which is the same within this process alone."""
    array = to_array(keys)
    encoded = array if isinstance(array, pa.DictionaryArray) else array.cast(pa.string()).dictionary_encode()
    # Python's own hash of a text is ten times as fast as a digest, and nothing here outlives the process
    values = [*map(hash, encoded.dictionary.to_pylist()), 0]
    codes = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    found: Hashes = np.array(values, np.int64).view(np.uint64)[codes]
    return found


def find_append_ms(decisions: pa.Table) -> npt.NDArray[np.int64]:
    """Return when the events of decisions were appended."""
    found: npt.NDArray[np.int64] = decisions[APPEND_TIME].to_numpy()
    return found
