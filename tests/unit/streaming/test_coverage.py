"""Whether committed offsets are where the outputs end, over random logs, against a count that looks at everything."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from weir.infra.settings import load_settings
from weir.schemas.errors import Refused
from weir.streaming.offsets import coverage
from weir.streaming.offsets.coverage import Coverage, Found, Offsets, Place
from weir.streaming.offsets.stages import processor_stage

SOURCE, ROWS, LETTERS = "transactions", "features", "transactions.dlq"
PARTITIONS = 3
SETTINGS = load_settings({})


@dataclass(frozen=True)
class Record:
    """A record of any of the three topics; an output names the place that it is of."""

    where: tuple[str, int]
    at: int
    time_ms: int
    names: tuple[Place, ...] = ()

    def topic(self) -> str:
        return self.where[0]

    def partition(self) -> int:
        return self.where[1]

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.time_ms


@dataclass
class Log:
    """Partitions in memory: the part of ``History`` that is asked."""

    records: dict[tuple[str, int], list[Record]] = field(default_factory=dict)
    lows: dict[tuple[str, int], int] = field(default_factory=dict)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    read_records: int = 0

    def append(self, where: tuple[str, int], time_ms: int, *names: Place, holes: int = 0) -> Record:
        at = self.ends.get(where, 0)
        record = Record(where, at, time_ms, names)
        self.records.setdefault(where, []).append(record)
        self.ends[where] = at + 1 + holes
        return record

    def expire(self, where: tuple[str, int], below: int) -> None:
        self.lows[where] = below
        self.records[where] = [record for record in self.records.get(where, []) if record.at >= below]

    def read(self, where: tuple[str, int], start: int, end: int) -> Iterator[list[Record]]:
        found = [record for record in self.records.get(where, []) if start <= record.at < end]
        self.read_records += len(found)
        yield from (found[at : at + 7] for at in range(0, len(found), 7))

    def first_message(self, where: tuple[str, int], start: int) -> Record | None:
        return next((record for record in self.records.get(where, []) if record.at >= start), None)

    def offset_at_time(self, where: tuple[str, int], time_ms: int) -> int:
        records = self.records.get(where, [])
        return next((record.at for record in records if record.time_ms >= time_ms), self.ends.get(where, 0))

    def low(self, where: tuple[str, int]) -> int:
        return self.lows.get(where, 0)


class Compared(Coverage):
    """The real comparison over a log in memory: outputs name their sources without being encoded."""

    def __init__(self, log: Log) -> None:
        super().__init__(processor_stage(SETTINGS), SETTINGS.kafka, log, {})  # type: ignore[arg-type]
        self.log = log

    def _ask_ends(self) -> Offsets:
        return {
            topic: {part: self.log.ends.get((topic, part), 0) for part in range(PARTITIONS)}
            for topic in (ROWS, LETTERS)
        }

    def _named(self, kind: str, topic: str, messages: Any) -> Iterator[tuple[int, Place]]:
        del kind, topic
        yield from ((row, place) for row, message in enumerate(messages) for place in message.names)

    def _places_of_letters(self, letters: Any) -> Iterator[Place]:
        yield from (place for letter in letters for place in letter.names)


def _build(dice: random.Random, *, misplaced: float, undecided: int) -> tuple[Log, list[Record]]:
    """Return a log of which the last ``undecided`` records of partition 0 have no output, and those of partition 0."""
    log, sources, time_ms = Log(), list[Record](), 1_000_000
    count = dice.randrange(1, 60)
    for number in range(count):
        time_ms += dice.choice([0, 1, 60_000])
        sources.append(log.append((SOURCE, 0), time_ms, holes=dice.choice([0, 0, 1])))
        if number < count - undecided:
            _decide(dice, log, sources[-1], time_ms + dice.choice([0, 5, 100_000]), misplaced)
        for part in range(1, PARTITIONS):  # others, decided all the time
            for _ in range(dice.choice([0, 0, 30])):
                other = log.append((SOURCE, part), time_ms)
                _decide(dice, log, other, time_ms, misplaced)
    return log, sources


def _decide(dice: random.Random, log: Log, source: Record, time_ms: int, misplaced: float) -> None:
    place = (*source.where, source.at)
    last = max((records[-1].time_ms for (topic, _), records in log.records.items() if topic != SOURCE), default=0)
    time_ms = max(time_ms, last)  # brokers append in order of time
    if dice.random() < 0.1:
        log.append((LETTERS, source.where[1]), time_ms, place)
        return
    home = source.where[1]
    log.append((ROWS, dice.randrange(PARTITIONS) if dice.random() < misplaced else home), time_ms, place)


@pytest.mark.parametrize("misplaced", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(120))
def test_what_was_passed_over_is_counted_and_nothing_else_is(
    seed: int, misplaced: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of a few records, so that each look and each block has its turn."""
    monkeypatch.setattr(coverage, "TAIL_RECORDS", 4)
    monkeypatch.setattr(coverage, "FORWARD_RECORDS", 4)
    monkeypatch.setattr(coverage, "_BLOCKS", (1, 5, 40))
    dice = random.Random(seed)
    undecided = dice.choice([0, 0, 1, 3, 20])
    log, sources = _build(dice, misplaced=misplaced, undecided=undecided)
    undecided = min(undecided, len(sources))
    moved = dice.randrange(undecided + 1)
    decided_end = sources[-undecided - 1].at + 1 if undecided < len(sources) else 0
    committed = sources[len(sources) - undecided + moved - 1].at + 1 if moved else decided_end
    found = Compared(log).check(0, low=0, committed=committed)
    assert found == (Found(decided_end, moved) if moved else None)
    assert Compared(log).find_end(0, low=0, upto=log.ends[SOURCE, 0]) == Found(decided_end, undecided)


@pytest.mark.parametrize("seed", range(60))
def test_offsets_moved_back_are_refused(seed: int) -> None:
    dice = random.Random(seed)
    log, sources = _build(dice, misplaced=0.0, undecided=0)
    back = dice.choice(sources)
    with pytest.raises(Refused, match="moved back or lost"):
        Compared(log).check(0, low=0, committed=back.at)


def test_a_partition_that_was_never_committed_and_has_outputs_is_refused() -> None:
    log, _ = _build(random.Random(1), misplaced=0.0, undecided=0)
    with pytest.raises(Refused, match="committed nothing of"):
        Compared(log).check(0, low=0, committed=None)


def test_a_first_start_reads_no_outputs() -> None:
    log = Log()
    for number in range(1_000):
        log.append((SOURCE, 0), number)
    assert Compared(log).check(0, low=0, committed=None) is None
    assert log.read_records == 0


def test_a_right_offset_costs_one_read_of_an_outputs_end() -> None:
    log = Log()
    for number in range(20_000):
        source = log.append((SOURCE, 0), number)
        log.append((ROWS, 0), number, (SOURCE, 0, source.at))
    assert Compared(log).check(0, low=0, committed=20_000) is None
    assert log.read_records <= coverage.TAIL_RECORDS + 1  # the outputs' end, and the last record


def test_outputs_that_expired_are_no_reason_to_refuse() -> None:
    """A quiet partition: its rows are older than what the output topic keeps, and the log keeps its input longer."""
    log = Log()
    for number in range(100):
        source = log.append((SOURCE, 0), number)
        log.append((ROWS, 0), number, (SOURCE, 0, source.at))
    log.expire((ROWS, 0), below=100)
    assert Compared(log).check(0, low=0, committed=100) is None
    log.append((SOURCE, 0), 900_000_000)
    log.append((ROWS, 0), 800_000_000, (SOURCE, 1, 0))
    assert Compared(log).check(0, low=0, committed=101) == Found(100, 1)


def test_a_count_that_is_not_finished_says_so() -> None:
    log = Log()
    log.append((ROWS, 0), 0, (SOURCE, 1, 0))
    for number in range(50):
        log.append((SOURCE, 0), 1_000 + number)
    compared = Compared(log)
    compared._ends = compared._ask_ends()
    found = compared._find(0, low=0, upto=50, tail=set(), limit=10)
    assert found == Found(40, 10, or_more=True)
    assert "10 or more records would be counted and never decided" in compared.describe(0, 50, found)
