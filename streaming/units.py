"""The units of a loop: assigned, begun, forgotten, let go.

Two verbs repair everything: ``forget`` drops what is known of a unit, and its state begins again (``UnitState.begin``):
at what the group committed, with a view caught up from the log, when nothing of it is on its way any more. Start,
assignment, abort, refusal by Redis and a dependency that was unreachable take both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from weir.infra.kafka.source import Partition, PartitionedInput
from weir.infra.redis.unit import Unit
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.streaming.metering import meter_units, unmeter
from weir.streaming.stage import Stage
from weir.streaming.state.catch_up import Beginning, Behind, Recovered
from weir.streaming.unit_state import Live, UnitState

REVOKE_WAIT_SECONDS = 5.0
JOIN_SECONDS_MAX = 10.0
"""Units begin after so long in any case; a member that joins a group at work does so with its next heartbeats."""
BEHIND_SECONDS = 0.25
"""How long a unit waits before it looks again whether the units that may hold keys of it are caught up."""

log = get_logger(__name__)


class Units:
    """The units that the consumer group assigns to this process.

    Attributes:
        live: those whose records are taken.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        source: PartitionedInput,
        state: UnitState,
        await_commit: Callable[[], None],
        *,
        name: str,
        on_step: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind to ports; nothing is read before ``subscribe``.

        Args:
            stages: whose inputs are read, all in one group.
            source: of their records.
            state: what is held of units.
            await_commit: waits until no commit is under way.
            name: of the loop, for metrics.
            on_step: called as each write to a view has ended.
            monotonic: seconds.
        """
        self.live: dict[Unit, Live] = {}
        self._stages = stages
        self._source = source
        self._state = state
        self._await_commit = await_commit
        self._name = name
        self._on_step = on_step
        self._monotonic = monotonic
        self._kind_of = {stage.topic: stage.kind for stage in stages}
        self._topic_of = {stage.kind: stage.topic for stage in stages}
        self._waiting: list[Unit] = []
        self._wait_until: dict[Unit, float] = {}
        self._beginning: tuple[Unit, Beginning] | None = None
        self._join_by = 0.0

    def subscribe(self) -> None:
        """Join the group."""
        self._join_by = self._monotonic() + JOIN_SECONDS_MAX
        self._source.subscribe(list(self._kind_of), on_assigned=self._assigned, on_revoked=self._revoked)

    def unit(self, partition: Partition) -> Unit:
        """Return the unit of a partition."""
        topic, number = partition
        return Unit(self._kind_of[topic], number)

    def partition(self, unit: Unit) -> Partition:
        """Return the partition of a unit."""
        return (self._topic_of[unit.kind], unit.partition)

    @property
    def is_beginning(self) -> bool:
        """True when a unit could begin now: nobody should wait for records meanwhile."""
        return self._beginning is not None or self._next_waiting() is not None

    def settle(self, timeout_seconds: float | None, *, behind_max: int = 0) -> None:
        """Take the outcome of writes; a unit of which one was not made is forgotten.

        Raises:
            TimeoutError: more records than ``behind_max`` are still on their way.
        """
        for unit, done in self._state.collect(timeout_seconds, behind_max=behind_max):
            self._on_step("applied")
            if not done:
                self._forget(unit)

    def forget(self, units: Sequence[Unit]) -> None:
        """Drop live units' cache, gathered records and place in flight; they begin again if they are still ours."""
        for unit in units:
            if unit in self.live:
                self._forget(unit)

    def advance(self, unit: Unit, end: int) -> None:
        """Move a unit past what was committed."""
        self._source.advance(self.partition(unit), end)
        self.live[unit].next_offset = end

    def note_committed(self, units: Sequence[Unit]) -> None:
        """Note that a batch of these units is committed; some may have gone meanwhile."""
        for unit in units:
            if unit in self.live:
                self.live[unit].has_committed = True

    def begin_next(self) -> None:
        """Take one step of the beginning under way, or start the next, if there is one."""
        if self._beginning is None:
            unit = self._next_waiting()
            if unit is None:
                return
            # older writes of this unit may still be on their way: let them land or fail before asking where Redis is
            self.settle(None)
            self._beginning = (unit, self._state.begin(unit))
        unit, steps = self._beginning
        self._state.tidy()  # a rebuild sees every entity there is
        try:
            result = next(steps)
        except BaseException:
            self._beginning = None
            self._state.forget(unit)
            self._put_last(unit)  # its turn is over: another unit's trouble may be another
            raise
        if isinstance(result, Behind):
            self._let_wait(unit, result)
        elif result is not None:
            self._go_live(unit, result)

    def observe(self) -> None:
        """Say how many there are."""
        meter_units(self._name, live=len(self.live), waiting=len(self._waiting))

    def _forget(self, unit: Unit) -> None:
        if unit in self.live:
            del self.live[unit]
            self._source.forget(self.partition(unit))
            self._waiting.append(unit)
        self._state.forget(unit)

    def _go_live(self, unit: Unit, found: Recovered) -> None:
        self._beginning = None
        self._wait_until.pop(unit, None)
        self._source.resume(self.partition(unit), found.next_offset)
        self._waiting.remove(unit)
        self.live[unit] = Live(found.next_offset, found.since_ms)

    def _next_waiting(self) -> Unit | None:
        """Return the unit to begin next, none while all of them wait for others.

        The first one waits until every member has joined: what is decided without the units of labels says that it
        lacked them, and a client that is closed while it is told its partitions may never end.
        """
        now = self._monotonic()
        if now < self._join_by and not self._source.has_joined:
            return None
        return next((unit for unit in self._waiting if self._wait_until.get(unit, now) <= now), None)

    def _let_wait(self, unit: Unit, behind: Behind) -> None:
        """Give another unit its turn: this one waits for units that may be ours as well."""
        if unit not in self._wait_until:
            log.info("waiting_for_units", unit=unit.tag, behind=[other.tag for other in behind.units])
        self._beginning = None
        self._wait_until[unit] = self._monotonic() + BEHIND_SECONDS
        self._put_last(unit)

    def _put_last(self, unit: Unit) -> None:
        self._waiting.remove(unit)
        self._waiting.append(unit)

    # --- the group ---------------------------------------------------------------------------------------------------

    def _assigned(self, partitions: list[Partition]) -> None:
        """Take partitions over: they stay paused until they have begun."""
        metrics.REBALANCES.labels(stage=self._name, kind="assigned").inc()
        log.info("assigned", partitions=[f"{topic}-{number}" for topic, number in partitions])
        self._waiting.extend(self.unit(partition) for partition in partitions)

    def _revoked(self, partitions: list[Partition], lost: bool) -> None:
        """Let partitions go after the commit under way; unless they are lost already, wait for its writes, bounded."""
        metrics.REBALANCES.labels(stage=self._name, kind="lost" if lost else "revoked").inc()
        log.info("revoked", partitions=[f"{topic}-{number}" for topic, number in partitions], lost=lost)
        self._await_commit()
        if not lost:
            try:
                self.settle(REVOKE_WAIT_SECONDS)
            except TimeoutError:
                log.warning("revoked_with_writes_on_their_way")
        for partition in partitions:
            self._let_go(self.unit(partition))

    def _let_go(self, unit: Unit) -> None:
        self.live.pop(unit, None)
        self._wait_until.pop(unit, None)
        self._state.let_go(unit)
        unmeter(self._name, self.partition(unit))
        if self._beginning is not None and self._beginning[0] == unit:
            self._beginning[1].close()
            self._beginning = None
        if unit in self._waiting:
            self._waiting.remove(unit)
