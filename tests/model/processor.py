"""``streaming/loop.py``, ``units.py`` and ``catch_up.py`` of the model."""

from __future__ import annotations

from collections.abc import Generator

from tests.model.applier import ViewWriter
from tests.model.partials import Store
from tests.model.world import (
    RECORDS,
    Batch,
    Copy,
    Fenced,
    Guard,
    Partials,
    Record,
    Steps,
    Transient,
    World,
    Write,
    fold,
)

BATCH_RECORDS_MAX = 3
BEHIND_RECORDS_MAX = 12


class Process:
    """``streaming.loop.Loop`` over folding stages, with its threads."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.epoch = world.join(number)
        self.generation = 0
        self.is_assigned = False
        self.waits = False
        self.next_offset: int | None = None
        self.store = Store(world)
        self.applier = ViewWriter(world)
        self.under_way: Batch | None = None
        self.committer = self._commit_each()
        self.catching: Generator[bool, None, None] | None = None
        self.catching_applier: ViewWriter | None = None
        self.has_ended = False
        self.main = self._run()

    def step(self) -> None:
        """Let one thread run to where another may."""
        appliers = [applier.thread for applier in (self.applier, self.catching_applier) if applier]
        main, applying = self.world.haste
        threads = [self.main, self.committer] * main + appliers * applying
        try:
            next(self.world.rng.choice(threads))
        except Fenced:
            self.die()

    def die(self) -> None:
        self.has_ended = True
        for applier in (self.applier, self.catching_applier):
            if applier is not None:
                applier.die()

    @property
    def is_at_rest(self) -> bool:
        busy = self.applier.records_behind or self.applier.ended or self.waits or self.catching or self.under_way
        return not busy and self.next_offset == RECORDS == self.world.redis.position == self.world.committed

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _run(self) -> Steps:
        while True:
            try:
                yield from self._turn()
            except Transient:
                yield

    def _turn(self) -> Steps:
        while self.applier.records_behind > BEHIND_RECORDS_MAX:
            yield
        self._collect()
        if self.world.rng.random() < 0.5:
            self.store.trim()
        yield
        yield from self._poll()
        if self.next_offset is not None and self.next_offset < RECORDS:
            end = min(RECORDS, self.next_offset + self.world.rng.randint(1, BATCH_RECORDS_MAX))
            yield from self._batch(Batch(self.number, self.next_offset, end, self.generation))
        elif self.next_offset is not None:
            yield from self._finish()
        if self.next_offset is not None and self.world.rng.random() < 0.05:
            yield from self._look_at_view()
        yield from self._advance_catch_up()

    def _batch(self, batch: Batch) -> Steps:
        try:
            yield from self._compute(batch)
            self.world.met["computed while a commit is under way"] += self.under_way is not None
            yield from self._finish()
        except Transient:
            self._forget_live()
            raise
        yield from self._send(batch)

    def _compute(self, batch: Batch) -> Steps:
        records = self.world.log[batch.start : batch.end]
        partials = yield from self.store.read(records)
        for record in records:
            verdict = batch.verdicts[record.offset] = self._judge(record, partials)
            if verdict == "row":
                fold(partials, record)
                batch.changed |= {entity: partials[entity] for entity in record.entities}
        if self.world.has(Guard.PIN_BEFORE_COMMIT):
            self.store.keep(batch.changed)
        yield

    def _judge(self, record: Record, partials: Partials) -> str:
        if record.heals_at is None or self.world.clock < record.heals_at:
            return "dead"
        counted = {self.world.log[offset].transaction for offset in partials["card", record.card]}
        return "duplicate" if record.transaction in counted else "row"

    def _send(self, batch: Batch) -> Steps:
        """Begin step 4, and continue from what it will be.

        Nothing polls between it and the gather, but without the guard a stalled member joins again here.
        """
        if not self.world.has(Guard.METADATA_AT_GATHER):
            yield from self._poll()
            batch.generation = self.generation
        self.under_way = batch
        if self.next_offset is not None:  # a poll, which without the guard there is, may have let go of the partition
            if self.world.has(Guard.PIN_BEFORE_COMMIT):
                self.store.pin(batch.end)
            self.next_offset = batch.end
        yield

    def _commit_each(self) -> Steps:
        """Steps 4 and 5 in the committer's thread, which leaves the outcome to the loop's."""
        while True:
            while self.under_way is None or self.under_way.has_ended:
                yield
            batch = self.under_way
            try:
                yield
                self.world.send_offsets(batch, epoch=self.epoch)
                yield
                self.world.end_transaction(batch)
                yield
                self.applier.submit(Write(batch.start, batch.end, batch.changed))
            except (Transient, Fenced) as error:
                batch.failed = error
            batch.has_ended = True

    def _finish(self) -> Steps:
        """Take the outcome of the commit under way."""
        yield from self._await_commit()
        batch, self.under_way = self.under_way, None
        if batch is None:
            return
        if batch.failed is None:
            if not self.world.has(Guard.PIN_BEFORE_COMMIT) and self.next_offset is not None:
                self.store.keep(batch.changed)
                self.store.pin(batch.end)
            return
        if isinstance(batch.failed, Fenced) or self.world.has(Guard.VOID_AFTER_ABORT):
            self._forget_live()
            raise batch.failed

    def _await_commit(self) -> Steps:
        while self.under_way is not None and not self.under_way.has_ended:
            yield

    def _collect(self) -> None:
        ended, self.applier.ended = self.applier.ended, []
        for write, done in ended:
            if done:
                self.store.confirm(write.end)
            else:
                self._forget_live()
                self.store.forget()

    def _look_at_view(self) -> Steps:
        yield
        try:
            self.store.check()
        except Transient:
            self._forget_live()
            raise

    # --- the two verbs -----------------------------------------------------------------------------------------------

    def _forget_live(self) -> None:
        if self.next_offset is not None:
            self.next_offset, self.waits = None, True
            self.store.forget()

    def _advance_catch_up(self) -> Steps:
        if self.catching is None:
            if not self.waits:
                return
            if self.world.has(Guard.FINISH_BEFORE_CATCH_UP):
                yield from self._finish()
            if self.world.has(Guard.LAND_BEFORE_CATCH_UP):
                while self.applier.records_behind:
                    yield
                self._collect()
            self.catching = self._catch_up()
        if self.world.rng.random() < 0.5:
            self.store.trim()
        try:
            for is_chunk in self.catching:
                if is_chunk:
                    return
                yield
        except Transient:
            self._close_catch_up()
            self.store.forget()
            raise
        self._close_catch_up()
        self.waits = False

    def _close_catch_up(self) -> None:
        if self.catching_applier is not None:
            self.catching_applier.die()
        self.catching = self.catching_applier = None

    def _catch_up(self) -> Generator[bool, None, None]:
        """Bring the view up to what is committed; yields True where a chunk ends and the loop continues."""
        yield False
        while self.world.pending:  # the group's own read_committed consumer waits for them
            yield False
        committed = self.world.committed  # a
        yield False
        position = self.world.redis.position  # b
        born_empty = position is None
        if position is None:
            yield False
            if self.world.redis.position is not None:
                raise Transient
            position = 0
            self.world.past.append(Copy(position, {}))
        if position > committed:
            raise Transient
        self.store.own(position, born_empty=born_empty)
        self.catching_applier = applier = ViewWriter(self.world)
        while position < committed:
            end = min(committed, position + self.world.rng.randint(1, BATCH_RECORDS_MAX))
            changed: Partials = {}
            for _ in self._fold_again(self.world.log[position:end], changed):  # c, d
                yield False
            for _ in self._await_write(applier):
                yield False
            self.store.pin(end)
            yield True
            applier.submit(Write(position, end, changed))
            position = end
        for _ in self._await_write(applier):
            yield False
        self.next_offset = committed  # e

    def _fold_again(self, records: list[Record], changed: Partials) -> Steps:
        if not self.store.is_owned:
            self.world.judge_wrong(f"what begins at {records[0].offset} is folded though the unit was forgotten")
        partials = yield from self.store.read(records)
        for record in records:
            if self.world.has(Guard.VERDICT_READ_BACK):
                counts = "row" in self.world.outputs[record.offset]
            else:
                counts = self._judge(record, partials) == "row"
            if counts:
                fold(partials, record)
                changed |= {entity: partials[entity] for entity in record.entities}
        self.store.keep(changed)

    def _await_write(self, applier: ViewWriter) -> Steps:
        while applier.records_behind:
            yield
        ended, applier.ended = applier.ended, []
        for write, done in ended:
            if not done:
                raise Transient
            self.store.confirm(write.end)

    # --- the group ---------------------------------------------------------------------------------------------------

    def _poll(self) -> Steps:
        """Hear what the group decided, and let go or take over."""
        if self.world.epochs[self.number] != self.epoch:
            raise Fenced
        if self.is_assigned and self.world.owner == self.number and self.world.leaving_for is not None:
            yield from self._revoked(lost=False)
            if self.world.leaving_for is not None:
                self.world.assign(self.world.leaving_for)
        if self.is_assigned and (self.world.owner != self.number or self.number in self.world.lost):
            yield from self._revoked(lost=True)
        self.world.lost.discard(self.number)
        self.generation = self.world.generation
        if self.world.owner == self.number and not self.is_assigned:
            self.is_assigned = self.waits = True

    def _revoked(self, *, lost: bool) -> Steps:
        yield from self._await_commit()
        if not lost:
            for _ in range(self.world.rng.randrange(20)):  # bounded
                if self.applier.records_behind:
                    yield
            self._collect()
        self.next_offset, self.is_assigned, self.waits = None, False, False
        self.store.forget()
        self._close_catch_up()
