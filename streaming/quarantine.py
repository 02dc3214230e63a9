"""Decides when records are decoded apart from the process: from the third start on at one position without progress.

A processor that dies while it decides a batch commits nothing, so its successor begins at the same offset with the same
records. Before its first batch of a unit, every process therefore counts itself at that offset (``note_start``). Two of
them may have died for any reason; the third takes the unit for a suspect and has its records examined by
``streaming/isolation.py`` before it decodes them itself, batch by batch, until a whole batch held no killer.

The count only decides *where* a record is decoded, never what becomes of it: a record is refused because it ended two
children, whatever the count, and a unit suspected wrongly (three restarts in a row for another reason) costs a few
seconds and changes no output. The verdict is a dead letter, ``decoder_died``, in the batch's own transaction, so that
catch-up reads it like any other and never decodes the record again.

Where no process can be started to examine them, the record at which the unit is stuck is set aside unexamined, as a
dead letter ``not_examined`` that can be replayed, and the rest of its batch is decided here one record at a time: if
another of them is the killer, the next processes are stuck at that one. So every third start gets past one record,
whatever the machine lacks, and a record that is sound is set aside at most once for each that is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from confluent_kafka import Message

from weir.infra.redis.unit import Unit
from weir.monitoring.logs import get_logger
from weir.schemas.errors import PoisonRecord
from weir.streaming.dlq.letter import DECODER_DIED, NOT_EXAMINED
from weir.streaming.framed import read_values
from weir.streaming.isolation import EXAMINE_SECONDS_MAX, Examined, examine
from weir.streaming.stage import DeadRecord, FoldingStage

STARTS_MAX = 2
"""So many processes may begin at one offset and not get past it before its records are suspected."""

log = get_logger(__name__)


class Starts(Protocol):
    """The part of ``infra.redis_view.StateView`` that counts starts."""

    def note_start(self, unit: Unit, offset: int) -> int:
        """Count this start at an offset and return how many there were."""
        ...

    def clear_starts(self, unit: Unit) -> None:
        """Forget the starts of a unit."""
        ...


@dataclass
class Sorted:
    """A unit's part of a batch: what may be decoded here, what may not, and how many records that is together."""

    safe: list[Message]
    dead: list[DeadRecord] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return how many records were sorted."""
        return len(self.safe) + len(self.dead)


class Quarantine:
    """Remembers which units are suspects in this process."""

    def __init__(self, starts: Starts, *, seconds_max: float = EXAMINE_SECONDS_MAX) -> None:
        """Bind to the count of starts; ``seconds_max`` bounds the examination of one batch."""
        self._starts = starts
        self._seconds_max = seconds_max
        self._begun: set[Unit] = set()
        self._cleared: set[Unit] = set()
        self._suspects: set[Unit] = set()
        self._one_by_one: dict[Unit, int] = {}  # unit -> offset up to which its records are decided one at a time

    def let_go(self, unit: Unit) -> None:
        """Forget a unit that is no longer ours: if it comes back, that is another start."""
        self._begun.discard(unit)
        self._cleared.discard(unit)
        self._suspects.discard(unit)
        self._one_by_one.pop(unit, None)

    def clear(self, unit: Unit) -> None:
        """Take back the count of a unit's starts: its first records were decoded and computed here.

        What ends the process after that, as a library that scores rows may, is no reason to suspect a record.

        Raises:
            Transient: Redis is unreachable.
        """
        if unit in self._begun and unit not in self._cleared:
            self._starts.clear_starts(unit)
            self._cleared.add(unit)

    def begin(self) -> float:
        """Return the monotonic time until which the suspects of the next batch may be examined."""
        return time.monotonic() + self._seconds_max

    def sort(self, stage: FoldingStage, unit: Unit, offset: int, records: list[Message], deadline: float) -> Sorted:
        """Sort a unit's records before anything decodes them.

        Args:
            stage: of the unit's input.
            unit: whose records they are.
            offset: of the input, to be decided next.
            records: at least one.
            deadline: from ``begin``.

        Returns:
            The first of the records, at least one, sorted; the others were not examined for lack of time.

        Raises:
            Transient: Redis or the registry is unreachable.
        """
        self._note(unit, offset)
        if unit not in self._suspects:
            return Sorted(records[:1] if offset < self._one_by_one.get(unit, 0) else records)
        values = read_values(records, stage.id_of_guid).values
        found = examine(stage.schema, values, stage.schema_of, deadline=deadline)
        log.warning("examined", unit=unit.tag, start=offset, records=found.end, killers=len(found.killers))
        if found.obstacle and not found.end:
            return self._set_first_aside(unit, records, found.obstacle)
        if not found.killers and found.end == len(records):
            self._suspects.discard(unit)
        return _sort(records, found)

    def _set_first_aside(self, unit: Unit, records: list[Message], obstacle: str) -> Sorted:
        log.error("not_examined", unit=unit.tag, offset=records[0].offset(), obstacle=obstacle)
        self._suspects.discard(unit)
        self._one_by_one[unit] = records[-1].offset() + 1
        return Sorted([], [_condemn_unexamined(records[0], obstacle)])

    def _note(self, unit: Unit, offset: int) -> None:
        if unit in self._begun:
            return
        starts = self._starts.note_start(unit, offset)
        self._begun.add(unit)
        if starts > STARTS_MAX:
            log.warning("suspected", unit=unit.tag, offset=offset, starts=starts)
            self._suspects.add(unit)


def _sort(records: Sequence[Message], found: Examined) -> Sorted:
    safe = [records[place] for place in range(found.end) if place not in found.killers]
    return Sorted(safe, [_condemn(records[place], how) for place, how in found.killers.items()])


def _condemn(message: Message, how: str) -> DeadRecord:
    text = f"expected a record that its decoder survives, found one that ended it twice ({how}) at {_where(message)}"
    return DeadRecord(message, PoisonRecord(DECODER_DIED, f"{text}; sent to DLQ"), "decode")


def _condemn_unexamined(message: Message, obstacle: str) -> DeadRecord:
    text = (
        f"expected to get past this record, found that {STARTS_MAX} processes did not and that none can be started to "
        f"examine it ({obstacle}) at {_where(message)}; sent to DLQ undecoded, `weir dlq replay` tries it again"
    )
    return DeadRecord(message, PoisonRecord(NOT_EXAMINED, text), "decode")


def _where(message: Message) -> str:
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"
