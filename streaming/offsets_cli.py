"""``weir offsets``: shows where group, log and view stand, and mends what only an operator should.

``recover`` sets lost offsets from the outputs: each feature row and dead letter says which input position it came
from, so the next one to be decided is known. ``drop-view`` deletes units from Redis; the next start rebuilds them.
Both show their plan and need ``--apply``. Stop the processors first: the broker refuses offsets of a live group.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from infra.kafka import build_consumer
from infra.kafka_admin import TopicFacts, describe_topics
from infra.kafka_history import History
from infra.kafka_offsets import end_offsets
from infra.redis_client import connect
from infra.redis_view import StateView, Unit
from infra.registry import Registry
from infra.settings import Settings, load_settings
from schemas.codec import BatchCodec
from schemas.contracts import subject
from schemas.errors import Refused, WeirError
from streaming.dlq import Coordinate, parse_dead_letter

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Row:
    """One unit: where its log begins and ends, what is committed, what Redis has, what is proposed."""

    topic: str
    partition: int
    log_start: int
    log_end: int
    committed: int | None
    applied: int | None
    proposed: int | None = None


def main(argv: list[str]) -> int:
    """Run ``weir offsets``. Exit codes: 0 done or shown, 1 failed, 2 refused."""
    parser = argparse.ArgumentParser(prog="weir offsets", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("action", choices=["show", "recover", "drop-view"])
    parser.add_argument("--apply", action="store_true", help="do it; without it the plan is shown")
    parser.add_argument("--skip-expired", action="store_true", help="recover: go on at the log's start if it is later")
    parser.add_argument("--partition", type=int, help="drop-view: this partition alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv[1:])
    tool = OffsetsTool(load_settings())
    # an unreadable position must not keep the one command from working that mends it
    rows = tool.rows(on_unreadable=_complain if arguments.action != "recover" else None)
    if arguments.action == "recover":
        rows = tool.propose(rows, skip_expired=arguments.skip_expired)
    _write_rows(rows, as_json=arguments.json)
    if arguments.action == "recover" and arguments.apply:
        tool.commit(rows)
    if arguments.action == "drop-view":
        units = [u for u in tool.units() if arguments.partition in (None, u.partition)]
        sys.stderr.write(f"{len(units)} units {'dropped' if arguments.apply else 'to drop; --apply does it'}\n")
        if arguments.apply:
            for unit in units:
                tool.drop(unit)
    elif not arguments.apply and arguments.action == "recover":
        sys.stderr.write("nothing changed; --apply commits what is proposed\n")
    return 0


def _complain(error: Refused) -> None:
    sys.stderr.write(f"{error}\n")


def _write_rows(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
        return
    columns = ("topic", "partition", "log_start", "log_end", "committed", "applied", "proposed")
    lines = [columns, *[tuple("-" if v is None else str(v) for v in asdict(row).values()) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


class OffsetsTool:
    """Compares group, log and view of one deployment."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Raises:
            Refused: a topic is missing.
            Transient: the brokers did not answer.
        """
        self._settings = settings
        names = settings.topics
        self._topics: dict[str, TopicFacts] = describe_topics(
            settings.kafka, [names.transactions, names.labels, names.features, names.dlq]
        )
        self._kinds = {"t": names.transactions, "l": names.labels}
        self._registry = Registry(settings.registry)
        topic_ids = {kind: self._topics[topic].topic_id for kind, topic in self._kinds.items()}
        self._view = StateView(
            connect(settings.redis), cluster=settings.cluster, group=settings.processor.group, topic_ids=topic_ids
        )
        self._consumer: Consumer = build_consumer(settings.kafka, group=settings.processor.group)

    def units(self) -> list[Unit]:
        """Return every unit of the deployment."""
        return [Unit(kind, p) for kind, topic in self._kinds.items() for p in range(self._topics[topic].partitions)]

    def rows(self, on_unreadable: Callable[[Refused], None] | None = None) -> list[Row]:
        """Return where each unit stands.

        Args:
            on_unreadable: told of a position in Redis that is none, which then counts as absent; raised by default.

        Raises:
            Refused: a position in Redis is none.
            WeirError: the brokers did not answer.
            Transient: Redis is away.
        """
        rows = []
        for unit in self.units():
            at = TopicPartition(self._kinds[unit.kind], unit.partition)
            try:
                low, high = self._consumer.get_watermark_offsets(at, timeout=_TIMEOUT_SECONDS)
            except KafkaException as error:
                raise WeirError(f"kafka: {error}") from error
            applied = self._read_applied(unit, on_unreadable)
            rows.append(Row(at.topic, at.partition, low, high, self._read_committed(at), applied))
        return rows

    def _read_committed(self, at: TopicPartition) -> int | None:
        try:
            found = self._consumer.committed([at], timeout=_TIMEOUT_SECONDS)[0]
            if found.error is not None:  # not an answer: least of all "none"
                raise KafkaException(found.error)
        except KafkaException as error:
            raise WeirError(f"kafka: committed offsets: {error}") from error
        return int(found.offset) if found.offset >= 0 else None

    def _read_applied(self, unit: Unit, on_unreadable: Callable[[Refused], None] | None) -> int | None:
        try:
            position = self._view.position(unit)
        except Refused as error:
            if on_unreadable is None:
                raise
            on_unreadable(error)
            return None
        return None if position is None else position.applied

    def propose(self, rows: list[Row], *, skip_expired: bool) -> list[Row]:
        """Fill in the next offset to decide, from the outputs; labels, whose fold is idempotent, from the view."""
        decided = self._decided()
        proposed = []
        for row in rows:
            is_input = row.topic == self._settings.topics.transactions
            folded = max(row.committed or 0, row.applied or row.log_start)  # neither leads what was decided
            offset = decided.get(row.partition, row.log_start) if is_input else folded
            if offset < row.log_start:
                if not skip_expired:
                    raise Refused(
                        f"{row.topic}[{row.partition}] starts at {row.log_start}, above {offset}: records expired "
                        "undecided; add --skip-expired to go on without them"
                    )
                offset = row.log_start
            proposed.append(Row(**(asdict(row) | {"proposed": offset})))
        return proposed

    def commit(self, rows: list[Row]) -> None:
        """Commit the proposed offsets for the group.

        Raises:
            Refused: the group has committed since the rows were read, so there is more output than they know of.
            WeirError: the broker refused, for example because a processor is running.
        """
        # the broker refuses offsets of a live group only: not after a processor that worked meanwhile has stopped
        self._check_unmoved(rows)
        offsets = [
            TopicPartition(row.topic, row.partition, row.proposed, metadata=self._topics[row.topic].topic_id)
            for row in rows
            if row.proposed is not None
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise WeirError(f"kafka refused the offsets: {error}; stop every processor of the group first") from error

    def _check_unmoved(self, rows: list[Row]) -> None:
        for row in rows:
            found = self._read_committed(TopicPartition(row.topic, row.partition))
            if found != row.committed:
                before = "none" if row.committed is None else row.committed
                raise Refused(
                    f"expected {row.topic}[{row.partition}] to be committed at {before}, found {found}: a processor of "
                    "the group worked meanwhile; stop every one of them, then run it again"
                )

    def drop(self, unit: Unit) -> None:
        """Delete a unit from Redis: one without a position is rebuilt."""
        for _ in self._view.drop(unit):
            pass

    def _decided(self) -> dict[int, int]:
        """Return, per input partition, the offset after the last one with an output."""
        names, group = self._settings.topics, self._settings.processor.group
        after: dict[int, int] = {}
        groups: set[str] = set()
        with closing(History(self._settings.kafka)) as history:
            for records in self._read(history, names.features):
                self._note_rows(records, after)
            for records in self._read(history, names.dlq):
                groups |= self._note_dead_letters(records, after)
        if groups and group not in groups:
            raise Refused(
                f"{names.dlq} has dead letters of {', '.join(sorted(groups))} and none of group {group}, which would "
                f"count what they leave out; if it was renamed, set WEIR_PROCESSOR__GROUP={min(groups)} again"
            )
        return after

    def _read(self, history: History, topic: str) -> Iterator[list[Message]]:
        # not the last stable offset: an open transaction of a dead process hides what others committed after it
        for partition, end in end_offsets(self._settings.kafka, topic).items():
            yield from history.read((topic, partition), OFFSET_BEGINNING, end)

    def _note_dead_letters(self, records: list[Message], after: dict[int, int]) -> set[str]:
        """Note what this group's dead letters stand for; return whose there are."""
        groups = set()
        for record in records:
            letter = parse_dead_letter(
                at=Coordinate(record.topic(), record.partition(), record.offset()),
                key=None,
                value=None,
                headers=record.headers(),
                appended_ms=record.timestamp()[1],
            )
            source = letter.source
            if source is None or source.topic != self._settings.topics.transactions:
                continue
            groups.add(letter.group)
            if letter.group == self._settings.processor.group:
                after[source.partition] = max(after.get(source.partition, 0), source.offset + 1)
        return groups

    def _note_rows(self, records: list[Message], after: dict[int, int]) -> None:
        registry, names = self._registry, self._settings.topics
        decoded = BatchCodec("features").decode(
            [record.value() for record in records], lambda i: registry.writer_schema(i, subject(names.features))
        )
        partitions = np.asarray(decoded.batch.column("source_partition"))
        offsets = np.asarray(decoded.batch.column("source_offset"))
        for partition in np.unique(partitions):
            last = int(offsets[partitions == partition].max()) + 1
            after[int(partition)] = max(after.get(int(partition), 0), last)
