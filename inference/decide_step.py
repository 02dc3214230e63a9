"""What becomes of a batch of feature rows in a loop: decisions to publish, and what the metrics hear once they are."""

from __future__ import annotations

import time
from collections.abc import Callable

from weir.inference.decide import Decider, DecisionWriter
from weir.inference.metering import STAGE, log_refused, meter_decisions
from weir.monitoring import metrics
from weir.streaming.feature_rows import FeatureBatch
from weir.streaming.stage import Further


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
            decided = self._decider.decide(batch)
            decisions = self._writer.to_avro(decided, decision_time_ms=self._now_ms())

        def on_committed(seconds: float) -> None:
            del seconds
            log_refused(decided, self._source_topic)
            meter_decisions(decided, now_ms=self._now_ms())

        return Further(decisions, on_committed)
