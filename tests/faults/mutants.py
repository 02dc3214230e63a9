"""The guards of the protocol, each with a way to switch it off in a worker. A run without one of them must go red."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.faults.patch import replace
from tests.faults.table import Result
from weir.infra.kafka import tail
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.sink import Aborted
from weir.infra.kafka.source import Gathered, Partition, PartitionedInput
from weir.infra.redis.state_view import Applied, StateView
from weir.infra.redis.unit import Position, Unit
from weir.streaming.committer import Batch, Committer
from weir.streaming.event_stage import EventStage, _list_known, _unpack
from weir.streaming.kernels import shipped_kernel
from weir.streaming.loop import Loop
from weir.streaming.stage import Committed, Refolded
from weir.streaming.state import catch_up
from weir.streaming.state.arrangement import sort_by_unit
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.folded import FoldedState
from weir.streaming.state.memory import Memory
from weir.streaming.state.queries import BatchQuery, Changed, list_units
from weir.streaming.state.view_writer import Write

REJOIN_SECONDS_MAX, STALL_SECONDS = 15.0, 3.0
BACK_RECORDS = 300


def _unpin() -> None:
    """What a batch changed is evicted at once, and read again while its write is under way."""
    pin = PartialStore.pin

    def pin_and_evict(store: PartialStore, unit: Unit, end: int, changed: list[Changed], **named: Any) -> None:
        pin(store, unit, end, changed, **named)
        store._memory._young, store._memory._old = {}, {}
        store._memory._born_empty = dict.fromkeys(store._memory._born_empty, False)

    replace(PartialStore, pin=pin_and_evict)


def _read_anywhere() -> None:
    """A read counts at whatever position Redis is."""
    replace(PartialStore, _check=lambda *_: None)


def _accept_absent() -> None:
    """A unit that Redis does not know is written all the same."""
    apply = StateView.apply

    def apply_anyway(view: StateView, unit: Unit, *, start: int, end: int, **named: Any) -> Applied:
        answer = apply(view, unit, start=start, end=end, **named)
        if answer.found != "absent":
            return answer
        view.claim(unit, Position(start))
        return apply(view, unit, start=start, end=end, **named)

    replace(StateView, apply=apply_anyway)


def _remember() -> None:
    """Nothing is forgotten: partials in memory outlive whatever made them doubtful."""
    own = Memory.own

    def own_with_old_values(memory: Memory, unit: Unit, *, born_empty: bool) -> None:
        if unit in memory:
            memory._born_empty[unit] = False
        else:
            own(memory, unit, born_empty=born_empty)

    replace(PartialStore, forget=lambda *_: None)
    replace(Memory, own=own_with_old_values)


def _judge_again() -> None:
    """Catch-up does not ask the dead letters, and judges each record by what it knows now."""

    def fold_by_own_judgement(stage: EventStage, partition: int, records: list[Any], store: PartialStore) -> Refolded:
        decoded, unit = stage._decode(records), Unit("t", partition)
        entities = decoded.events.entities
        states = store.read_batch([BatchQuery(entity, index) for entity, index in entities.items()]).states
        folded = shipped_kernel().step_packed(decoded.events, states)[1]
        store.keep("t", entities, folded)
        changed = sort_by_unit("t", entities, _list_known(states), _unpack(folded)).get(unit, [])
        return Refolded(changed, is_mixed=False)

    read_verdicts = catch_up._read_verdicts

    def of_labels_alone(context: Any, stage: Any, unit: Unit, start: int) -> Generator[None, None, set[int]]:
        # a label that is a dead letter cannot be decoded: without its verdict a start is refused, which shows less
        return (yield from read_verdicts(context, stage, unit, start)) if unit.kind == "l" else set()

    replace(catch_up, _read_verdicts=of_labels_alone)
    replace(EventStage, fold_again=fold_by_own_judgement)


def _late_metadata() -> None:
    """Group metadata are those of the commit, after polls that let a stalled member join again, not of the gather."""
    gather, send, continue_from = PartitionedInput.gather, Committer.send, Loop._continue_from
    gathered_at = [0.0]
    owners: dict[Partition, Any] = {}

    def gather_and_note(source: PartitionedInput, max_records: int, **seconds: float) -> Gathered:
        gathered = gather(source, max_records, **seconds)
        gathered_at[0] = time.monotonic()
        owners.clear()
        owners.update({partition: source._members.owner(partition) for partition in gathered.records})
        return gathered

    def send_with_fresh_metadata(committer: Committer, batch: Batch) -> None:
        # only after a stall: a poll at any other time would lose the records that it hands out
        if time.monotonic() - gathered_at[0] > STALL_SECONDS:
            of_now = {}
            for consumer in set(owners.values()):
                _poll_until(lambda: not consumer.assignment(), consumer)  # noqa: B023 - called before the next
                _poll_until(lambda: bool(consumer.assignment()), consumer)  # noqa: B023
                of_now[consumer] = consumer.consumer_group_metadata()
            batch.gathered.metadata.update({partition: of_now[owner] for partition, owner in owners.items()})
        send(committer, batch)

    def continue_with_what_is_live(loop: Loop, batch: Batch) -> None:
        # others were let go of by these polls, which the processor itself does not know of
        live = {partition: write for partition, write in batch.writes.items() if write.unit in loop._units.live}
        continue_from(loop, dataclasses.replace(batch, writes=live))

    replace(PartitionedInput, gather=gather_and_note)
    replace(Committer, send=send_with_fresh_metadata)
    replace(Loop, _continue_from=continue_with_what_is_live)


def _poll_until(condition: Callable[[], bool], consumer: Any) -> None:
    deadline = time.monotonic() + REJOIN_SECONDS_MAX
    while not condition() and time.monotonic() < deadline:
        consumer.poll(0.1)


def _keep_what_is_void() -> None:
    """A batch is committed though the one that it was computed on was aborted."""
    take = Committer.take

    def take_as_committed(committer: Committer) -> Committed:
        try:
            return take(committer)
        except Aborted:
            return Committed(0.0, 0.0, 0.0)

    replace(Committer, take=take_as_committed)


def _pin_late() -> None:
    """The next batch is computed without what the one under way changed."""
    pin, observe, process, keep = FoldedState.pin, FoldedState.observe, FoldedState.process, PartialStore.keep
    held: list[Sequence[Write]] = []
    kept: list[tuple[PartialStore, Any]] = []
    is_processing = [False]

    def process_and_say(state: FoldedState, *given: Any) -> Any:
        is_processing[0] = True
        try:
            return process(state, *given)
        finally:
            is_processing[0] = False

    def keep_later(store: PartialStore, *given: Any) -> None:
        if is_processing[0]:
            kept.append((store, given))
        else:
            keep(store, *given)

    def pin_before(state: FoldedState, *given: Any) -> None:
        for store, (kind, entities, partials) in kept:
            units = {unit for index in entities.values() for unit in list_units(kind, index)}
            if units <= state._applied.keys():
                keep(store, kind, entities, partials)
        kept.clear()
        for writes in held:
            pin(state, [write for write in writes if write.unit in state._applied])
        held.clear()
        observe(state, *given)

    replace(PartialStore, keep=keep_later)
    replace(FoldedState, pin=lambda _, writes: held.append(writes), observe=pin_before, process=process_and_say)


def _go_back() -> None:
    """A unit continues some way below what is committed."""
    resume = PartitionedInput.resume

    def resume_below(source: PartitionedInput, partition: Partition, offset: int) -> None:
        resume(source, partition, max(0, offset - BACK_RECORDS))

    replace(PartitionedInput, resume=resume_below)


def _archive_anyway() -> None:
    """An archiver does not ask whether the positions are still those that it knows."""
    from weir.archive.table import ArchiveTable  # noqa: PLC0415 - see ``worker.py``

    replace(ArchiveTable, _check_positions=lambda *_: None)


def _believe_the_error() -> None:
    """A commit that failed is taken for one that was not made."""
    from weir.archive.table import ArchiveTable  # noqa: PLC0415

    def forget_and_take_over(table: Any) -> bool:
        if table._doubtful:
            table.look()
            table.begin(list(table._known))
        table._doubtful = []
        return False

    replace(ArchiveTable, _has_landed=forget_and_take_over)


def _advance_first() -> None:
    """How far decisions are read is kept before their cases are."""
    from weir.cases.intake import Intake  # noqa: PLC0415

    take = Intake.take

    def advance_and_take(intake: Any, reviews: Any, ends: Any, on_step: Any) -> int:
        take(intake, [], ends)
        return take(intake, reviews, ends, on_step)

    replace(Intake, take=advance_and_take)


def _read_uncommitted() -> None:
    """An API takes what is in an open transaction for a decision."""
    replace(tail, build_consumer=partial(build_consumer, isolation_level="read_uncommitted"))


@dataclass(frozen=True)
class Mutant:
    """A guard, how to switch it off, and the fault that must show it."""

    switch_off: Callable[[], None]
    fault: str
    why: str


MUTANTS: dict[str, Mutant] = {
    "pin": Mutant(_unpin, "tiny-cache-slow-redis", "evicted in flight and read again, a partial is stale"),
    "read-with-position": Mutant(_read_anywhere, "snapshot-restored", "a read of an older snapshot is believed"),
    "absent-refused": Mutant(_accept_absent, "flushall", "after a wipe the state would start in the middle"),
    "forget": Mutant(_remember, "flushall", "what was in memory would be folded again on top of itself"),
    "verdict-read-back": Mutant(_judge_again, "schema-registered-late", "a dead letter would count after all"),
    "metadata-at-gather": Mutant(_late_metadata, "stalled-member", "records held across a poll decided twice"),
    "void-after-abort": Mutant(_keep_what_is_void, "commits-aborted", "what was aborted would be decided by nobody"),
    "pin-before-commit": Mutant(_pin_late, "commits-aborted", "a batch would be computed on partials of before"),
    "archive-positions": Mutant(_archive_anyway, "two-archivers", "each of two archivers would add every row"),
    "archive-look-up": Mutant(_believe_the_error, "archive-store-fails", "rows of a lost answer would be added again"),
    "decisions-committed": Mutant(_read_uncommitted, "aborted-decision", "an aborted copy would be the answer"),
    "case-position": Mutant(_advance_first, "kill-cases", "a decision for review would be in no case after a crash"),
    "offsets-never-back": Mutant(_go_back, "kill-committed", "what is decided would be decided again"),
}

_CRASH = re.compile(r"^(?!AssertionError)[A-Z]\w*Error\b", re.MULTILINE)
"""How a traceback ends in a built-in error: ours, and the Kafka client's, are named with their module."""


def judge_mutant(result: Result) -> str:
    """Return ``caught``, ``SURVIVED``, or ``BROKEN`` for a worker that died of an error that the product never raises.

    >>> judge_mutant(Result("flushall", 1, 1, 0, 0, 3, None, None))
    'caught'
    """
    if result.is_right:
        return "SURVIVED"
    return "BROKEN" if any(_CRASH.search(problem) for problem in result.problems) else "caught"
