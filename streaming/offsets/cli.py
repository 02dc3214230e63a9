"""``weir offsets``: shows where groups, logs and view stand, and repairs what only an operator should.

``recover`` sets offsets that were lost or moved from the outputs: each feature row and dead letter says which input
position it came from, so the next one to be decided is known; the scorer's are set from the decisions. It drops units
of the view that are above. ``drop-view`` deletes units from Redis; the next start rebuilds them. Both show their plan
and need ``--apply``. Stop the processes of the group first: the broker refuses offsets of a live group.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition

from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.redis.client import connect
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import features_schema, subject
from weir.schemas.errors import Refused
from weir.schemas.printable import escape
from weir.schemas.project import find_stream
from weir.streaming.dlq.letter import read_dead_letter
from weir.streaming.offsets.coverage import build_coverage
from weir.streaming.offsets.group import GroupOffsets, Row, await_empty
from weir.streaming.offsets.scorer import ScorerOffsets, find_moved
from weir.streaming.offsets.stages import processor_stage
from weir.streaming.state.catch_up import START_OVER


def main(argv: list[str]) -> int:
    """Run ``weir offsets``. Exit codes: 0 done or all is well, 1 failed or a fault was found, 2 refused."""
    parser = Parser(prog="weir offsets", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("action", choices=["show", "recover", "drop-view"])
    parser.add_argument("--apply", action="store_true", help="do it; without it the plan is shown")
    parser.add_argument(
        "--skip-expired", action="store_true", help="recover: continue at the log's start if it is later"
    )
    parser.add_argument("--partition", type=int, help="drop-view: this partition alone")
    parser.add_argument("--json", action="store_true")
    add_stream_flag(parser)
    arguments = parser.parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    with closing(OffsetsTool(settings)) as tool, closing(ScorerOffsets(settings)) as scorer:
        if arguments.action == "drop-view":
            return _drop_view(tool, settings, arguments)
        if arguments.action == "recover":
            return _recover(tool, scorer, settings, arguments)
        return _show(tool, scorer, as_json=arguments.json)


def _show(tool: OffsetsTool, scorer: ScorerOffsets, *, as_json: bool) -> int:
    faults: list[str] = []
    rows = [*tool.rows(on_unreadable=lambda error: faults.append(str(error))), *scorer.rows()]
    _write_rows(rows, as_json=as_json)
    faults += [*_find_outside(rows), *tool.find_moved(rows), *scorer.find_moved(rows)]
    for line in faults:
        _tell(f"{line}\n")
    return 1 if faults else 0


def _find_outside(rows: Sequence[Row]) -> list[str]:
    """Say of which partitions the committed offset is outside of the log; a start refuses there."""
    return [
        f"{row.topic}[{row.partition}]: expected a committed offset from {row.log_start} to {row.log_end}, found "
        f"{row.committed}; `weir offsets recover` shows what to do"
        for row in rows
        if row.committed is not None and not row.log_start <= row.committed <= row.log_end
    ]


def _recover(tool: OffsetsTool, scorer: ScorerOffsets, settings: Settings, arguments: argparse.Namespace) -> int:
    skip = arguments.skip_expired
    rows = tool.propose(tool.rows(), skip_expired=skip)
    scored = scorer.propose(scorer.rows(), skip_expired=skip)
    _write_rows([*rows, *scored], as_json=arguments.json)
    _check_ends(rows, tool.offsets)
    if not arguments.apply:
        _tell("nothing changed; --apply commits what is proposed, and drops the units that are marked\n")
        return 0
    for group, part, offsets in (
        (settings.processor.group, rows, tool.offsets),
        (settings.scorer.group, scored, scorer.offsets),
    ):
        if any(row.changes or row.drop for row in part):
            await_empty(settings.kafka, group, _tell)
            offsets.commit(part)
    # after the commit: broken off in between, the next start refuses, and this command does the rest
    for row in rows:
        if row.drop:
            tool.drop(tool.unit_of(row))
    return 0


def _drop_view(tool: OffsetsTool, settings: Settings, arguments: argparse.Namespace) -> int:
    # an unreadable position must not keep the one command from working that fixes it
    _write_rows(tool.rows(on_unreadable=_tell_error), as_json=arguments.json)
    units = [unit for unit in tool.units() if arguments.partition in (None, unit.partition)]
    if not arguments.apply:
        _tell(f"{len(units)} units to drop; --apply does it\n")
        return 0
    await_empty(settings.kafka, settings.processor.group, _tell)
    for unit in units:
        tool.drop(unit)
    _tell(f"{len(units)} units dropped; the next start of a processor rebuilds them from the log\n")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


def _tell_error(error: Refused) -> None:
    _tell(f"{error}\n")


def _check_ends(rows: Sequence[Row], offsets: GroupOffsets) -> None:
    """Refuse to commit above a log's end: what the outputs say of offsets is about another topic of that name.

    Raises:
        Refused: a log ends below what is proposed.
    """
    for row in rows:
        if row.proposed is None or row.proposed <= row.log_end:
            continue
        # asked again: a log that is written to has grown since, and so have its outputs
        _, end = offsets.watermarks(TopicPartition(row.topic, row.partition))
        if row.proposed > end:
            raise Refused(
                f"{row.topic}[{row.partition}] ends at {end}, below {row.proposed} where its outputs end: the "
                f"topic was created again or lost records; {START_OVER}"
            )


def _write_rows(rows: Sequence[Row], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
        return
    columns = ("topic", "partition", "log_start", "log_end", "committed", "applied", "proposed", "view")
    lines = [columns, *[_cells(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.partition, row.log_start, row.log_end, row.committed, row.applied, row.proposed)
    return (
        escape(row.topic),
        *("-" if number is None else str(number) for number in numbers),
        "drop" if row.drop else "-",
    )


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
        self._kinds = {"t": names.transactions} | ({"l": names.labels} if settings.stream.labels else {})
        self._topics: dict[str, TopicFacts] = describe_topics(
            settings.kafka, [*self._kinds.values(), names.features, names.dlq]
        )
        self._registry = Registry(settings.registry)
        topic_ids = {kind: self._topics[topic].topic_id for kind, topic in self._kinds.items()}
        self._client = connect(settings.redis)
        self._view = StateView(
            self._client,
            cluster=settings.cluster,
            group=settings.processor.group,
            topic_ids=topic_ids,
            declarations_hash=settings.declarations_hash,
            look_back_ms=settings.stream.horizon_ms + settings.stream.label_hold_ms,
        )
        ids = {name: facts.topic_id for name, facts in self._topics.items()}
        self.offsets = GroupOffsets(build_consumer(settings.kafka, group=settings.processor.group), ids)

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
            Transient: Redis is unreachable.
        """
        rows = []
        for unit in self.units():
            at = TopicPartition(self._kinds[unit.kind], unit.partition)
            committed = self.offsets.committed(at)  # before the log's end, which a group at work does not pass
            applied = self._read_applied(unit, on_unreadable)
            low, high = self.offsets.watermarks(at)
            rows.append(Row(at.topic, at.partition, low, high, committed, applied))
        return rows

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
            above = row.applied is not None and row.applied > offset
            proposed.append(replace(row, proposed=offset, drop=above))
        return proposed

    def commit(self, rows: list[Row]) -> None:
        """Commit the proposed offsets for the group; see ``GroupOffsets.commit``."""
        self.offsets.commit(rows)

    def find_moved(self, rows: Sequence[Row]) -> list[str]:
        """Say of which partitions the committed offset is not where the outputs end."""
        with closing(History(self._settings.kafka)) as history:
            coverage = build_coverage(processor_stage(self._settings), self._settings, history, self._registry)
            return [line for _, line in find_moved(coverage, rows, self.offsets)]

    def unit_of(self, row: Row) -> Unit:
        """Return the unit that a row is about."""
        return next(Unit(kind, row.partition) for kind, topic in self._kinds.items() if topic == row.topic)

    def close(self) -> None:
        """Disconnect."""
        self.offsets.close()
        self._client.close()
        self._registry.close()

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
            # the setting is what comes before the stream's name
            renamed = min(groups).removesuffix(f".{self._settings.stream.full_name}")
            raise Refused(
                f"{names.dlq} has dead letters of {', '.join(sorted(groups))} and none of group {group}, which would "
                f"count what they leave out; if it was renamed, set WEIR_PROCESSOR__GROUP={renamed} again"
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
            letter = read_dead_letter(record)
            source = letter.source
            if source is None or source.topic != self._settings.topics.transactions:
                continue
            groups.add(letter.group)
            if letter.group == self._settings.processor.group:
                after[source.partition] = max(after.get(source.partition, 0), source.offset + 1)
        return groups

    def _note_rows(self, records: list[Message], after: dict[int, int]) -> None:
        registry, names = self._registry, self._settings.topics
        decoded = BatchCodec(schema=features_schema(self._settings.stream)).decode(
            [record.value() for record in records], lambda i: registry.writer_schema(i, subject(names.features))
        )
        partitions = np.asarray(decoded.batch.column("source_partition"))
        offsets = np.asarray(decoded.batch.column("source_offset"))
        for partition in np.unique(partitions):
            last = int(offsets[partitions == partition].max()) + 1
            after[int(partition)] = max(after.get(int(partition), 0), last)
