"""The Handbook's payments through the kernel, with their labels on a stream of their own, seven days later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.durations import DAY_MS, parse_ms
from weir.schemas.errors import WeirError
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.backfill import backfill
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.layout import COUNTED
from weir.training.benchmarks.handbook.simulator import START_MS, Payments
from weir.training.benchmarks.handbook.stream import HOLD, handbook

Matrix = npt.NDArray[np.float32]

_BATCH_ROWS: Final = 100_000


def replay(kernel: Kernel, payments: Payments, progress: Callable[[str], object] = lambda _: None) -> Matrix:
    """Return every payment's features as the stream computes them, float32, shape (n, n_features).

    Raises:
        WeirError: the kernel did not count a payment.
    """
    features = np.empty((len(payments), len(handbook.feature_names)), np.float32)
    done = 0
    for batch, step in backfill(kernel, _batches(payments), build_labels(payments), placeholders=BUILT_IN):
        counted = int((step.verdicts == COUNTED).sum())
        if counted != batch.num_rows:
            raise WeirError(f"benchmark: expected every payment to count, found {counted} of {batch.num_rows}")
        features[done : done + counted] = step.features
        done += counted
        if done // _BATCH_ROWS > (done - counted) // _BATCH_ROWS:
            day = int((batch[handbook.time][0].as_py() - START_MS) // DAY_MS)
            progress(f"replaying day {day}: {done:,} of {len(payments):,} payments")
    return features


def build_labels(payments: Payments) -> pa.Table:
    """Return a label for every payment, fraud or not, that becomes known when the hold is over."""
    columns = _columns(payments, slice(None))
    del columns["amount_cents"]
    columns["label_time_ms"] = payments.time_ms + parse_ms(HOLD)
    columns["is_fraud"] = pa.array(payments.fraud == 1)
    return pa.table(columns)


def _batches(payments: Payments) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(payments), _BATCH_ROWS):
        yield pa.RecordBatch.from_pydict(_columns(payments, slice(start, start + _BATCH_ROWS)))


def _columns(payments: Payments, rows: slice) -> dict[str, Any]:
    return {
        "payment_id": _ids("payment", np.arange(len(payments))[rows]),
        "customer_id": _ids("customer", payments.customer[rows]),
        "terminal_id": _ids("terminal", payments.terminal[rows]),
        "event_time_ms": payments.time_ms[rows],
        "amount_cents": payments.amount_cents[rows],
    }


def _ids(what: str, numbers: npt.NDArray[np.int64]) -> Any:
    """Return ids that no placeholder has, such as ``customer-0``."""
    texts = pc.cast(pa.array(numbers), pa.string())
    return pc.binary_join_element_wise(what, texts, "-")
