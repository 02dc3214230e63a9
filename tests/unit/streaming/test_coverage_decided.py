"""A scorer's offsets are compared without the rows that ``weir run`` has decided, over random logs of both kinds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from tests.unit.streaming.test_coverage import Log, Record
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused
from weir.streaming.offsets.coverage import Coverage, Offsets
from weir.streaming.offsets.stages import scorer_stage

ROWS, DECISIONS, LETTERS = "features", "decisions", "features.dlq"
SEEDS = range(200)
SETTINGS = load_settings({})


class _Log(Log):
    def high_watermark(self, where: tuple[str, int]) -> int:
        return self.ends.get(where, 0)


class _Compared(Coverage):
    """The real comparison over a log in memory; which rows are decided is said next to it."""

    def __init__(self, log: _Log, decided: set[int]) -> None:
        super().__init__(scorer_stage(SETTINGS), SETTINGS.kafka, log, {})  # type: ignore[arg-type]
        self._log = log
        self._decided_rows = decided

    def _ask_ends(self) -> Offsets:
        return {topic: {0: self._log.ends.get((topic, 0), 0)} for topic in (DECISIONS, LETTERS)}

    def _leave_out_decided(self, messages: Any) -> Any:
        return [message for message in messages if message.offset() not in self._decided_rows]

    def _named(self, schema: str, topic: str, messages: Any) -> Iterator[tuple[int, Any]]:
        del schema, topic
        yield from ((row, place) for row, message in enumerate(messages) for place in message.names)

    def _places_of_letters(self, letters: Any) -> Iterator[Any]:
        yield from (place for letter in letters for place in letter.names)


@dataclass
class _World:
    """Rows of partition 0: those of the scorer, in order, of which the first ``done`` have a decision of its own."""

    log: _Log
    own: list[int]
    done: int
    decided: set[int]

    @cached_property
    def compared(self) -> _Compared:
        return _Compared(self.log, self.decided)

    @property
    def end(self) -> int:
        return self.log.ends[ROWS, 0]

    def right(self) -> range:
        """Offsets that the scorer may have committed: past its last decision, not past a row that it has to decide."""
        low = self.own[self.done - 1] + 1 if self.done else 0
        return range(low, (self.own[self.done] if self.done < len(self.own) else self.end) + 1)


def _build(seed: int) -> _World:
    dice = random.Random(seed)
    log, own, decided, share = _Log(), list[int](), set[int](), dice.choice([0.1, 0.5, 0.9])
    rows = list[tuple[Record, bool]]()
    for number in range(dice.randrange(2, 60)):
        is_decided = dice.random() < share
        row = log.append((ROWS, 0), 1_000_000 + number, ("transactions", 0, number), holes=dice.choice([0, 0, 1]))
        rows.append((row, is_decided))
        if is_decided:
            decided.add(row.at)
        else:
            own.append(row.at)
    done = dice.randrange(len(own) + 1)
    for row, is_decided in rows:
        if is_decided or row.at in own[:done]:
            log.append((DECISIONS, 0), row.time_ms, *row.names)
    return _World(log, own, done, decided)


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets_that_a_scorer_may_have_committed_are_right(seed: int) -> None:
    world = _build(seed)
    for committed in world.right():
        assert world.compared.check(0, low=0, committed=committed) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_of_its_own_that_were_passed_over_are_counted_and_no_others(seed: int) -> None:
    world = _build(seed)
    for committed in range(world.right().stop, world.end + 1):
        found = world.compared.check(0, low=0, committed=committed)
        assert found is not None
        assert found.without == sum(at < committed for at in world.own[world.done :])


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets_before_a_decision_of_its_own_are_refused(seed: int) -> None:
    world = _build(seed)
    for committed in range(world.right().start):
        with pytest.raises(Refused, match="decided twice"):
            world.compared.check(0, low=0, committed=committed)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_end_that_is_proposed_passes_over_nothing_and_repeats_nothing(seed: int) -> None:
    world = _build(seed)
    assert world.compared.find_end(0, low=0, upto=world.end).end in world.right()


@pytest.mark.parametrize("seed", SEEDS)
def test_decisions_of_others_alone_are_no_sign_of_lost_offsets(seed: int) -> None:
    world = _build(seed)
    assert world.compared.has_outputs(0, low=0, end=world.end) == (world.done > 0)
