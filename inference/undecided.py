"""Whether a scorer still owes decisions: rows that ``weir process`` made before ``weir run`` took its place.

``weir run`` decides what it makes, and nothing that was made before. So it begins when every row up to then is decided,
by the scorer that runs as long as there are such rows.

Each row above the scorer's offset is read that may be undecided. Where ``weir run`` made the newest rows of every
partition, it noted next to its offsets which rows were there when it took the partition over: rows after those are its
own, and are not read (``infra/kafka/group_position.py``).

Cost: nothing while the scorer is at the end of the rows or past the noted ones; else 5 us a row in between.
"""

from __future__ import annotations

from contextlib import closing

from confluent_kafka import TopicPartition

from weir.infra.kafka.first_start import read_committed, read_committed_offsets
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.kafka.positions import find_undecided_until
from weir.infra.kafka.source import Partition
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import subject
from weir.schemas.errors import Transient
from weir.streaming.feature_rows import FeatureRowReader


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
        until_ms = self._read_undecided_until()
        with closing(History(self._settings.kafka)) as history, closing(Registry(self._settings.registry)) as registry:
            reader = FeatureRowReader(
                self._settings.stream, lambda schema_id: registry.writer_schema(schema_id, subject(self._topic))
            )
            for number, at in sorted(behind.items()):
                partition = (self._topic, number)
                owed = find_owed(history, partition, until_ms, self._ends[number])
                if _holds_undecided(history, reader, partition, max(at, history.low(partition)), owed):
                    raise StillUndecided(
                        f"{self._topic}[{number}] has rows that `weir process` made and nobody has decided; start "
                        "`weir score` and leave it running until this process has begun"
                    )

    def _read_undecided_until(self) -> int | None:
        kafka, topic = self._settings.kafka, self._settings.topics.transactions
        asked = [TopicPartition(topic, number) for number in end_offsets(kafka, topic)]
        return find_undecided_until(read_committed(kafka, self._settings.processor.group, asked))


def find_owed(history: History, partition: Partition, until_ms: int | None, end: int) -> int:
    """Return up to where the rows of a partition may be undecided.

    Args:
        history: a reader.
        partition: of the feature rows.
        until_ms: the newest append time of rows that may be; ``None`` where any may.
        end: of the partition.

    Raises:
        Transient: no answer in time.
    """
    if until_ms is None:
        return end
    after = history.offset_at_time(partition, until_ms + 1)
    return 0 if after <= history.low(partition) else min(after, end)


def _holds_undecided(history: History, reader: FeatureRowReader, partition: Partition, start: int, end: int) -> bool:
    with closing(history.read(partition, start, end)) as chunks:
        for messages in chunks:
            read = reader.from_avro(messages)
            if len(read.batch.undecided()) or read.unreadable:
                return True
    return False
