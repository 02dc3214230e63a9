"""``catch_up``: the one way a unit comes to life, after a start, an assignment, an abort, a refusal or a wipe.

With the partition paused:

a. read what the group committed, through the group's own read_committed consumer;
b. read where Redis stands; where it stands nowhere, claim the log's first record; where what it has cannot be believed,
   delete that first;
c. read from the dead letter queue which of the records in between did not count (verdicts are never judged again);
d. fold the others and apply them by compare-and-set, chunk by chunk: Redis takes one while the next is folded;
e. resume at the committed offset, once every unit in which our keys may have been counted before is caught up too
   (``streaming/state/moved_keys.py``).

The same records give the same bytes, so a zombie's late write is either what this would have written or refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from confluent_kafka import Message

from weir.infra.kafka.group_position import Standing, read_standing
from weir.infra.kafka.history import History
from weir.infra.kafka.source import Partition, PartitionedInput
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Position, Unit
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused, Transient
from weir.streaming.core.id_set import IdSet
from weir.streaming.dlq.letter import read_dead_letter
from weir.streaming.offsets.coverage import Coverage, check_offsets
from weir.streaming.stage import FoldingStage, Refolded
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.moved_keys import find_units_behind
from weir.streaming.state.view_writer import ViewWriter, Write

CHUNK_RECORDS = 20_000
_CLOCK_STEP_MS = 3_600_000
"""Dead letters of a record are looked for from an hour before its append time: brokers' clocks differ a little."""

START_OVER = (
    "to start over, set WEIR_PROCESSOR__GROUP, WEIR_TOPICS__FEATURES and WEIR_TOPICS__DLQ to new names: what the old "
    "outputs say of offsets is about the old topic"
)

log = get_logger(__name__)


@dataclass(frozen=True)
class Behind:
    """A unit is folded, and waits for others that keys of it were counted in: catch it up again later."""

    units: list[Unit]


@dataclass(frozen=True)
class Recovered:
    """Where a unit stands after catch-up."""

    unit: Unit
    next_offset: int
    since_ms: int


Beginning = Generator["Recovered | Behind | None", None, None]
"""Yields ``None`` between steps, and at the end how a unit stands."""


@dataclass(frozen=True)
class CatchUpContext:
    """What catch-up works with.

    Attributes:
        topic_ids: unit kind to the id of its input topic, as the broker has it now.
        group: the consumer group whose dead letters are verdicts.
        entities: the stream's, in order.
        coverage: of the transactions; ``None`` to believe every offset.
        accept_offsets: continue above what the outputs cover, and count it.
    """

    source: PartitionedInput
    history: History
    view: StateView
    store: PartialStore
    topic_ids: dict[str, str]
    group: str
    entities: Sequence[str]
    on_step: Callable[[str], None]
    coverage: Coverage | None = None
    accept_offsets: bool = False
    told: dict[Unit, int] = field(default_factory=dict)
    """Up to where each unit was said to be caught up: an unreachable dependency is asked again and again meanwhile."""


def catch_up(context: CatchUpContext, stage: FoldingStage, unit: Unit) -> Beginning:
    """Bring a unit's view up to what is committed; yields ``None`` between steps and the result at the end.

    Raises:
        Transient: a dependency is unreachable, or somebody else moved the view; start over.
        Refused: the log and the offsets contradict each other; the message names the fix.
    """
    started = time.monotonic()
    found = _read_committed(context, stage, unit)  # a
    position, born_empty = yield from _find_place(context, stage, unit, found)  # b
    committed = found.next_offset
    _check_coverage(context, (stage.topic, unit.partition), found)
    context.view.follow(unit)
    _own(context, unit, position, born_empty=born_empty)
    yield from _fold_up_to(context, stage, unit, position.applied, committed)  # c, d
    metrics.CATCH_UP_SECONDS.labels(topic=stage.topic).inc(time.monotonic() - started)
    if behind := find_units_behind(context.source, context.view, stage, unit):  # e
        yield Behind(behind)
        return
    folded = committed - position.applied
    if folded or context.told.get(unit) != committed:
        context.told[unit] = committed
        log.info("caught_up", unit=unit.tag, committed=committed, folded=folded, since_ms=position.since_ms)
    yield Recovered(unit, committed, position.since_ms)


def build_ahead(context: CatchUpContext, stage: FoldingStage, unit: Unit) -> Generator[None, None, int]:
    """Bring a view that does not follow the log up to what is committed, next to the one that does.

    It is ``catch_up`` without what makes a unit live: nobody is told that this view is the one to read, and nothing is
    decided. A process that does take the unit over meanwhile and this one write the same bytes, or one is refused.

    Yields:
        None between steps.

    Returns:
        How many offsets were passed.

    Raises:
        Transient: a dependency is unreachable, or somebody else moved the view; start over.
        Refused: the log and the offsets contradict each other; the message names the fix.
    """
    found = _read_committed(context, stage, unit)
    position, born_empty = yield from _find_place(context, stage, unit, found)
    _own(context, unit, position, born_empty=born_empty)
    yield from _fold_up_to(context, stage, unit, position.applied, found.next_offset)
    return found.next_offset - position.applied


def _own(context: CatchUpContext, unit: Unit, position: Position, *, born_empty: bool) -> None:
    listed = [] if born_empty else context.view.read_known(unit, position)
    ids = None if listed is None else IdSet(context.entities, listed)
    context.store.own(unit, position, born_empty=listed == [], ids=ids)


@dataclass(frozen=True)
class _Chunk:
    start: int
    end: int
    records: list[Message]


def _fold_up_to(
    context: CatchUpContext, stage: FoldingStage, unit: Unit, applied: int, committed: int
) -> Generator[None, None, None]:
    """Fold what counted from where Redis stands up to what is committed, and apply it; yields between steps."""
    if applied >= committed:
        return
    dead = yield from _read_verdicts(context, stage, unit, applied)  # c
    # closed here and not when they are collected: they hold the one history reader, and no write may outlive this
    with (
        closing(_chunks(context, (stage.topic, unit.partition), applied, committed)) as chunks,
        closing(ViewWriter(context.view, context.entities)) as view_writer,
    ):
        for chunk in chunks:  # d
            changed, is_mixed = _fold_chunk(context, stage, unit, chunk, dead)
            _settle(context, stage, view_writer)
            context.store.pin(unit, chunk.end, changed, is_mixed=is_mixed)  # of what is not pinned nothing is dropped
            yield None
            erasures = context.store.erasures(unit)
            view_writer.submit([Write(unit, chunk.start, chunk.end, changed, is_mixed, erasures)])
        _settle(context, stage, view_writer)


def _read_committed(context: CatchUpContext, stage: FoldingStage, unit: Unit) -> Standing:
    partition = (stage.topic, unit.partition)
    topic_id = context.topic_ids[unit.kind]
    found = read_standing(context.source, partition, group=context.group, topic_id=topic_id, start_over=START_OVER)
    # while it is paused nothing else meters it
    behind = max(0, found.high - found.next_offset)
    metrics.LAG_RECORDS.labels(stage="process", topic=partition[0], partition=str(partition[1])).set(behind)
    return found


def _find_place(
    context: CatchUpContext, stage: FoldingStage, unit: Unit, found: Standing
) -> Generator[None, None, tuple[Position, bool]]:
    """Return where Redis stands below what is committed, and whether nothing was ever in the unit."""
    partition, low, committed = (stage.topic, unit.partition), found.low, found.next_offset
    yield from _drop_what_is_not_believed(context, unit)
    position, born_empty = _find_position(context, partition, stage, low=low, committed=committed)
    if committed < position.applied <= (context.source.committed(partition)[0] or 0):
        raise Transient(f"redis: unit {unit.tag} was moved on by another process while it was asked for; starting over")
    _check_order(partition, context.group, position, low=low, committed=committed)
    return position, born_empty


def _drop_what_is_not_believed(context: CatchUpContext, unit: Unit) -> Iterator[None]:
    """Delete a unit that was found broken, and finish a deletion that was broken off; yields between steps."""
    found = context.view.look(unit)
    if not (found.suspect or found.dropping):
        return
    log.error("view_dropped", unit=unit.tag, reason=found.suspect or "a deletion was broken off")
    for _ in context.view.drop(unit):
        yield None


def _find_position(
    context: CatchUpContext, partition: Partition, stage: FoldingStage, *, low: int, committed: int
) -> tuple[Position, bool]:
    """Return where Redis stands, and whether nothing was ever in the unit: then this claims the log's first record."""
    unit = Unit(stage.kind, partition[1])
    found = context.view.look(unit)
    if found.position is not None:
        return found.position, False
    since_ms = 0
    if low > 0 and (first := context.history.first_message(partition, low)) is not None:
        since_ms = first.timestamp()[1]
    if committed > low:
        log.warning("view_missing", unit=unit.tag, rebuild_from=low, rebuild_to=committed)
    position = Position(low, since_ms, target=committed, partitions=stage.partitions)
    if not context.view.claim(unit, position):
        if context.view.find_other_types([(unit, ["position"])]):
            context.view.suspect(unit, "its position is of another Redis type")
        raise Transient(f"redis: unit {unit.tag} is claimed or being dropped by another process; starting over")
    return position, True


def _check_order(partition: Partition, group: str, position: Position, *, low: int, committed: int) -> None:
    name = f"{partition[0]}[{partition[1]}]"
    if low > committed:
        raise Refused(
            f"{name} starts at {low}, above {committed} that group {group} committed: records expired before they were "
            "read; raise the topic's retention, then `weir offsets recover --skip-expired --apply`"
        )
    if position.applied > committed:
        raise Refused(
            f"redis has applied {name} up to {position.applied}, above {committed} that group {group} committed: "
            "offsets were moved back or lost; stop every process of the group, then `weir offsets recover --apply` "
            "sets them from the outputs, and drops units of the view that are still above them"
        )
    if position.applied < low:
        raise Refused(
            f"redis has applied {name} up to {position.applied}, but the log starts at {low}: the view cannot be "
            "completed; `weir offsets drop-view --apply` deletes it, and the next start rebuilds it from the log"
        )


def _check_coverage(context: CatchUpContext, partition: Partition, found: Standing) -> None:
    if context.coverage is None:
        return
    try:
        check_offsets(context.coverage, partition, found, accept=context.accept_offsets)
    except Refused:
        if context.source.committed(partition)[0] == found.committed:
            raise
        name = f"{partition[0]}[{partition[1]}]"
        raise Transient(
            f"kafka: {name} was committed by another process while it was asked for; starting over"
        ) from None


def _read_verdicts(
    context: CatchUpContext, stage: FoldingStage, unit: Unit, start: int
) -> Generator[None, None, set[int]]:
    """Return source offsets from ``start`` on that have a dead letter of this group; yields between reads.

    They did not count.
    """
    first = context.history.first_message((stage.topic, unit.partition), start)
    if first is None:
        return set()
    dlq = (stage.dlq_topic, unit.partition)
    begin = context.history.offset_at_time(dlq, first.timestamp()[1] - _CLOCK_STEP_MS)
    found: set[int] = set()
    # not the last stable offset: a predecessor's open transaction would hide dead letters that we committed after it
    end = context.history.high_watermark(dlq)
    with closing(context.history.read(dlq, begin, end, chunk=CHUNK_RECORDS)) as read:
        for messages in read:
            found.update(_source_offsets(context, (stage.topic, unit.partition), messages))
            yield None
    return found


def _source_offsets(context: CatchUpContext, source: Partition, letters: list[Message]) -> Iterator[int]:
    for message in letters:
        letter = read_dead_letter(message)
        at = letter.source
        if at is not None and letter.group == context.group and (at.topic, at.partition) == source:
            yield at.offset


def _chunks(context: CatchUpContext, partition: Partition, start: int, end: int) -> Generator[_Chunk, None, None]:
    """Cut ``[start, end)`` into consecutive ranges with their records; the last one takes a hole at the end along."""
    at, pending = start, None
    with closing(context.history.read(partition, start, end, chunk=CHUNK_RECORDS)) as read:
        for records in read:
            if pending is not None:
                yield pending
                at = pending.end
            pending = _Chunk(at, records[-1].offset() + 1, records)
    if pending is None:
        yield _Chunk(start, end, [])
    else:
        yield _Chunk(pending.start, end, pending.records)


def _fold_chunk(context: CatchUpContext, stage: FoldingStage, unit: Unit, chunk: _Chunk, dead: set[int]) -> Refolded:
    counted = [record for record in chunk.records if record.offset() not in dead]
    changed = stage.fold_again(unit.partition, counted, context.store) if counted else Refolded([], False)
    context.on_step("catch_up_folded")
    metrics.CATCH_UP_RECORDS.labels(topic=stage.topic).inc(len(chunk.records))
    return changed


def _settle(context: CatchUpContext, stage: FoldingStage, view_writer: ViewWriter) -> None:
    """Wait for the write in flight, if there is one; refused or unanswered, nothing after it is applied."""
    for write, outcome in view_writer.collect():
        if isinstance(outcome, Transient):
            raise outcome
        if not outcome.done:
            metrics.VIEW_REFUSALS.labels(topic=stage.topic).inc()
            raise Transient(f"redis: unit {write.unit.tag} moved to {outcome.found} while catching up; starting over")
        context.store.confirm(write.unit, write.end)
        context.on_step("catch_up_applied")
