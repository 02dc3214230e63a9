"""Joins labels to transactions as they were known at one moment, the cut.

A label says what a transaction turned out to be, days or months later. A model trained with a label that was not yet
known has seen the future, so every join here names its cut. An unlabelled transaction stays unknown: it is neither
fraud nor legitimate and teaches nothing.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

UNKNOWN, LEGITIMATE, FRAUD = -1, 0, 1
_WITHDRAWN = 2
"""Sorts after fraud: of two labels with one label time the withdrawal wins, as in the label windows of the stream."""


def build_keys(card_ids: Any, transaction_ids: Any) -> Any:
    """Return one text key per transaction from its card and its id; an id alone is unique only within a card."""
    return pc.binary_join_element_wise(_as_text(card_ids), _as_text(transaction_ids), "\x1f")


def join_labels(keys: Any, labels: pa.Table, *, cut_ms: int) -> npt.NDArray[np.int8]:
    """Return the label of each transaction as known at the cut.

    Args:
        keys: one key per transaction, from ``build_keys``.
        labels: columns of the ``labels`` schema, in any order, with repeats and withdrawals.
        cut_ms: labels with a later ``label_time_ms`` do not exist yet.

    Returns:
        int8, shape (n,): ``FRAUD``, ``LEGITIMATE`` or ``UNKNOWN``; the newest label of a transaction wins.
    """
    known = labels.filter(pc.less_equal(labels["label_time_ms"], cut_ms)).combine_chunks()
    if known.num_rows == 0:
        return np.full(len(keys), UNKNOWN, np.int8)
    verdicts = _compute_verdicts(known["is_fraud"])
    times = known["label_time_ms"].to_numpy()
    encoded = build_keys(known["card_id"], known["transaction_id"]).dictionary_encode()
    order = np.lexsort((verdicts, times))
    newest = np.full(len(encoded.dictionary), UNKNOWN, np.int8)
    newest[encoded.indices.to_numpy()[order]] = verdicts[order]  # of repeated indices the last assignment stays
    newest[newest == _WITHDRAWN] = UNKNOWN
    found = pc.fill_null(pc.index_in(keys, value_set=encoded.dictionary), -1).to_numpy(zero_copy_only=False)
    return cast(npt.NDArray[np.int8], np.where(found >= 0, newest[found], UNKNOWN).astype(np.int8))


def _compute_verdicts(is_fraud: Any) -> npt.NDArray[np.int8]:
    codes = pc.fill_null(pc.cast(is_fraud, pa.int8()), _WITHDRAWN)
    return cast(npt.NDArray[np.int8], codes.to_numpy())


def _as_text(column: Any) -> Any:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.cast(array, pa.string())
