"""How long building a stream's state again from its log takes here: for ``weir check``, which waits for nothing else.

The broker is asked how many records the log has, and given a second. Where it does not answer, the rate alone is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from weir.infra.settings import Settings

RECORDS_PER_SECOND: Final = 45_000
"""Median of `rebuild of a lost view from the log` in docs/results/bench.md, for the payments on two cores."""
PATIENCE_SECONDS: Final = 1.0
_SOURCE: Final = f"at {RECORDS_PER_SECOND:,} a second (docs/results/bench.md)"
_MILLION: Final = 1_000_000
_LEAST_SECONDS: Final = 0.1
"""For the second question, however slowly the first one was answered."""


@dataclass(frozen=True)
class Rebuild:
    """What is known of a rebuild.

    Attributes:
        records: in the log of events and labels, at most; ``None`` where the broker did not answer in time.
    """

    records: int | None
    records_per_second: int = RECORDS_PER_SECOND

    @property
    def seconds(self) -> int | None:
        """How long it takes, where that is known."""
        return None if self.records is None else round(self.records / self.records_per_second)

    def describe(self) -> str:
        """Return a line for people."""
        if self.records is None or self.seconds is None:
            each = format_seconds(_MILLION // self.records_per_second)
            return f"that takes {each} for each million records, {_SOURCE}; no broker said how many there are"
        return f"that takes about {format_seconds(self.seconds)}: {self.records:,} records {_SOURCE}"


def estimate(settings: Settings, count: Callable[[Settings], int | None] | None = None) -> Rebuild:
    """Return what is known of building the state of the settings' stream again."""
    return Rebuild((count or count_records)(settings))


def format_seconds(seconds: int) -> str:
    """Write a duration in its largest unit.

    >>> [format_seconds(each) for each in (0, 22, 90, 7_200)]
    ['under 1 s', '22 s', '2 min', '2.0 h']
    """
    if seconds < 60:
        return f"{seconds} s" if seconds else "under 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 3_600 else f"{seconds / 3_600:.1f} h"


def count_records(settings: Settings) -> int | None:
    """Return how many records the stream's inputs have, markers of transactions among them; ``None`` if nobody answers.

    A topic that is not there yet has none.
    """
    from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415  (only a change needs it)
    from confluent_kafka.admin import OffsetSpec  # noqa: PLC0415

    from weir.infra.kafka.offsets import build_asker, list_offsets  # noqa: PLC0415

    names, asker = settings.topics, build_asker(settings.kafka)
    inputs = [names.transactions, *([names.labels] if settings.stream.labels else [])]
    ends_at = time.monotonic() + PATIENCE_SECONDS
    try:
        topics = asker.list_topics(timeout=PATIENCE_SECONDS).topics
        there = [name for name in inputs if name in topics]
        places = [TopicPartition(name, number) for name in there for number in topics[name].partitions]
        low, high = (
            sum(
                int(each.offset)
                for each in list_offsets(asker, places, spec, max(_LEAST_SECONDS, ends_at - time.monotonic())).values()
            )
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        )
    except KafkaException:
        return None
    return high - low
