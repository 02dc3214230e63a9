"""Step 5: the writes to Redis, on threads of their own so that they overlap the loop's next batches.

Units know nothing of each other, so two are written at a time: one is packed while the server executes the other. Of
one unit a single write is under way. What is committed meanwhile waits, and is then written as one: a Redis that is
slow for a while gets fewer and larger writes, and nobody waits for it before ``BEHIND_RECORDS_MAX``.

Delivery: exactly once. A write whose reply was lost is asked again, and the view answers ``same``.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from weir.infra.redis.state_view import Applied, StateView
from weir.infra.redis.unit import Unit
from weir.monitoring import metrics
from weir.schemas.errors import Transient
from weir.streaming.state.outage import Outage
from weir.streaming.state.queries import Changed, encode_known, name_keys

RETRY_SECONDS_MAX = 20.0
"""For all writes together: who waits for them must poll Kafka again within ``max.poll.interval.ms`` (300 s).

After this their units are forgotten and caught up once Redis is back: the log has everything.
"""
BEHIND_RECORDS_MAX = 100_000
"""So far the view may be behind: some two seconds of folding for the next owner, and what memory has to pin."""
WRITE_RECORDS_MAX = 20_000
"""Of what waits, so much is written as one: other clients wait while the server executes it."""
SWEEP_EVERY_SECONDS = 0.5
_WRITES_AT_ONCE = 2
"""More would only take the interpreter from the loop's own thread."""
_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Write:
    """One unit's part of a committed batch: input offsets ``[start, end)`` and what they changed.

    Attributes:
        is_mixed: a key was counted that belongs in another partition.
        erasures: of the unit, when what they changed was read.
    """

    unit: Unit
    start: int
    end: int
    changed: list[Changed]
    is_mixed: bool = False
    erasures: int = 0

    @property
    def records(self) -> int:
        """Return how many input offsets it moves over."""
        return self.end - self.start


class ViewWriter:
    """Applies what was committed in the background, each unit's writes in order."""

    def __init__(self, view: StateView, entities: Sequence[str]) -> None:
        """Bind to a view and the stream's entities, in order; the threads start with the first write."""
        self._view = view
        self._entities = entities
        self._pool = ThreadPoolExecutor(max_workers=_WRITES_AT_ONCE, thread_name_prefix="apply")
        self._changed = threading.Condition()
        self._waiting: dict[Unit, list[Write]] = {}
        self._busy: set[Unit] = set()
        self._ended: list[tuple[Write, Applied | Transient]] = []
        self._failed: BaseException | None = None
        self._records_behind = 0
        self._away_since: float | None = None
        self._outage = Outage()
        self._stopping = False
        self._sweep: Iterator[int] | None = None
        self._sweeping: Future[None] | None = None
        self._sweep_at = time.monotonic() + SWEEP_EVERY_SECONDS

    def submit(self, writes: Sequence[Write]) -> None:
        """Start to apply a batch; may be called from any thread, in the order of the commits."""
        with self._changed:
            for write in writes:
                self._waiting.setdefault(write.unit, []).append(write)
                self._records_behind += write.records
                if write.unit not in self._busy:
                    self._busy.add(write.unit)
                    self._pool.submit(self._apply_next, write.unit)

    def collect(
        self, timeout_seconds: float | None = None, *, behind_max: int = 0
    ) -> list[tuple[Write, Applied | Transient]]:
        """Wait until at most so many records are on their way; return the outcome of every write that has ended.

        Raises:
            TimeoutError: more are still on their way.
        """
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._failed is not None or self._records_behind <= behind_max, timeout_seconds
            )
            if self._failed is not None:
                raise self._failed
            if not ready:
                raise TimeoutError
            ended, self._ended = self._ended, []
        return ended

    def sweep(self) -> None:
        """Start one step of the round that sets TTLs, if it is due."""
        now = time.monotonic()
        if now < self._sweep_at:
            return
        if self._sweeping is not None:
            if not self._sweeping.done():
                return
            self._sweeping.result()  # raises what should not have happened
        self._sweep_at = now + SWEEP_EVERY_SECONDS
        self._sweeping = self._pool.submit(self._sweep_once)

    def close(self) -> None:
        """Stop retrying, leave what waits behind a write of its unit, and end the threads."""
        with self._changed:
            self._stopping = True
        self._pool.shutdown(wait=True)
        with self._changed:  # nobody writes what is left: who waits for it would wait in vain
            self._waiting.clear()
            self._records_behind = 0
            self._changed.notify_all()

    def _apply_next(self, unit: Unit) -> None:
        with self._changed:
            write = _merge(self._take(unit))
        try:
            outcome = self._apply(write)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that collects, which raises it
            with self._changed:
                self._failed = error
                self._changed.notify_all()
            return
        with self._changed:
            self._ended.append((write, outcome))
            self._records_behind -= write.records
            if isinstance(outcome, Transient) or not outcome.done:
                # what waits was made on top of this; its unit is caught up, and that writes it
                self._records_behind -= sum(left.records for left in self._waiting.pop(unit, []))
            if unit in self._waiting and not self._stopping:
                self._pool.submit(self._apply_next, unit)  # after the units that wait for a thread
            else:
                self._busy.discard(unit)
            if not self._records_behind:
                self._away_since = None
            self._changed.notify_all()

    def _take(self, unit: Unit) -> list[Write]:
        """Remove from what waits of a unit as much as is written as one, at least one."""
        waiting, records, taken = self._waiting[unit], 0, 0
        while taken < len(waiting) and (not taken or records + waiting[taken].records <= WRITE_RECORDS_MAX):
            records += waiting[taken].records
            taken += 1
        if taken == len(waiting):
            return self._waiting.pop(unit)
        self._waiting[unit] = waiting[taken:]
        return waiting[:taken]

    def _apply(self, write: Write) -> Applied | Transient:
        """Apply one write, asking again while no answer comes; ``Transient`` when none came within the bound."""
        keys = [key for part in write.changed for key in name_keys(part.entity, part.ids)]
        partials = [partial for part in write.changed for partial in part.partials]
        known = b"".join(encode_known(self._entities, part.entity, part.new) for part in write.changed)
        attempt, begun = 0, time.monotonic()
        if self._is_too_long_since(begun):
            return Transient("redis: not tried, no write before it was answered for too long")
        while True:
            try:
                with metrics.REDIS_SECONDS.labels(operation="apply").time():
                    applied = self._view.apply(
                        write.unit,
                        start=write.start,
                        end=write.end,
                        keys=keys,
                        partials=partials,
                        known=known,
                        is_mixed=write.is_mixed,
                        erasures=write.erasures,
                    )
            except Transient as error:
                metrics.DEPENDENCY_RETRIES.labels(dependency="redis").inc()
                self._away_since = self._away_since or begun
                self._outage.note_failure(write.unit, error.cause, error)
                if self._stopping or self._is_too_long_since(begun):
                    self._outage.give_up(write.unit)
                    return error
                pause = _BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)]
                time.sleep(pause * random.uniform(0.5, 1.5))
                attempt += 1
            else:
                self._away_since = None
                self._outage.note_success(write.unit)
                return applied

    def _is_too_long_since(self, begun: float) -> bool:
        """True when nothing is tried any more: for a write ``begun`` then, or since the first that had no answer."""
        since = begun if self._away_since is None else min(begun, self._away_since)
        return time.monotonic() - since > RETRY_SECONDS_MAX

    def _sweep_once(self) -> None:
        try:
            if self._sweep is None:
                self._sweep = self._view.sweep()
            if next(self._sweep, None) is None:
                self._sweep = None
        except Transient:
            self._sweep = None  # only garbage collection: the next round does it


def _merge(writes: list[Write]) -> Write:
    """Put consecutive writes of a unit together; of a key that is in several the last value counts, being set last."""
    first, last = writes[0], writes[-1]
    changed = [part for write in writes for part in write.changed]
    is_mixed = any(write.is_mixed for write in writes)
    return Write(first.unit, first.start, last.end, changed, is_mixed, first.erasures)
