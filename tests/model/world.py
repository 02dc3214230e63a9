"""What the processes of the model share: Kafka, Redis and chance; and what is judged wrong of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NoReturn

RECORDS = 30
ENTITIES = 5
MEMBERS = 2

Entity = tuple[str, int]
Partial = tuple[int, ...]
Partials = dict[Entity, Partial]
Steps = Generator[None, None, None]


class Guard(StrEnum):
    """A rule of the protocol that can be left out."""

    PIN = "what Redis has not confirmed stays in memory"
    READ_WITH_POSITION = "a partial is read together with the position, and used only at one that is expected"
    ABSENT_REFUSED = "a write where there is no position is refused"
    FORGET = "what is known of a unit is dropped before it is caught up"
    VERDICT_READ_BACK = "below the committed offset verdicts are read, not judged again"
    METADATA_AT_GATHER = "a batch is committed with the group metadata that its records came with"
    VOID_AFTER_ABORT = "what was made on top of a batch is void when its commit fails"
    PIN_BEFORE_COMMIT = "a batch is computed on what the one before changed, whose commit is under way"
    FINISH_BEFORE_CATCH_UP = "a unit begins when no commit is under way"
    LAND_BEFORE_CATCH_UP = "catch-up begins when what became of every write is known"


class Transient(Exception):
    """Forget, and catch up."""


class Fenced(Exception):
    """The process ends."""


class Record(NamedTuple):
    """An input record; ``heals_at`` is when it can be decoded, ``None`` for never."""

    offset: int
    transaction: int
    card: int
    device: int
    heals_at: int | None

    @property
    def entities(self) -> tuple[Entity, Entity]:
        return ("card", self.card), ("device", self.device)


class Write(NamedTuple):
    """What the offsets ``[start, end)`` changed."""

    start: int
    end: int
    changed: Partials


class Copy(NamedTuple):
    """What Redis holds, or held: its past is what a fail-over goes back to."""

    position: int | None
    partials: Partials


@dataclass(eq=False)
class Batch:
    """Steps 1 to 4 of some records; ``generation`` is of the group metadata that it is committed with.

    Once its commit ``has_ended``, ``failed`` says whether nothing of it is visible.
    """

    member: int
    start: int
    end: int
    generation: int
    verdicts: dict[int, str] = field(default_factory=dict)
    changed: Partials = field(default_factory=dict)
    has_ended: bool = False
    failed: Exception | None = None


class World:
    """Kafka, Redis and chance."""

    def __init__(self, seed: int, without: frozenset[Guard]) -> None:
        self.rng = random.Random(seed)
        self.without = without
        self.quiet = False
        self.wrong: str | None = None
        self.met: Counter[str] = Counter()
        self.haste = [self.rng.choice([1, 1, 2, 6]) for _ in ("the loop", "appliers")]
        self.abort_rate = self.rng.choice([0.0, 0.02, 0.08])
        self.loss_rate = self.rng.choice([0.0, 0.1, 0.3])
        self.clock = 0
        self.log = list(self._records())
        self.outputs: defaultdict[int, list[str]] = defaultdict(list)
        self.committed = 0
        self.pending: list[Batch] = []
        self.generation = 0
        self.owner = 0
        self.leaving_for: int | None = None
        self.lost: set[int] = set()
        self.epochs = [0] * MEMBERS
        self.past = [Copy(None, {})]
        self.late: list[Write] = []

    def _records(self) -> Iterable[Record]:
        sent: list[tuple[int, int]] = []
        for offset in range(RECORDS):
            again = bool(sent) and self.rng.random() < 0.2
            sent.append(self.rng.choice(sent) if again else (offset, self.rng.randrange(ENTITIES)))
            heals_at = self.rng.choices([0, self.rng.randrange(30), None], [8, 1, 1])[0]
            yield Record(offset, *sent[-1], self.rng.randrange(ENTITIES), heals_at)

    def has(self, guard: Guard) -> bool:
        return guard not in self.without

    def happens(self, probability: float) -> bool:
        """Whether a fault happens now."""
        return not self.quiet and self.rng.random() < probability

    def judge_wrong(self, message: str) -> None:
        self.wrong = self.wrong or message

    # --- Kafka -------------------------------------------------------------------------------------------------------

    def join(self, number: int) -> int:
        """Take a member's new process in; one before it is fenced, and what it left open is aborted."""
        self.pending = [batch for batch in self.pending if batch.member != number]
        self.lost.discard(number)
        self.generation += 1
        self.epochs[number] += 1
        return self.epochs[number]

    def assign(self, number: int) -> None:
        """Give the partition to a member, maybe to the one that has it: others may have come or gone."""
        if number != self.owner:
            self.lost.add(self.owner)
        self.owner, self.leaving_for = number, None
        self.generation += 1

    def send_offsets(self, batch: Batch, *, epoch: int) -> None:
        """Begin a commit: it is refused to a process that is not, by what it says, the member that it was."""
        if self.epochs[batch.member] != epoch:
            raise Fenced
        if batch.generation != self.generation or self.happens(self.abort_rate):
            self._abort()
        self.pending.append(batch)

    def end_transaction(self, batch: Batch) -> None:
        """Make a batch's outputs and offset visible together."""
        if batch not in self.pending:
            raise Fenced
        self.pending.remove(batch)
        if self.happens(self.abort_rate):
            self._abort()
        if batch.end < self.committed:
            self.judge_wrong(f"the committed offset fell from {self.committed} to {batch.end}")
        self.committed = batch.end
        for offset, verdict in batch.verdicts.items():
            self.outputs[offset].append(verdict)

    def _abort(self) -> NoReturn:
        self.met["aborts"] += 1
        raise Transient

    # --- Redis -------------------------------------------------------------------------------------------------------

    @property
    def redis(self) -> Copy:
        return self.past[-1]

    def write(self, write: Write) -> bool:
        """Apply a write by compare-and-set; True when it is in."""
        position, partials = self.redis
        if position == write.end:
            return True
        if position != write.start and not (position is None and not self.has(Guard.ABSENT_REFUSED)):
            return False
        self.past.append(Copy(write.end, partials | write.changed))
        if write.end > self.committed:
            self.judge_wrong(f"Redis is at {write.end}, ahead of {self.committed} in Kafka")
        self.judge_view()
        return True

    # --- the judge ---------------------------------------------------------------------------------------------------

    def judge_view(self) -> None:
        """Redis is the fold of the log up to its position over the offsets that got a feature row."""
        position, partials = self.redis
        expected: Partials = {}
        for record in self.log[: position or 0]:
            if "row" in self.outputs[record.offset]:
                fold(expected, record)
        held = {entity: partial for entity, partial in partials.items() if partial}
        if held != expected:
            self.judge_wrong(f"at {position} Redis holds {held}, the log says {expected}")

    def judge_outputs(self) -> None:
        """Each offset has one output, each transaction is counted at most once, no duplicate is of nothing."""
        counted: set[int] = set()
        for record in self.log:
            verdicts = self.outputs[record.offset]
            if len(verdicts) != 1:
                self.judge_wrong(f"{record.offset} has the outputs {verdicts}")
            if "row" in verdicts and record.transaction in counted:
                self.judge_wrong(f"transaction {record.transaction} is counted again at {record.offset}")
            if "duplicate" in verdicts and record.transaction not in counted:
                self.judge_wrong(f"{record.offset} is a duplicate of nothing")
            if "row" in verdicts:
                counted.add(record.transaction)


def fold(partials: Partials, record: Record) -> None:
    """Count a record."""
    for entity in record.entities:
        partials[entity] = (*partials.get(entity, ()), record.offset)
