"""The one loop of ``weir process``, ``weir score``, ``weir index`` and ``weir run``: the log first, then the view.

A batch, in the order that makes it right:

1. *Gather* records, then take the consumer group's metadata. The batch is committed with these: a record held across a
   poll could be committed with fresh ones after another member has decided it.
2. *Judge*: decode (what ended processes before: apart from this one, ``streaming/quarantine.py``), split off dead
   letters, read partials together with their unit's position.
3. *Kernel*: feature rows, and new partials in memory. A plain stage has its own middle: the scorer decides rows that
   others have computed.
4. *Commit*: one Kafka transaction with rows, dead letters and these partitions' offsets. ``weir run`` decides the rows
   inside it, in the committer's thread, while they are on their way to the brokers already.
5. *Apply* to Redis by compare-and-set on the position, behind the loop: it continues from what is in memory, and waits
   only when Redis is too far behind (``streaming/state/view_writer.py``). A stage without a view has nothing to apply.

While a batch is decided and committed, the next one is gathered and computed (``streaming/committer.py``), on what the
one before changes in memory. It leaves the process only once the one before is committed, and is void if that fails,
whichever units it is of. No unit begins and none is let go of while a commit is under way.

Whatever goes wrong, units are forgotten and begin again (``streaming/units.py``).

Delivery: exactly once, where outputs and offsets are one Kafka transaction. Each input position has one output, and
changes the view once. Where the output is a write that may be repeated, as the decision index's, at least once with the
same bytes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from weir.infra.kafka.source import IDLE_SECONDS, Gathered, Partition, PartitionedInput
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient, WeirError
from weir.streaming.committer import Batch, Committer, Output
from weir.streaming.metering import meter_batch, meter_turn
from weir.streaming.stage import Committed, Outcome, Stage, do_nothing
from weir.streaming.state.cache import StaleState
from weir.streaming.state.view_writer import BEHIND_RECORDS_MAX, Write
from weir.streaming.unit_state import UnitState
from weir.streaming.units import Units

BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
AWAY_SECONDS_MAX = 900.0
"""A dependency that stays away this long ends the process: its supervisor should see it."""
CALM_SECONDS = 30.0
"""A failure after so long without one is not the same trouble as the one before it."""

log = get_logger(__name__)


@dataclass(frozen=True)
class LoopConfig:
    """Names, sizes and hooks of a loop.

    Attributes:
        name: of the stage, for metrics.
        between: called between two commits, when nothing is being decided; may say that a unit's state is stale.
        on_step: called at each numbered step; tests stop the process there.
    """

    name: str
    batch_records_max: int
    linger_seconds: float
    between: Callable[[], object] = do_nothing
    on_step: Callable[[str], None] = do_nothing
    sleep: Callable[[float], None] = field(default=time.sleep)
    monotonic: Callable[[], float] = field(default=time.monotonic)


class Loop:
    """Runs stages over the units that the consumer group assigns to this process."""

    def __init__(
        self,
        config: LoopConfig,
        stages: Sequence[Stage],
        source: PartitionedInput,
        state: UnitState,
        output: Output,
    ) -> None:
        """Bind to ports; nothing is read before ``run``.

        Args:
            config: names and sizes.
            stages: whose inputs are read, all in one group.
            source: of their records, not subscribed yet.
            state: what is held of units; it knows what the stages do with records.
            output: where batches are committed.
        """
        self._config = config
        self._source = source
        self._state = state
        self._committer = Committer(output, state, name=config.name, on_step=config.on_step)
        self._units = Units(
            stages,
            source,
            state,
            self._committer.wait,
            name=config.name,
            on_step=config.on_step,
            monotonic=config.monotonic,
        )
        self._failures = 0
        self._failed_at = 0.0
        self._away_since: float | None = None

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Work until told to stop, then finish what is on its way.

        Raises:
            WeirError: what a new beginning of units cannot fix; the process must end and start again.
        """
        with closing(self._committer):
            self._run(should_stop)

    def _run(self, should_stop: Callable[[], bool]) -> None:
        self._units.subscribe()
        while not should_stop():
            meter_turn(self._config.name)
            try:
                self._turn()
                if self._is_calm():
                    self._forget_failures()
            except Transient as error:
                if isinstance(error, StaleState):
                    # a unit may have lent partials only: without records of its own nobody else would find out
                    self._units.forget(error.units)
                self._back_off(error)
        with suppress(Transient):  # said in the log; the next process begins at what is committed
            self._finish()
        self._units.settle(None)

    def _turn(self) -> None:
        """One batch, and one step of a unit that begins.

        The batch comes first: a unit that cannot begin keeps neither the others' records nor the group waiting.
        """
        self._units.settle(None, behind_max=BEHIND_RECORDS_MAX)
        if self._committer.batch is None:
            self._config.between()
        self._state.tidy()
        is_beginning = self._units.is_beginning
        gathered = self._source.gather(
            self._config.batch_records_max,
            timeout_seconds=0.0 if is_beginning else IDLE_SECONDS,
            linger_seconds=0.0 if is_beginning else self._config.linger_seconds,
        )
        if gathered.dropped:
            metrics.MISPLACED_RECORDS.labels(stage=self._config.name).inc(gathered.dropped)
        if gathered.records:
            self._batch(gathered)
        is_due = self._units.is_beginning
        if is_due or not gathered.records:
            self._finish()  # a unit begins at what is committed: of a batch under way nobody knows that yet
        self._units.observe()
        self._state.check(list(self._units.live))
        if is_due:
            self._units.begin_next()

    def _batch(self, gathered: Gathered) -> None:
        self._step("gathered")  # 1
        started = time.perf_counter()
        involved = [self._units.unit(partition) for partition in gathered.records]
        try:
            if not all(self._units.live[unit].has_committed for unit in involved):
                # what ends its reader is found by where starts end: each commits a batch, or ends in its first one
                self._finish()
            outcomes = self._state.process(gathered, self._units.live)  # 2, 3
            self._step("computed")
            if any(outcome.then is not None for outcome in outcomes):
                self._state.note_computed(involved)
            if self._committer.batch is not None:
                self._step("ahead")
                self._finish()
                self._config.between()
            batch = Batch(gathered, outcomes, self._build_writes(gathered, outcomes), started)
            self._committer.send(batch)  # 4, and then 5
        except Transient:
            # nothing of this batch is visible; its records and what was read for them are void
            self._units.forget(involved)
            raise
        self._continue_from(batch)

    def _build_writes(self, gathered: Gathered, outcomes: Sequence[Outcome]) -> dict[Partition, Write]:
        changed = {unit: parts for outcome in outcomes for unit, parts in outcome.changed.items()}
        mixed = {unit for outcome in outcomes for unit in outcome.mixed}
        writes = {}
        for partition, records in gathered.records.items():
            unit = self._units.unit(partition)
            start, end = self._units.live[unit].next_offset, records[-1].offset() + 1
            writes[partition] = Write(unit, start, end, changed.get(unit, []), unit in mixed)
        return writes

    def _continue_from(self, batch: Batch) -> None:
        """Have the next batch gathered after this one and computed on it, though its commit may still fail."""
        self._state.pin(list(batch.writes.values()))
        for write in batch.writes.values():
            self._units.advance(write.unit, write.end)

    def _finish(self) -> None:
        """Take the outcome of the commit under way, if there is one.

        Raises:
            Transient: nothing of it is visible, and whatever was made on top of it is void.
        """
        if (batch := self._committer.batch) is None:
            return
        try:
            committed = self._committer.take()
        except Transient:
            self._units.forget(batch.units)
            raise
        self._forget_failures()
        self._units.note_committed(batch.units)
        self._observe(batch, committed)

    def _forget_failures(self) -> None:
        """Begin the back-off again: something was committed, or nothing failed for a while."""
        self._failures, self._away_since = 0, None

    def _step(self, name: str) -> None:
        self._config.on_step(name)

    def _is_calm(self) -> bool:
        """True when a quiet input has had no failure for a while."""
        return self._away_since is not None and self._config.monotonic() - self._failed_at > CALM_SECONDS

    def _back_off(self, error: Transient) -> None:
        now = self._failed_at = self._config.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > AWAY_SECONDS_MAX:
            raise WeirError(f"gave up after {AWAY_SECONDS_MAX:.0f} s: {error}") from error
        pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)] * random.uniform(0.5, 1.5)
        self._failures += 1
        log.warning("retrying", error=str(error), attempt=self._failures, retry_seconds=round(pause, 3))
        self._config.sleep(pause)

    def _observe(self, batch: Batch, committed: Committed) -> None:
        meter_batch(self._config.name, batch.gathered, batch.outcomes, committed.seconds, self._find_end)
        self._state.observe(batch.gathered, batch.outcomes, committed.at_ms)
        for outcome in batch.outcomes:
            outcome.on_committed(committed)

    def _find_end(self, partition: Partition) -> int | None:
        """Return the end of a partition's log, if it is known; of one that is no longer ours nothing is said."""
        is_ours = self._units.unit(partition) in self._units.live
        return self._source.end_offset_cached(partition) if is_ours else None
