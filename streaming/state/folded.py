"""The state of units that are folded into a view: partials in memory, and Redis behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from confluent_kafka import Message

from weir.infra.kafka.group_position import format_note, read_undecided_until
from weir.infra.kafka.source import Gathered, Partition
from weir.infra.redis.state_view import Applied
from weir.infra.redis.unit import Unit
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient
from weir.streaming.metering import meter_ages, meter_behind, meter_state
from weir.streaming.quarantine import Quarantine
from weir.streaming.stage import FoldingStage, Outcome
from weir.streaming.state.catch_up import Beginning, CatchUpContext, Recovered, catch_up
from weir.streaming.state.view_writer import ViewWriter, Write
from weir.streaming.unit_state import Live

LOOK_EVERY_SECONDS = 5.0
"""Units that were moved while they had no records are found within this time."""

log = get_logger(__name__)


class FoldedState:
    """What is held of the units of folding stages."""

    def __init__(
        self,
        stages: Sequence[FoldingStage],
        context: CatchUpContext,
        view_writer: ViewWriter,
        *,
        name: str,
        newest_row_ms: Callable[[], int] | None = None,
    ) -> None:
        """Bind to ports.

        Args:
            stages: whose units they are.
            context: of catch-up.
            view_writer: applies to the view.
            name: of the loop, for metrics.
            newest_row_ms: where rows are decided in the transaction that publishes them: returns the newest append time
                of all rows there are, or 0. May raise ``Transient``.
        """
        self._newest_row_ms = newest_row_ms
        self._undecided_until_ms: dict[Unit, int] = {}
        self._stages = {stage.kind: stage for stage in stages}
        self._context = context
        self._store = context.store
        self._view_writer = view_writer
        self._quarantine = Quarantine(context.view)
        self._name = name
        self._applied: dict[Unit, int] = {}
        self._committed: dict[Unit, int] = {}
        self._look_at = time.monotonic() + LOOK_EVERY_SECONDS

    def begin(self, unit: Unit) -> Beginning:
        """Catch up; see ``streaming/state/catch_up.py``."""
        with closing(catch_up(self._context, self._stages[unit.kind], unit)) as steps:
            for step in steps:
                if isinstance(step, Recovered):
                    self._note_predecessor(unit)
                    self._applied[unit] = self._committed[unit] = step.next_offset
                yield step

    def _note_predecessor(self, unit: Unit) -> None:
        """Keep until when rows of a unit may be undecided: those of a predecessor that left that to a scorer."""
        if self._newest_row_ms is None:
            return
        committed, note = self._context.source.committed((self._stages[unit.kind].topic, unit.partition))
        known = 0 if committed is None else read_undecided_until(note)
        self._undecided_until_ms[unit] = self._newest_row_ms() if known is None else known

    def process(self, gathered: Gathered, live: Mapping[Unit, Live]) -> list[Outcome]:
        """Set apart what may not be decoded here, then judge and compute the rest, input by input."""
        safe, outcomes = self._set_apart(gathered, live)
        since_ms = {unit: state.since_ms for unit, state in live.items()}
        for stage in self._stages.values():
            records = {number: part for (topic, number), part in safe.items() if topic == stage.topic}
            if records:
                outcomes.append(stage.process(records, self._store, since_ms))
        return outcomes

    def _set_apart(
        self, gathered: Gathered, live: Mapping[Unit, Live]
    ) -> tuple[dict[Partition, list[Message]], list[Outcome]]:
        """Return what may be decoded here, and dead letters of what may not; cut off what could not be examined."""
        safe: dict[Partition, list[Message]] = {}
        apart, deadline = [], self._quarantine.begin()
        stage_of = {stage.topic: stage for stage in self._stages.values()}
        for partition, records in gathered.records.items():
            stage = stage_of[partition[0]]
            unit = Unit(stage.kind, partition[1])
            found = self._quarantine.sort(stage, unit, live[unit].next_offset, records, deadline)
            if found.size < len(records):
                gathered.records[partition] = records[: found.size]
                self._context.source.read_again(partition)
            if found.dead:
                apart.append(Outcome(dead=[stage.dead_letter(dead) for dead in found.dead], refused=found.dead))
            if found.safe:
                safe[partition] = found.safe
        return safe, apart

    def note_computed(self, units: Sequence[Unit]) -> None:
        """Take back this process's start at the units' records: they were decoded, and ended nobody."""
        for unit in units:
            self._quarantine.clear(unit)

    def note(self, write: Write) -> str:
        """Return the topic's id, under how many partitions all keys belong in theirs, and whose rows are decided."""
        home = 0 if write.is_mixed else self._store.home_partitions(write.unit)
        until_ms = self._undecided_until_ms.get(write.unit)
        return format_note(self._context.topic_ids[write.unit.kind], home, undecided_until_ms=until_ms)

    def apply(self, writes: Sequence[Write]) -> None:
        """Hand writes over."""
        self._view_writer.submit([replace(each, erasures=self._store.erasures(each.unit)) for each in writes])

    def pin(self, writes: Sequence[Write]) -> None:
        """Keep in memory what writes change until they are made."""
        for write in writes:
            self._store.pin(write.unit, write.end, write.changed, is_mixed=write.is_mixed)
            self._committed[write.unit] = write.end
            self._meter_behind(write.unit)

    def collect(self, timeout_seconds: float | None, *, behind_max: int) -> Iterator[tuple[Unit, bool]]:
        """Take the outcome of writes, one after the other."""
        for write, outcome in self._view_writer.collect(timeout_seconds, behind_max=behind_max):
            yield write.unit, self._take(write, outcome)

    def _take(self, write: Write, outcome: Applied | Transient) -> bool:
        """Confirm a write that was made, and say so; say in the log why another was not."""
        where = {"unit": write.unit.tag, "start": write.start, "end": write.end}
        if isinstance(outcome, Transient):
            log.error("apply_unknown", **where, error=str(outcome))
            return False
        if not outcome.done:
            log.error("apply_refused", **where, found=outcome.found)
            metrics.VIEW_REFUSALS.labels(topic=self._stages[write.unit.kind].topic).inc()
            return False
        self._store.confirm(write.unit, write.end)
        if write.unit in self._applied:
            self._applied[write.unit] = write.end
            self._meter_behind(write.unit)
        return True

    def tidy(self) -> None:
        """Evict what was not used lately, and take a step of the round that sets TTLs."""
        self._store.trim()
        self._view_writer.sweep()

    def check(self, units: Sequence[Unit]) -> None:
        """Ask Redis once in a while: a wiped view is rebuilt without waiting for records."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        self._store.check(units)

    def forget(self, unit: Unit) -> None:
        """Drop a unit's cache; what is on its way no longer counts."""
        self._applied.pop(unit, None)
        self._store.forget(unit)

    def let_go(self, unit: Unit) -> None:
        """Drop a unit that is no longer ours."""
        self.forget(unit)
        self._undecided_until_ms.pop(unit, None)
        self._quarantine.let_go(unit)
        meter_behind((self._stages[unit.kind].topic, unit.partition), 0)

    def observe(self, gathered: Gathered, outcomes: Sequence[Outcome], at_ms: float) -> None:
        """Tell the metrics how old records were, how large partials are, and what is held."""
        meter_ages(self._name, gathered, at_ms)
        for outcome in outcomes:
            meter_state(outcome)
        self._store.observe()

    def _meter_behind(self, unit: Unit) -> None:
        partition = (self._stages[unit.kind].topic, unit.partition)
        meter_behind(partition, self._committed[unit] - self._applied[unit])
