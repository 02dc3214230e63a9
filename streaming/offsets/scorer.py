"""Where the scorer's group is in the feature rows, and where its decisions say that it stood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from confluent_kafka import TopicPartition

from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.offsets.coverage import Coverage, build_coverage
from weir.streaming.offsets.group import GroupOffsets, Row
from weir.streaming.offsets.stages import scorer_stage


def find_moved(coverage: Coverage, rows: Sequence[Row], offsets: GroupOffsets) -> list[tuple[Row, str]]:
    """Return of which partitions of a stage the committed offset is not where its outputs end, and a line that says so.

    A group at work commits between the look at its offset and the look at its outputs. So what seems moved is told only
    of a partition whose offset stands still after that.

    Raises:
        Transient: the brokers did not answer in time.
        WeirError: likewise.
    """
    found = [(row, line) for row in rows if (line := _find_moved(coverage, row))]
    still = offsets.find_still([row for row, _ in found])
    return [(row, line) for row, line in found if row in still]


def _find_moved(coverage: Coverage, row: Row) -> str:
    # outside of the log there is nothing to compare with; a start says so by itself
    is_inside = row.committed is None or row.log_start <= row.committed <= row.log_end
    if row.topic != coverage.stage.source or not is_inside:
        return ""
    try:
        found = coverage.check(row.partition, low=row.log_start, committed=row.committed)
    except Refused as error:
        return str(error)
    return "" if found is None else coverage.describe(row.partition, row.committed or 0, found)


class ScorerOffsets:
    """Compares the scorer's group with its decisions."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Raises:
            Refused: a topic is missing.
            Transient: the brokers did not answer.
        """
        self._settings = settings
        names = settings.topics
        self._facts = describe_topics(settings.kafka, [names.features])[names.features]
        self._history = History(settings.kafka)
        self._registry = Registry(settings.registry)
        self._coverage = build_coverage(scorer_stage(settings), settings, self._history, self._registry)
        consumer = build_consumer(settings.kafka, group=settings.scorer.group)
        self.offsets = GroupOffsets(consumer, {names.features: self._facts.topic_id})

    def rows(self) -> list[Row]:
        """Return where each partition stands.

        Raises:
            WeirError: the brokers did not answer.
        """
        rows = []
        for number in range(self._facts.partitions):
            at = TopicPartition(self._facts.name, number)
            committed = self.offsets.committed(at)  # before the log's end, which a group at work does not pass
            low, high = self.offsets.watermarks(at)
            rows.append(Row(at.topic, number, low, high, committed, None))
        return rows

    def propose(self, rows: Sequence[Row], *, skip_expired: bool) -> list[Row]:
        """Fill in the next offset to decide, where it is not the committed one.

        A scorer that has decided nothing yet is left alone.

        Raises:
            Refused: feature rows expired undecided.
            Transient: the brokers did not answer in time.
        """
        if not self._has_outputs():
            return list(rows)
        known = [row for row in rows if row.committed is not None and row.committed >= row.log_start]
        moved = [row for row, _ in find_moved(self._coverage, known, self.offsets)]
        right = {row for row in known if row not in moved}
        return [replace(row, proposed=self._next(row, row in right, skip_expired=skip_expired)) for row in rows]

    def _next(self, row: Row, is_right: bool, *, skip_expired: bool) -> int | None:
        if row.committed is not None and row.committed < row.log_start:
            if not skip_expired:
                raise Refused(
                    f"{row.topic}[{row.partition}] starts at {row.log_start}, above {row.committed}: rows expired "
                    "undecided; add --skip-expired to continue without them"
                )
            return row.log_start
        # a scorer at work moves on while it is asked, so what is right is left as it is
        if is_right:
            return row.committed
        return self._coverage.find_end(row.partition, low=row.log_start, upto=row.log_end).end

    def _has_outputs(self) -> bool:
        topics = (self._coverage.stage.rows, self._coverage.stage.letters)
        return any(end for topic in topics for end in end_offsets(self._settings.kafka, topic).values())

    def find_moved(self, rows: Sequence[Row]) -> list[str]:
        """Say of which partitions the committed offset is not where the decisions end."""
        found = find_moved(self._coverage, rows, self.offsets) if self._has_outputs() else []
        return [line for _, line in found]

    def close(self) -> None:
        """Disconnect."""
        self.offsets.close()
        self._history.close()
        self._registry.close()
