"""What becomes of a batch of feature rows in a loop: decisions to publish, and what the metrics hear once they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from weir.inference.decide import Decider, DecisionWriter
from weir.inference.metering import STAGE, log_refused, meter_decisions
from weir.infra.kafka.sink import Rows
from weir.monitoring import metrics
from weir.streaming.feature_rows import FeatureBatch
from weir.streaming.stage import Committed, Further


def read_clock_ms() -> int:
    """Return UTC epoch ms."""
    return int(time.time() * 1_000)


class DecideStep:
    """Decides rows and writes their decisions."""

    def __init__(
        self,
        decider: Decider,
        writer: DecisionWriter,
        *,
        source_topic: str,
        now_ms: Callable[[], int] = read_clock_ms,
    ) -> None:
        """Bind to what decides and writes; ``source_topic`` is the events', for logs."""
        self._decider = decider
        self._writer = writer
        self._source_topic = source_topic
        self._now_ms = now_ms

    def __call__(self, batch: FeatureBatch) -> Further:
        """Decide a batch."""
        with metrics.STAGE_SECONDS.labels(stage=STAGE, step="score").time():
            parts = self._decider.decide_by_key(batch)
            now_ms = self._now_ms()
            decisions = join_rows([(self._writer.to_avro(each, decision_time_ms=now_ms), at) for each, at in parts])

        def on_committed(committed: Committed) -> None:
            for decided, _ in parts:
                log_refused(decided, self._source_topic)
                meter_decisions(decided, now_ms=int(committed.at_ms))

        return Further(decisions, on_committed)


def join_rows(parts: Sequence[tuple[Rows, npt.NDArray[np.int64] | None]]) -> Rows:
    """Return the records of several parts in the order of the batch that they are of.

    Args:
        parts: records, and their places in the batch; a part that is all of it has none.
    """
    if len(parts) == 1:
        return parts[0][0]
    order = np.argsort(np.concatenate([places for _, places in parts if places is not None])).tolist()
    keys = [key for rows, _ in parts for key in rows.keys]
    values = [value for rows, _ in parts for value in rows.values]
    headers = [each for rows, _ in parts for each in rows.headers]
    topic = parts[0][0].topic
    return Rows(topic, [keys[at] for at in order], [values[at] for at in order], [headers[at] for at in order])
