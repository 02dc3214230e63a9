"""What the loop needs to know of an input: how its records are judged and computed, and what came of them.

A *plain* stage keeps nothing of its records but its position: feature rows to decisions, decisions to look-ups. A
*folding* stage folds them into units of a view, as those of events and of labels do; the protocol around both is the
same (``streaming/loop.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from confluent_kafka import Message

from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.sink import Record, Rows
from weir.infra.kafka.source import Partition
from weir.infra.redis.unit import Unit
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.avro.framing import IdOfGuid
from weir.schemas.errors import PoisonRecord
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.queries import Changed


@dataclass(frozen=True)
class DeadRecord:
    """A record that goes to the dead letter queue, and why."""

    message: Message
    error: PoisonRecord
    stage: str
    coordinates_only: bool = False


class Committed(NamedTuple):
    """How and when a batch became visible.

    Attributes:
        seconds: from gathered to committed.
        commit_seconds: of these, from the commit's begin.
        at_ms: when it was, UTC epoch ms.
    """

    seconds: float
    commit_seconds: float
    at_ms: float


@dataclass(frozen=True)
class Further:
    """What is made of a batch's feature rows, to be committed with them.

    Attributes:
        rows: records to publish.
        on_committed: told so once all of it is visible.
    """

    rows: Rows
    on_committed: Callable[[Committed], None]


def do_nothing(*_: object) -> None:
    """Do nothing: the default of a hook."""


@dataclass
class Outcome:
    """Steps 2 and 3 of one input's records: outputs, and new partials per unit.

    Attributes:
        refused: the records that ``dead`` holds letters of, in order, and why.
        late: how many were decided but not counted, being older than the look-back.
        elsewhere: how many are in another partition than their key's own: senders with different partitioners split a
            card's state between partitions.
        mixed: units in which such a record counted.
        forwarded: records that go to another partition of their own topic, where what they are about is known.
        then: makes more of the rows; called when all records are computed, so that what ends the process in it is not
            taken for the fault of a record.
        on_committed: told so once all of it is visible.
        completing_seconds: how long ``complete`` took.
    """

    rows: list[Rows] = field(default_factory=list)
    dead: list[Record] = field(default_factory=list)
    changed: dict[Unit, list[Changed]] = field(default_factory=dict)
    counted: int = 0
    refused: list[DeadRecord] = field(default_factory=list)
    late: int = 0
    elsewhere: int = 0
    mixed: set[Unit] = field(default_factory=set)
    forwarded: list[Record] = field(default_factory=list)
    then: Callable[[], Further] | None = None
    on_committed: Callable[[Committed], None] = do_nothing
    completing_seconds: float = 0.0

    def complete(self) -> Rows:
        """Do what is left to do after records were computed; return the rows that are new."""
        assert self.then is not None, "nothing is left to do; a bug of the caller"
        started = time.perf_counter()
        further = self.then()
        self.rows.append(further.rows)
        self.on_committed = further.on_committed
        self.completing_seconds = time.perf_counter() - started
        return further.rows


class Refolded(NamedTuple):
    """What records that counted change in their unit, and whether the key of one belongs in another partition."""

    changed: list[Changed]
    is_mixed: bool


class Stage(Protocol):
    """One input topic's meaning.

    Attributes:
        kind: of its units.
        topic: that it reads.
    """

    kind: str
    topic: str


class PlainStage(Stage, Protocol):
    """A stage that keeps nothing of its records but a position."""

    def begin(self, partition: Partition, found: Standing) -> int:
        """Return the offset at which a partition begins.

        Raises:
            Refused: the log and what is committed contradict each other.
            Transient: a dependency is unreachable.
        """
        ...

    def process(self, records: dict[int, list[Message]]) -> Outcome:
        """Judge and compute a batch: steps 2 and 3.

        Args:
            records: per partition, in offset order.

        Raises:
            Transient: a dependency is unreachable; nothing of the batch counts.
        """
        ...


class FoldingStage(Stage, Protocol):
    """A stage whose records are folded into units of a view."""

    schema: str
    dlq_topic: str
    partitions: int

    def process(self, records: dict[int, list[Message]], store: PartialStore, live: Mapping[Unit, int]) -> Outcome:
        """Judge and compute a batch: steps 2 and 3.

        Args:
            records: per partition, in offset order.
            store: partials; what the batch changes is kept there, and pinned when it is committed.
            live: units this process owns, with the append time in ms from which each is complete.

        Raises:
            Transient: a dependency is unreachable or the view is not where it was left.
        """
        ...

    @property
    def schema_of(self) -> Callable[[int], WriterSchema | PoisonRecord]:
        """Return what answers with the writer's schema of an id, or why there is none; it may raise ``Transient``."""
        ...

    @property
    def id_of_guid(self) -> IdOfGuid:
        """Return what answers with the id of a schema's GUID, or why there is none; it may raise ``Transient``."""
        ...

    def dead_letter(self, dead: DeadRecord) -> Record:
        """Return what is published for a dead record."""
        ...

    def fold_again(self, partition: int, records: list[Message], store: PartialStore) -> Refolded:
        """Fold records that are known to count.

        Raises:
            WeirError: a record that counted can no longer be decoded.
        """
        ...
