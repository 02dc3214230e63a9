"""``weir offsets``: shows where group, log and view stand, and mends what only an operator should.

``recover`` sets lost offsets from the outputs: each feature row and dead letter says which input position it came
from, so the next one to be decided is known. ``drop-view`` deletes units from Redis; the next start rebuilds them.
Both show their plan and need ``--apply``. Stop the processors first: the broker refuses offsets of a live group.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass

import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from infra.kafka import build_consumer
from infra.kafka_admin import TopicFacts, describe_topics
from infra.kafka_history import History
from infra.redis_client import connect, transient_errors
from infra.redis_view import StateView, Unit
from infra.registry import Registry
from infra.settings import Settings, load_settings
from schemas.codec import BatchCodec
from schemas.contracts import subject
from schemas.errors import Refused, WeirError
from streaming.dlq import source_coordinate

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
    rows = tool.rows()
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
        self._client = connect(settings.redis)
        self._registry = Registry(settings.registry)
        topic_ids = {kind: self._topics[topic].topic_id for kind, topic in self._kinds.items()}
        self._view = StateView(
            self._client, cluster=settings.cluster, group=settings.processor.group, topic_ids=topic_ids
        )
        self._consumer: Consumer = build_consumer(settings.kafka, group=settings.processor.group)

    def units(self) -> list[Unit]:
        """Return every unit of the deployment."""
        return [Unit(kind, p) for kind, topic in self._kinds.items() for p in range(self._topics[topic].partitions)]

    def rows(self) -> list[Row]:
        """Return where each unit stands.

        Raises:
            WeirError: the brokers did not answer.
            Transient: Redis is away.
        """
        rows = []
        for unit in self.units():
            at = TopicPartition(self._kinds[unit.kind], unit.partition)
            try:
                low, high = self._consumer.get_watermark_offsets(at, timeout=_TIMEOUT_SECONDS)
                committed = self._consumer.committed([at], timeout=_TIMEOUT_SECONDS)[0].offset
            except KafkaException as error:
                raise WeirError(f"kafka: {error}") from error
            position = self._view.position(unit)
            applied = None if position is None else position.applied
            rows.append(Row(at.topic, at.partition, low, high, committed if committed >= 0 else None, applied))
        return rows

    def propose(self, rows: list[Row], *, skip_expired: bool) -> list[Row]:
        """Fill in the next offset to decide, from the outputs; labels, whose fold is idempotent, from the view."""
        decided = self._decided()
        proposed = []
        for row in rows:
            is_input = row.topic == self._settings.topics.transactions
            offset = decided.get(row.partition, row.log_start) if is_input else (row.applied or row.log_start)
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
            WeirError: the broker refused, for example because a processor is running.
        """
        offsets = [
            TopicPartition(row.topic, row.partition, row.proposed, metadata=self._topics[row.topic].topic_id)
            for row in rows
            if row.proposed is not None
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise WeirError(f"kafka refused the offsets: {error}; stop every processor of the group first") from error

    def drop(self, unit: Unit) -> None:
        """Delete a unit from Redis, its position first: a unit without one is rebuilt."""
        prefix = self._view.prefix(unit)
        with transient_errors("dropping a unit"):
            self._client.delete(prefix + "position")
            for key in self._client.scan_iter(match=prefix.replace("[", "\\[") + "*", count=1_000):
                self._client.delete(key)

    def _decided(self) -> dict[int, int]:
        """Return, per input partition, the offset after the last one with an output."""
        names, history = self._settings.topics, History(self._settings.kafka)
        after: dict[int, int] = {}
        for partition in range(self._topics[names.features].partitions):
            for records in history.read((names.features, partition), *self._range(names.features, partition)):
                self._note_rows(records, after)
        prefix = self._settings.processor.dlq_header_prefix
        for partition in range(self._topics[names.dlq].partitions):
            for records in history.read((names.dlq, partition), *self._range(names.dlq, partition)):
                for record in records:
                    source = source_coordinate(prefix, record.headers())
                    if source is not None and source.topic == names.transactions:
                        after[source.partition] = max(after.get(source.partition, 0), source.offset + 1)
        history.close()
        return after

    def _range(self, topic: str, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_SECONDS)
        return low, high

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
