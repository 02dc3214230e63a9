"""A history in files as records to send: payments with their own event times, labels as they became known.

It is checked whole before the first record is sent, as every file of a user is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.generators.encoding import Encoder
from weir.generators.outgoing import Outgoing
from weir.infra.user_files.door import Manner
from weir.infra.user_files.history import find_history, open_history
from weir.schemas.placeholders import Placeholders

_BLOCK_ROWS = 50_000


def history_blocks(
    folder: Path,
    *,
    transactions: tuple[Encoder, str],
    labels: tuple[Encoder, str],
    start_ms: int,
    speed: float | None,
    placeholders: Placeholders,
) -> Iterator[Outgoing]:
    """Yield a history in time order, each block of payments followed by the labels known by its end.

    ``folder`` is as ``weir generate --to parquet`` wrote it, or of your own (docs/publish.md); ``transactions`` and
    ``labels`` are encoder and topic of each. The first payment is due at ``start_ms``; ``speed`` is how many times
    faster than it happened the history runs, ``None`` as fast as the broker takes it.

    Raises:
        Refused: a file is missing or cannot be taken.
        WeirError: rows are bad; each was told.
    """
    with open_history(find_history(folder, Manner(placeholders=placeholders))) as history:
        assert history.labels is not None
        known = history.labels.sort_by("label_time_ms")
        label_times = known["label_time_ms"].to_numpy()
        done, first_ms = 0, None
        for batch in history.transactions():
            times = batch["event_time_ms"].to_numpy()
            first_ms = int(times[0]) if first_ms is None else first_ms
            yield _outgoing(batch, times, first_ms, transactions, start_ms, speed)
            until = max(done, int(np.searchsorted(label_times, times[-1], side="right")))
            yield from _label_blocks(known.slice(done, until - done), first_ms, labels, start_ms, speed)
            done = until
        yield from _label_blocks(known.slice(done), first_ms or 0, labels, start_ms, speed)


def _label_blocks(
    table: pa.Table, first_ms: int, labels: tuple[Encoder, str], start_ms: int, speed: float | None
) -> Iterator[Outgoing]:
    for batch in table.combine_chunks().to_batches(_BLOCK_ROWS):
        yield _outgoing(batch, batch["label_time_ms"].to_numpy(), first_ms, labels, start_ms, speed)


def _outgoing(  # the two callers differ in the first two arguments alone
    batch: pa.RecordBatch,
    times_ms: np.ndarray[tuple[int], np.dtype[np.int64]],
    first_ms: int,
    target: tuple[Encoder, str],
    start_ms: int,
    speed: float | None,
) -> Outgoing:
    encoder, topic = target
    due = np.zeros(len(times_ms)) if speed is None else start_ms + (times_ms - first_ms) / speed
    keys = pc.cast(batch["card_id"], pa.binary()).to_pylist()
    return Outgoing(topic, due, keys, list(encoder.encode(batch)), Counter({topic: batch.num_rows}))
