"""Which units wait for which, and whose repeats are found, when keys are in several partitions."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.payments import DUPLICATE_HORIZON_MS, ENTITIES, FEATURE_NAMES
from tests.unit.streaming.streams import START_MS, build, event
from weir.infra.kafka.group_position import format_note, parse_note
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Position, Unit
from weir.streaming.core.layout import COUNTED, DUPLICATE, ID_REUSED
from weir.streaming.core.states import States
from weir.streaming.kernels import shipped_kernel
from weir.streaming.state.moved_keys import find_units_behind

FOLDER: Any = SimpleNamespace(topic="transactions", partitions=4)
UNIT = Unit("t", 1)


class _World:
    """What the group committed of each partition, and where Redis stands."""

    def __init__(self, committed: dict[int, tuple[int | None, str]], applied: dict[int, Position]) -> None:
        self.committed, self.applied, self.asked, self.moved_on = committed, applied, 0, False

    def committed_many(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[int | None, str]]:
        return {(topic, number): self.committed[number] for topic, number in partitions}

    def load_many(self, wanted: Sequence[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        self.asked += 1
        return {unit: Loaded(self.applied.get(unit.partition), [], self.moved_on) for unit, _ in wanted}


def test_where_every_key_belongs_where_it_was_counted_nobody_waits_and_redis_is_not_asked() -> None:
    world = _World({number: (9, format_note("id", 4)) for number in (0, 2, 3)}, {})
    assert find_units_behind(world, world, FOLDER, UNIT) == []
    assert world.asked == 0


@pytest.mark.parametrize(
    ("committed", "note", "position", "waits"),
    [
        (9, format_note("id", 2), Position(8), True),
        (9, format_note("id", 2), Position(9), False),
        (9, format_note("id", 2), Position(12), False),
        (9, format_note("id", 2), None, True),
        (9, format_note("id", 2), Position(9, target=20), True),
        (9, format_note("id", 0), Position(8), True),
        (9, "id", Position(8), True),
        (9, "", Position(8), True),
        (None, "", None, False),
    ],
)
def test_a_unit_waits_for_one_that_may_hold_its_keys_until_that_is_as_far_as_its_group_committed(
    committed: int | None, note: str, position: Position | None, waits: bool
) -> None:
    others = {number: (5, format_note("id", 4)) for number in (0, 2)} | {3: (committed, note)}
    world = _World(others, {} if position is None else {3: position})
    assert find_units_behind(world, world, FOLDER, UNIT) == ([Unit("t", 3)] if waits else [])


def test_nobody_waits_for_a_unit_that_processors_of_other_declarations_follow() -> None:
    world = _World({0: (5, format_note("id", 4)), 2: (5, format_note("id", 4)), 3: (9, format_note("id", 2))}, {})
    assert find_units_behind(world, world, FOLDER, UNIT) == [Unit("t", 3)]
    world.moved_on = True
    assert find_units_behind(world, world, FOLDER, UNIT) == []


@given(topic_id=st.text("abcDEF_-0123456789", min_size=1), home=st.integers(0, 10_000))
def test_a_note_says_the_topic_and_the_number_of_partitions(topic_id: str, home: int) -> None:
    assert parse_note(format_note(topic_id, home)) == (topic_id, home)
    assert parse_note(topic_id) == (topic_id, 0)


def _row(number: str, partition: int, append_ms: int = START_MS, digest: int = 1, card: str = "c") -> dict[str, Any]:
    return event(transaction_id=number, card_id=card, append_ms=append_ms, digest=digest, partition=partition)


def test_of_copies_in_several_partitions_of_a_batch_the_first_counts() -> None:
    rows = [
        _row("a", 0), _row("a", 0), _row("b", 0), _row("a", 1), _row("b", 1, digest=2), _row("a", 1, card="d"),
        _row("b", 2, append_ms=START_MS + DUPLICATE_HORIZON_MS),
    ]  # fmt: skip
    verdicts = shipped_kernel().find_repeats(build(rows))
    # in its own partition the card's state finds a repeat
    assert verdicts.tolist() == [COUNTED, COUNTED, COUNTED, DUPLICATE, ID_REUSED, COUNTED, COUNTED]
    own = {str(spec.entity): [b""] * len(build(rows).entities[spec.entity]) for spec in ENTITIES}
    done = shipped_kernel().step(build(rows), States(own), verdicts)
    assert done.verdicts.tolist() == [COUNTED, DUPLICATE, COUNTED, DUPLICATE, ID_REUSED, COUNTED, COUNTED]


def test_a_card_is_judged_and_seen_over_what_other_units_hold_of_it() -> None:
    before = build([_row(str(number), 0) for number in range(3)])
    none = {str(spec.entity): [b""] * len(before.entities[spec.entity]) for spec in ENTITIES}
    held = shipped_kernel().step(before, States(none)).states
    now = build([_row("1", 1), _row("2", 1, digest=9), _row("3", 1)])
    own = {str(spec.entity): [b""] * len(now.entities[spec.entity]) for spec in ENTITIES}
    others = {entity: [(b"", partial) for partial in partials] for entity, partials in held.items()}
    done = shipped_kernel().step(now, States(own, others=others))
    assert done.verdicts.tolist() == [DUPLICATE, ID_REUSED, COUNTED]
    counts = done.features[:, FEATURE_NAMES.index("card_event_count_1d")]
    assert counts[2] == np.float32(4)
