"""The exactly-once processor: the log first, then the view.

A batch, in the order that makes it right:

1. *Gather* records, then take the consumer group's metadata. Nothing polls again before step 4: a record held across a
   poll could be committed with fresh metadata after another member has decided it.
2. *Judge*: decode (what ended processes before: apart from this one, ``streaming/quarantine.py``), split off dead
   letters, read partials together with their unit's position.
3. *Kernel*: feature rows, and new partials in memory.
4. *Commit*: one Kafka transaction with rows, dead letters and these partitions' offsets.
5. *Apply* to Redis by compare-and-set on the position, behind the loop: it continues from what is in memory, and waits
   only when Redis is too far behind (``streaming/state/view_writer.py``).

Two verbs repair everything: ``forget`` drops what is known of a unit, ``catch_up`` (``streaming/state/catch_up.py``)
builds it again from the log, when nothing of it is on its way any more. Start, assignment, abort, refusal by Redis
and a dependency that was away take both.

Delivery: exactly once. Each input position has one output, a feature row or a dead letter, and changes the view once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from weir.infra.kafka.group_position import format_note
from weir.infra.kafka.sink import Aborted, Offsets, TransactionalOutput
from weir.infra.kafka.source import IDLE_SECONDS, Gathered, Partition
from weir.infra.redis.unit import Unit
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient, WeirError
from weir.streaming.metering import (
    meter_behind,
    meter_decided,
    meter_outcome,
    meter_state,
    meter_turn,
    meter_units,
    unmeter,
)
from weir.streaming.quarantine import Quarantine
from weir.streaming.stage import Outcome, Stage
from weir.streaming.state.cache import StaleState
from weir.streaming.state.catch_up import Behind, CatchUpContext, Recovered, catch_up
from weir.streaming.state.view_writer import BEHIND_RECORDS_MAX, ViewWriter, Write

BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
AWAY_SECONDS_MAX = 900.0
"""A dependency that stays away this long ends the process: its supervisor should see it."""
REVOKE_WAIT_SECONDS = 5.0
LOOK_EVERY_SECONDS = 5.0
BEHIND_SECONDS = 0.25
"""How long a unit waits before it looks again whether the units that may hold keys of it are caught up."""
STAGE = "process"

log = get_logger(__name__)


def no_step(name: str) -> None:
    """Do nothing: the default of ``on_step``, which tests use to stop the process at a numbered step."""
    del name


@dataclass
class _Live:
    """A unit that is caught up.

    Attributes:
        next_offset: of the input, to be decided next.
        applied: up to where Redis has confirmed.
        since_ms: append time from which the unit is complete.
    """

    next_offset: int
    applied: int
    since_ms: int


@dataclass
class ProcessorConfig:
    """Sizes of the loop."""

    batch_records_max: int
    linger_seconds: float
    group: str
    stages: Sequence[Stage]
    topic_ids: dict[str, str]
    on_step: Callable[[str], None] = field(default=no_step)


class Processor:
    """Runs the protocol over the units that the consumer group assigns to this process."""

    def __init__(
        self, config: ProcessorConfig, context: CatchUpContext, output: TransactionalOutput, view_writer: ViewWriter
    ) -> None:
        """Bind to ports; nothing is read before ``run``."""
        self._config = config
        self._context = context
        self._output = output
        self._view_writer = view_writer
        self._store = context.store
        self._quarantine = Quarantine(context.view)
        self._stage = {stage.topic: stage for stage in config.stages}
        self._live: dict[Unit, _Live] = {}
        self._waiting: list[Unit] = []
        self._wait_until: dict[Unit, float] = {}
        self._catching: tuple[Unit, Iterator[Recovered | Behind | None]] | None = None
        self._failures = 0
        self._away_since: float | None = None
        self._look_at = time.monotonic() + LOOK_EVERY_SECONDS

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Process until told to stop, then finish what is on its way.

        Raises:
            WeirError: what catch-up cannot fix; the process must end and start again.
        """
        self._context.source.subscribe(list(self._stage), on_assigned=self._assigned, on_revoked=self._revoked)
        while not should_stop():
            meter_turn(STAGE)
            try:
                worked = self._turn()
            except Transient as error:
                self._back_off(error)
            else:
                if worked or not self._waiting:
                    self._failures, self._away_since = 0, None
        self._collect(None)

    def _turn(self) -> bool:
        """One batch and one chunk of catch-up; True when either was there.

        The batch comes first: a unit that cannot be caught up keeps neither the others' records nor the group waiting.
        """
        self._collect(None, behind_max=BEHIND_RECORDS_MAX)
        self._store.trim()
        is_catching_up = self._catching is not None or self._next_waiting() is not None
        gathered = self._context.source.gather(
            self._config.batch_records_max,
            timeout_seconds=0.0 if is_catching_up else IDLE_SECONDS,
            linger_seconds=0.0 if is_catching_up else self._config.linger_seconds,
        )
        if gathered.dropped:
            metrics.MISPLACED_RECORDS.labels(stage=STAGE).inc(gathered.dropped)
        if gathered.records:
            self._batch(gathered)
        self._view_writer.sweep()
        meter_units(STAGE, live=len(self._live), waiting=len(self._waiting))
        self._look_at_view()
        return self._advance_catch_up() or bool(gathered.records)

    def _batch(self, gathered: Gathered) -> None:
        self._step("gathered")  # 1
        started = time.perf_counter()
        involved = [self._unit(partition) for partition in gathered.records]
        try:
            outcomes = self._compute(*self._set_apart(gathered))  # 2, 3
            self._step("computed")
            writes = self._build_writes(gathered, outcomes)
            self._commit(gathered, outcomes, writes)  # 4
            self._step("committed")
        except Transient as error:
            # nothing of this batch is visible; its records and what was read for them are void, and so is a unit that
            # only lent it partials: without records of its own nobody else would find out that it was moved
            self._forget_live([*involved, *(error.units if isinstance(error, StaleState) else [])])
            raise
        self._apply(writes)  # 5
        self._observe(gathered, outcomes, time.perf_counter() - started)

    def _set_apart(self, gathered: Gathered) -> tuple[dict[Partition, list[Message]], list[Outcome]]:
        """Return what may be decoded here, and dead letters of what may not; cut off what could not be examined."""
        safe: dict[Partition, list[Message]] = {}
        apart, deadline = [], self._quarantine.begin()
        for partition, records in gathered.records.items():
            unit, stage = self._unit(partition), self._stage[partition[0]]
            found = self._quarantine.sort(stage, unit, self._live[unit].next_offset, records, deadline)
            if found.size < len(records):
                gathered.records[partition] = records[: found.size]
                self._context.source.read_again(partition)
            if found.dead:
                apart.append(Outcome(dead=[stage.dead_letter(dead) for dead in found.dead], refused=found.dead))
            if found.safe:
                safe[partition] = found.safe
        return safe, apart

    def _compute(self, records: dict[Partition, list[Message]], apart: list[Outcome]) -> list[Outcome]:
        by_topic: dict[str, dict[int, list[Message]]] = {}
        for (topic, number), part in records.items():
            by_topic.setdefault(topic, {})[number] = part
        live = {unit: state.since_ms for unit, state in self._live.items()}
        return [*apart, *(self._stage[topic].process(parts, self._store, live) for topic, parts in by_topic.items())]

    def _build_writes(self, gathered: Gathered, outcomes: list[Outcome]) -> dict[Partition, Write]:
        changed = {unit: parts for outcome in outcomes for unit, parts in outcome.changed.items()}
        mixed = {unit for outcome in outcomes for unit in outcome.mixed}
        writes = {}
        for partition, records in gathered.records.items():
            unit = self._unit(partition)
            start, end = self._live[unit].next_offset, records[-1].offset() + 1
            writes[partition] = Write(unit, start, end, changed.get(unit, []), unit in mixed)
        return writes

    def _commit(self, gathered: Gathered, outcomes: list[Outcome], writes: dict[Partition, Write]) -> None:
        ends = {partition: write.end for partition, write in writes.items()}
        notes = {partition: self._note(write) for partition, write in writes.items()}
        self._step("committing")
        with metrics.STAGE_SECONDS.labels(stage=STAGE, step="commit").time():
            try:
                self._output.commit(
                    [rows for outcome in outcomes for rows in outcome.rows],
                    [record for outcome in outcomes for record in (*outcome.dead, *outcome.forwarded)],
                    Offsets(ends, notes, gathered.metadata),
                )
            except Aborted:
                metrics.KAFKA_TRANSACTIONS_ABORTED.labels(stage=STAGE, cause="kafka").inc()
                raise
        metrics.KAFKA_TRANSACTIONS_COMMITTED.labels(stage=STAGE).inc()
        for outcome in outcomes:
            meter_outcome(outcome)

    def _note(self, write: Write) -> str:
        """Return what is committed next to an offset: the topic's id, and under how many partitions all keys belong."""
        home = 0 if write.is_mixed else self._store.home_partitions(write.unit)
        return format_note(self._context.topic_ids[write.unit.kind], home)

    def _apply(self, writes: dict[Partition, Write]) -> None:
        self._view_writer.submit(list(writes.values()))
        for partition, write in writes.items():
            self._store.pin(write.unit, write.end, write.changed, is_mixed=write.is_mixed)
            self._context.source.advance(partition, write.end)
            self._live[write.unit].next_offset = write.end

    def _collect(self, timeout_seconds: float | None, *, behind_max: int = 0) -> None:
        """Take what became of writes; a unit of which one was not made is forgotten and caught up.

        Raises:
            TimeoutError: more records than ``behind_max`` are still on their way.
        """
        for write, outcome in self._view_writer.collect(timeout_seconds, behind_max=behind_max):
            self._step("applied")
            if not isinstance(outcome, Transient) and outcome.done:
                self._store.confirm(write.unit, write.end)
                if write.unit in self._live:
                    self._live[write.unit].applied = write.end
                    self._meter_behind(write.unit)
                continue
            if isinstance(outcome, Transient):
                log.error("apply_unknown", unit=write.unit.tag, start=write.start, end=write.end, error=str(outcome))
            else:
                log.error("apply_refused", unit=write.unit.tag, start=write.start, end=write.end, found=outcome.found)
                metrics.VIEW_REFUSALS.labels(topic=self._partition(write.unit)[0]).inc()
            self._forget(write.unit)

    # --- the two verbs -----------------------------------------------------------------------------------------------

    def _forget(self, unit: Unit) -> None:
        """Drop a unit's cache, gathered records and place in flight, and queue it for catch-up if it is still ours."""
        if unit in self._live:
            del self._live[unit]
            self._context.source.forget(self._partition(unit))
            self._waiting.append(unit)
        self._store.forget(unit)

    def _forget_live(self, units: Sequence[Unit]) -> None:
        for unit in units:
            if unit in self._live:
                self._forget(unit)

    def _advance_catch_up(self) -> bool:
        """Take one chunk of the catch-up under way, or begin the next; True when there was one."""
        if self._catching is None:
            unit = self._next_waiting()
            if unit is None:
                return False
            # older writes of this unit may still be on their way: let them land or fail before asking where Redis is
            self._collect(None)
            self._catching = (unit, catch_up(self._context, self._stage_of(unit), unit))
        unit, steps = self._catching
        self._store.trim()  # a rebuild sees every entity there is
        try:
            result = next(steps)
        except BaseException:
            self._catching = None
            self._store.forget(unit)
            self._waiting.remove(unit)
            self._waiting.append(unit)  # its turn is over: another unit's trouble may be another
            raise
        if isinstance(result, Behind):
            self._let_wait(unit, result)
        elif result is not None:
            self._catching = None
            self._wait_until.pop(unit, None)
            self._context.source.resume(self._partition(unit), result.next_offset)
            self._waiting.remove(unit)
            self._live[unit] = _Live(result.next_offset, result.next_offset, result.since_ms)
        return True

    def _next_waiting(self) -> Unit | None:
        """Return the unit to be caught up next, none while all of them wait for others."""
        now = time.monotonic()
        return next((unit for unit in self._waiting if self._wait_until.get(unit, now) <= now), None)

    def _let_wait(self, unit: Unit, behind: Behind) -> None:
        """Give another unit its turn: this one waits for units that may be ours as well."""
        if unit not in self._wait_until:
            log.info("waiting_for_units", unit=unit.tag, behind=[other.tag for other in behind.units])
        self._catching = None
        self._wait_until[unit] = time.monotonic() + BEHIND_SECONDS
        self._waiting.remove(unit)
        self._waiting.append(unit)

    def _look_at_view(self) -> None:
        """Find units that were moved while they had no records: a wiped view is rebuilt without waiting for any."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        try:
            self._store.check(list(self._live))
        except StaleState as error:
            self._forget_live(error.units)
            raise

    # --- the group ---------------------------------------------------------------------------------------------------

    def _assigned(self, partitions: list[Partition]) -> None:
        """Take partitions over: they stay paused until caught up."""
        metrics.REBALANCES.labels(stage=STAGE, kind="assigned").inc()
        log.info("assigned", partitions=[f"{topic}-{number}" for topic, number in partitions])
        self._waiting.extend(self._unit(partition) for partition in partitions)

    def _revoked(self, partitions: list[Partition], lost: bool) -> None:
        """Let partitions go; unless they are lost already, wait for the writes on their way first, bounded."""
        metrics.REBALANCES.labels(stage=STAGE, kind="lost" if lost else "revoked").inc()
        log.info("revoked", partitions=[f"{topic}-{number}" for topic, number in partitions], lost=lost)
        if not lost:
            try:
                self._collect(REVOKE_WAIT_SECONDS)
            except TimeoutError:
                log.warning("revoked_with_writes_on_their_way")
        for unit in [self._unit(partition) for partition in partitions]:
            self._live.pop(unit, None)
            self._wait_until.pop(unit, None)
            self._store.forget(unit)
            self._quarantine.let_go(unit)
            unmeter(STAGE, self._partition(unit))
            if self._catching is not None and self._catching[0] == unit:
                self._catching[1].close()  # type: ignore[attr-defined] # it is a generator
                self._catching = None
            if unit in self._waiting:
                self._waiting.remove(unit)

    # --- small things ------------------------------------------------------------------------------------------------

    def _unit(self, partition: Partition) -> Unit:
        topic, number = partition
        return Unit(self._stage[topic].kind, number)

    def _stage_of(self, unit: Unit) -> Stage:
        return next(stage for stage in self._config.stages if stage.kind == unit.kind)

    def _partition(self, unit: Unit) -> Partition:
        return (self._stage_of(unit).topic, unit.partition)

    def _step(self, name: str) -> None:
        self._config.on_step(name)

    def _back_off(self, error: Transient) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since > AWAY_SECONDS_MAX:
            raise WeirError(f"gave up after {AWAY_SECONDS_MAX:.0f} s: {error}") from error
        pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)] * random.uniform(0.5, 1.5)
        self._failures += 1
        log.warning("retrying", error=str(error), attempt=self._failures, retry_seconds=round(pause, 3))
        time.sleep(pause)

    def _observe(self, gathered: Gathered, outcomes: list[Outcome], seconds: float) -> None:
        metrics.STAGE_SECONDS.labels(stage=STAGE, step="batch").observe(seconds)
        meter_decided(STAGE, gathered, outcomes, self._context.source.end_offset_cached)
        for outcome in outcomes:
            meter_state(outcome)
        for partition in gathered.records:
            self._meter_behind(self._unit(partition))
        self._store.observe()

    def _meter_behind(self, unit: Unit) -> None:
        if (state := self._live.get(unit)) is not None:
            meter_behind(self._partition(unit), state.next_offset - state.applied)
