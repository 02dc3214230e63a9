"""Whether a scorer still owes decisions: rows that ``weir process`` made before ``weir run`` took its place.

``weir run`` decides what it makes, and nothing that was made before. So it begins when every row up to then is decided,
by the scorer that runs as long as there are such rows.

Cost: nothing while the scorer is at the end of the rows; else the first row above its offset and the last one are
read. Rows of both kinds in turn, with decided ones at both ends, are not told from decided ones alone.
"""

from __future__ import annotations

from contextlib import closing

from confluent_kafka import Message, TopicPartition

from weir.infra.kafka.first_start import read_committed_offsets
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import subject
from weir.schemas.errors import Transient
from weir.streaming.feature_rows import FeatureRowReader

_TAILS = (500, 20_000)
"""The end of a log may be markers of transactions alone."""


class StillUndecided(Transient):
    """Rows are not decided yet."""


class Undecided:
    """The rows that there were when this was made."""

    def __init__(self, settings: Settings) -> None:
        """Ask where the rows end now.

        Raises:
            Refused: there is no topic of feature rows.
            Transient: the brokers did not answer in time.
        """
        self._settings = settings
        self._topic = settings.topics.features
        self._ends = end_offsets(settings.kafka, self._topic)

    def check(self) -> None:
        """Return when all of them are decided.

        Raises:
            StillUndecided: some are not.
            Transient: a dependency is unreachable.
        """
        asked = [TopicPartition(self._topic, number) for number in self._ends]
        committed = read_committed_offsets(self._settings.kafka, self._settings.scorer.group, asked)
        stands = dict(zip(self._ends, committed, strict=True))
        behind = {number: at or 0 for number, at in stands.items() if (at or 0) < self._ends[number]}
        if not behind:
            return
        with closing(History(self._settings.kafka)) as history, closing(Registry(self._settings.registry)) as registry:
            reader = FeatureRowReader(
                self._settings.stream, lambda schema_id: registry.writer_schema(schema_id, subject(self._topic))
            )
            for number, at in sorted(behind.items()):
                ends = _read_ends(history, (self._topic, number), at, self._ends[number])
                read = reader.from_avro(ends)
                if len(read.batch.undecided()) or read.unreadable:
                    raise StillUndecided(
                        f"{self._topic}[{number}] has rows that `weir process` made and nobody has decided; start "
                        "`weir score` and leave it running until this process has begun"
                    )


def _read_ends(history: History, partition: tuple[str, int], start: int, end: int) -> list[Message]:
    """Return the first and the last record of ``[start, end)`` of a log, if there are any."""
    start = max(start, history.low(partition))
    first = history.first_message(partition, start)
    if first is None or first.offset() >= end:
        return []
    for tail in _TAILS:
        with closing(history.read(partition, max(start, end - tail), end)) as read:
            if last := [messages[-1] for messages in read]:
                return [first, last[-1]]
    return [first]
