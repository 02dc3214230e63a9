"""The training matrix from history, computed by the kernel that also runs in the stream.

History is replayed through ``weir.streaming.core.backfill`` and nothing else: no feature is computed here, so none can
differ from what the stream serves. Rows that the kernel does not count (duplicates) are left out, as they are live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from weir.infra.user_files.door import Manner
from weir.infra.user_files.history import find_history, open_history
from weir.schemas.errors import Refused
from weir.schemas.placeholders import Placeholders
from weir.schemas.streams.payments import payments
from weir.streaming.core.backfill import backfill
from weir.streaming.core.kernel import Kernel
from weir.training.dataset import Examples, concatenate
from weir.training.gates.groups import split_groups
from weir.training.labels import build_keys, labels_of

_COUNTED = 0


def load_history(
    kernel: Kernel, folder: Path, manner: Manner | None = None, *, skip_bad: bool = False
) -> tuple[Examples, pa.Table]:
    """Replay a history through the kernel.

    Args:
        kernel: of the stream.
        folder: holds events in event-time order and labels, or is a file of events with a label column.
        manner: how they are read; of the same stream.
        skip_bad: whether bad rows are left out.

    Returns:
        The examples and every label of the history, of any label time.

    Raises:
        Refused: a file cannot be taken, or has no rows.
        WeirError: rows are bad and may not be left out.
    """
    labels_of(kernel.stream)
    manner = manner or Manner(stream=kernel.stream)
    with open_history(find_history(folder, manner, skip_bad=skip_bad)) as history:
        if history.labels is None or not history.labels.num_rows:
            raise Refused("history: expected labels, found none that are known by now")
        return replay(kernel, history.transactions(), history.labels, manner.placeholders), history.labels


def replay(
    kernel: Kernel, transactions: Iterable[pa.RecordBatch], labels: pa.Table | None, placeholders: Placeholders
) -> Examples:
    """Compute the features of events as the stream would have, label risk from labels known at the time.

    Raises:
        Refused: there are no events.
    """
    parts = list(_replayed(kernel, transactions, labels, placeholders))
    if not parts:
        made = "; write some with `weir generate --to parquet`" if kernel.stream.full_name == payments.name else ""
        raise Refused(f"history: expected {kernel.stream.name}, found none{made}")
    return concatenate(parts)


def _replayed(
    kernel: Kernel, transactions: Iterable[pa.RecordBatch], labels: pa.Table | None, placeholders: Placeholders
) -> Iterator[Examples]:
    for batch, step in backfill(kernel, transactions, labels, placeholders=placeholders):
        counted = step.verdicts == _COUNTED
        if not counted.any():
            continue
        rows = batch.filter(pa.array(counted))
        features, times = step.features[counted], rows[kernel.stream.time].to_numpy()
        yield Examples(features, times, build_keys(rows, kernel.stream), split_groups(kernel.stream, features, rows))
