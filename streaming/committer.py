"""Step 4 of the loop: one batch's commit, under way while the loop's thread makes the next one.

The loop's thread begins the transaction and hands over what is computed: feature rows, dead letters, offsets. A thread
of its own does the rest while the loop's makes the next batch: what is left to make of the rows (``weir run`` decides
them there), then the wait for deliveries, for the offsets' answer and for the end of the transaction. As soon as it has
ended well, that thread hands the batch's writes to step 5.

One batch is under way at a time. ``send`` may be called once ``take`` has given the outcome of the one before, so
nothing of a batch leaves the process before the one below it is committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from weir.infra.kafka.sink import Aborted, Offsets, Record, Rows
from weir.infra.kafka.source import Gathered, Partition
from weir.infra.redis.unit import Unit
from weir.monitoring import metrics
from weir.streaming.metering import meter_outcome
from weir.streaming.stage import Committed, Outcome
from weir.streaming.state.view_writer import Write
from weir.streaming.unit_state import UnitState


class Output(Protocol):
    """Where a batch is committed.

    Attributes:
        transactional: whether outputs and offsets become visible together.
    """

    transactional: bool

    def send(self, rows: Iterable[Rows], records: Iterable[Record], offsets: Offsets) -> None:
        """Put outputs and offsets on their way.

        Args:
            rows: in turn.
            records: besides.
            offsets: of the inputs.

        Raises:
            Transient: nothing of it counts.
        """
        ...

    def finish(self, rows: Iterable[Rows]) -> None:
        """Commit what was sent, and more; called in another thread.

        Args:
            rows: taken once: they are made while the first are on their way.

        Raises:
            Transient: nothing of it counts.
        """
        ...


@dataclass
class Batch:
    """Gathered records, what came of them, and where that moves their units.

    Attributes:
        started: when they were gathered, by ``time.perf_counter``.
        sent: when its commit began, likewise.
    """

    gathered: Gathered
    outcomes: Sequence[Outcome]
    writes: dict[Partition, Write]
    started: float
    sent: float = 0.0

    @property
    def units(self) -> list[Unit]:
        """Return the units whose records it has."""
        return [write.unit for write in self.writes.values()]


class Committer:
    """Commits batches, one at a time."""

    def __init__(self, output: Output, state: UnitState, *, name: str, on_step: Callable[[str], None]) -> None:
        """Bind to ports; the thread starts with the first batch.

        Args:
            output: where batches are committed.
            state: is given the writes of what is committed.
            name: of the loop, for metrics.
            on_step: called at each numbered step, also from the committer's thread.
        """
        self._output = output
        self._state = state
        self._name = name
        self._step = on_step
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._under_way: tuple[Batch, Future[Committed]] | None = None

    @property
    def batch(self) -> Batch | None:
        """Return the batch whose outcome was not taken yet."""
        return self._under_way[0] if self._under_way else None

    def send(self, batch: Batch) -> None:
        """Begin a batch's commit; the outcome of the one before was taken.

        Raises:
            Transient: nothing of it counts.
        """
        assert self._under_way is None, "the outcome of the batch before was not taken; a bug of the caller"
        ends = {partition: write.end for partition, write in batch.writes.items()}
        notes = {partition: self._state.note(write) for partition, write in batch.writes.items()}
        self._step("committing")
        batch.sent = time.perf_counter()
        with self._counting_aborts():
            self._output.send(
                [rows for outcome in batch.outcomes for rows in outcome.rows],
                [record for outcome in batch.outcomes for record in (*outcome.dead, *outcome.forwarded)],
                Offsets(ends, notes, batch.gathered.metadata),
            )
        self._under_way = batch, self._thread.submit(self._finish, batch)

    def wait(self) -> None:
        """Wait until the commit under way has ended; its outcome is taken later."""
        if self._under_way:
            wait([self._under_way[1]])

    def take(self) -> Committed:
        """Wait likewise, and take the outcome.

        Raises:
            Transient: nothing of it counts.
        """
        assert self._under_way is not None, "no commit is under way; a bug of the caller"
        (batch, ended), self._under_way = self._under_way, None
        with self._counting_aborts():
            committed = ended.result()
        self._meter(batch, committed)
        return committed

    def close(self) -> None:
        """Wait for the commit under way and end the thread."""
        self._thread.shutdown(wait=True)

    def _finish(self, batch: Batch) -> Committed:
        """Make what is left, commit, and hand over to step 5: none of it waits until the loop's thread has time."""
        self._output.finish(self._complete(batch.outcomes))
        self._step("committed")
        committed = Committed(
            time.perf_counter() - batch.started, time.perf_counter() - batch.sent, time.time() * 1_000
        )
        self._state.apply(list(batch.writes.values()))
        return committed

    def _complete(self, outcomes: Sequence[Outcome]) -> Iterator[Rows]:
        """Make more of what was computed, where a stage wants that."""
        completed = [outcome.complete() for outcome in outcomes if outcome.then is not None]
        if completed:
            self._step("decided")
        yield from completed

    @contextmanager
    def _counting_aborts(self) -> Iterator[None]:
        try:
            yield
        except Aborted:
            metrics.KAFKA_TRANSACTIONS_ABORTED.labels(stage=self._name, cause="kafka").inc()
            raise

    def _meter(self, batch: Batch, committed: Committed) -> None:
        seconds = committed.commit_seconds - sum(outcome.completing_seconds for outcome in batch.outcomes)
        metrics.STAGE_SECONDS.labels(stage=self._name, step="commit").observe(seconds)
        if self._output.transactional:
            metrics.KAFKA_TRANSACTIONS_COMMITTED.labels(stage=self._name).inc()
        for outcome in batch.outcomes:
            meter_outcome(outcome)
