"""Joins labels to events as they were known at one moment, the cut.

A label says what an event turned out to be, days or months later. A model trained with a label that was not yet known
has seen the future, so every join here names its cut. An unlabelled event stays unknown: it is neither fraud nor
legitimate and teaches nothing. ``FRAUD`` is a verdict that is true, whatever the stream's labels call it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas import stream as declared
from weir.schemas.errors import Refused
from weir.schemas.label_source import ANALYST, SOURCE
from weir.schemas.stream import Stream

UNKNOWN, LEGITIMATE, FRAUD = -1, 0, 1
_WITHDRAWN = 2
"""Sorts after fraud: of two labels with one label time the withdrawal wins, as in the label windows of the stream."""


_BETWEEN = "\x1f"


def build_keys(records: pa.Table | pa.RecordBatch, stream: Stream) -> Any:
    """Return one text key per event or label: an event's id alone is unique only within the stream's key."""
    ids = _as_text(records[stream.key.field]), _as_text(records[stream.id])
    return pc.binary_join_element_wise(*ids, _BETWEEN)


def number_keys(keys: Any) -> npt.NDArray[np.int64]:
    """Return a number per event that stands for the stream's key in it, given the keys of ``build_keys``."""
    owners = pc.list_element(pc.split_pattern(keys, _BETWEEN, max_splits=1), 0)
    return cast(npt.NDArray[np.int64], owners.dictionary_encode().indices.to_numpy().astype(np.int64))


def labels_of(stream: Stream) -> declared.Labels:
    """Return what a stream declares of its labels.

    Raises:
        Refused: nothing, so nothing can be learnt.
    """
    if stream.labels is None:
        raise Refused(
            f"stream {stream.name}: expected labels to learn from, found none; declare what is learnt later with "
            'labels=Labels("labels.avsc", verdict="is_fraud"), or bring a bundle of your own: docs/models.md'
        )
    return stream.labels


def name_verdict(stream: Stream) -> str:
    """Return the word for what a stream's labels find true.

    >>> from weir.schemas.streams.payments import payments
    >>> name_verdict(payments)
    'fraud'
    """
    return labels_of(stream).verdict.removeprefix("is_")


def join_labels(keys: Any, labels: pa.Table, stream: Stream, *, cut_ms: int) -> npt.NDArray[np.int8]:
    """Return the label of each event as known at the cut.

    Args:
        keys: one key per event, from ``build_keys``.
        labels: columns of the stream's label schema, in any order, with repeats and withdrawals.
        stream: whose events and labels they are.
        cut_ms: labels that became known later do not exist yet.

    Returns:
        int8, shape (n,): ``FRAUD``, ``LEGITIMATE`` or ``UNKNOWN``; the newest label of an event wins.
    """
    said = labels_of(stream)
    known = labels.filter(pc.less_equal(labels[said.time], cut_ms)).combine_chunks()
    if known.num_rows == 0:
        return np.full(len(keys), UNKNOWN, np.int8)
    verdicts = _compute_verdicts(known[said.verdict])
    times = known[said.time].to_numpy()
    encoded = build_keys(known, stream).dictionary_encode()
    order = np.lexsort((verdicts, times))
    newest = np.full(len(encoded.dictionary), UNKNOWN, np.int8)
    newest[encoded.indices.to_numpy()[order]] = verdicts[order]  # of repeated indices the last assignment stays
    newest[newest == _WITHDRAWN] = UNKNOWN
    found = pc.fill_null(pc.index_in(keys, value_set=encoded.dictionary), -1).to_numpy(zero_copy_only=False)
    return cast(npt.NDArray[np.int8], np.where(found >= 0, newest[found], UNKNOWN).astype(np.int8))


def find_looked_at(keys: Any, labels: pa.Table, stream: Stream, *, cut_ms: int) -> npt.NDArray[np.bool_]:
    """Return of which events an analyst had given a verdict by the cut, whatever another source said since.

    Args:
        keys: one key per event, from ``build_keys``.
        labels: as ``join_labels`` takes them; without a field ``source`` nobody is known to have looked.
        stream: whose events and labels they are.
        cut_ms: labels that became known later do not exist yet.

    Returns:
        bool, shape (n,).
    """
    said = labels_of(stream)
    if SOURCE not in labels.column_names:
        return np.zeros(len(keys), np.bool_)
    is_given = pc.and_(pc.is_valid(labels[said.verdict]), pc.less_equal(labels[said.time], cut_ms))
    given = labels.filter(pc.and_(is_given, pc.fill_null(pc.equal(labels[SOURCE], ANALYST), False)))
    looked = pc.is_in(keys, value_set=build_keys(given.combine_chunks(), stream))
    return cast(npt.NDArray[np.bool_], looked.to_numpy(zero_copy_only=False))


def _compute_verdicts(verdict: Any) -> npt.NDArray[np.int8]:
    codes = pc.fill_null(pc.cast(verdict, pa.int8()), _WITHDRAWN)
    return cast(npt.NDArray[np.int8], codes.to_numpy())


def _as_text(column: Any) -> Any:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.cast(array, pa.string())
