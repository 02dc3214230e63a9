"""The training matrix from history, computed by the kernel that also runs in the stream.

History is replayed through ``streaming.core.backfill`` and nothing else: no feature is computed here, so none can
differ from what the stream serves. Rows that the kernel does not count (duplicates) are left out, as they are live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import Refused
from streaming.core.backfill import SLICE_ROWS, backfill
from training.dataset import Examples, concatenate
from training.labels import build_keys

_COUNTED = 0


def load_history(folder: Path) -> tuple[Examples, pa.Table]:
    """Replay a history folder through the kernel.

    Args:
        folder: holds ``transactions.parquet`` in event-time order and ``labels.parquet``.

    Returns:
        The examples and every label of the folder, of any label time.

    Raises:
        Refused: a file is missing or has no rows.
    """
    labels = pq.read_table(_existing(folder / "labels.parquet"))
    transactions = pq.ParquetFile(_existing(folder / "transactions.parquet"))
    return replay(transactions.iter_batches(SLICE_ROWS), labels), labels


def replay(transactions: Iterable[pa.RecordBatch], labels: pa.Table | None) -> Examples:
    """Compute the features of transactions as the stream would have, label risk from labels known at the time.

    Raises:
        Refused: there are no transactions.
    """
    parts = list(_replayed(transactions, labels))
    if not parts:
        raise Refused("history: expected transactions, found none; write some with `weir generate --to parquet`")
    return concatenate(parts)


def _replayed(transactions: Iterable[pa.RecordBatch], labels: pa.Table | None) -> Iterator[Examples]:
    for batch, step in backfill(transactions, labels):
        counted = step.verdicts == _COUNTED
        if not counted.any():
            continue
        rows = batch.filter(pa.array(counted))
        keys = build_keys(rows["card_id"], rows["transaction_id"])
        yield Examples(step.features[counted], rows["event_time_ms"].to_numpy(), keys)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise Refused(f"history: expected {path}, found no such file; `weir generate --to parquet --out DIR` makes it")
    return path
