"""Catch-up chunk by chunk: Redis takes one chunk while the next is folded, and no write outlives a step.

::

    fold 0 | yield | fold 1  | yield | fold 2  | yield |         | caught up
                   | write 0 |       | write 1 |       | write 2 |
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.payments import Entity
from tests.unit.streaming.kept import keep
from tests.unit.streaming.sealed import sealed
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.state_view import Applied
from weir.infra.redis.unit import Position, Unit
from weir.schemas.errors import Transient
from weir.streaming.core.seal import SEAL_BYTES
from weir.streaming.kernels import shipped_kernel
from weir.streaming.stage import Refolded
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.catch_up import CatchUpContext, catch_up
from weir.streaming.state.queries import Changed, PartialQuery

UNIT = Unit("t", 0)
RECORDS, CHUNK = 10, 4
CARDS = 3
WAIT_SECONDS = 10.0


class _View:
    """One unit in memory. ``before_apply`` is called with each write's start, on the thread that writes."""

    def __init__(self, before_apply: Callable[[int], object] = lambda _: None) -> None:
        self.before_apply = before_apply
        self.applied: int | None = None
        self.partials: dict[str, bytes] = {}
        self.listed: list[bytes] | None = None
        self.starts: list[int] = []
        self.in_flight = 0

    def look(self, unit: Unit) -> Loaded:
        del unit
        return Loaded(None if self.applied is None else Position(self.applied), [])

    def find_other_types(self, absent: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, list[str]]:
        del absent
        return {}

    def suspect(self, unit: Unit, reason: str) -> None:
        raise AssertionError(f"{unit} is suspect: {reason}")

    def claim(self, unit: Unit, position: Position) -> bool:
        del unit
        self.applied = position.applied
        return True

    def follow(self, unit: Unit) -> None:
        del unit

    def read_known(self, unit: Unit, position: Position) -> list[bytes] | None:
        del unit, position
        return self.listed

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        return {
            unit: Loaded(self.look(unit).position, [self.partials.get(key, b"") for key in keys])
            for unit, keys in wanted
        }

    def load_checked(
        self, wanted: Iterable[tuple[Unit, Sequence[str]]], checked: Collection[Unit]
    ) -> dict[Unit, Loaded]:
        del checked
        return self.load_many(wanted)

    def apply(
        self, unit: Unit, *, start: int, end: int, keys: Sequence[str], partials: Sequence[bytes], **marks: object
    ) -> Applied:
        del unit, marks
        self.in_flight += 1
        try:
            self.starts.append(start)
            self.before_apply(start)
            if self.applied != start:
                return Applied(False, str(self.applied))
            self.partials |= dict(zip(keys, partials, strict=True))
            self.applied = end
            return Applied(True, "ok")
        finally:
            self.in_flight -= 1


class _Folder:
    """A card's partial is the offsets of its records, so each is in it once and in order, or the bytes tell."""

    kind, topic, dlq_topic, partitions = "t", "transactions", "transactions.dlq", 1

    def __init__(self) -> None:
        self.on_fold: Callable[[int], object] = lambda _: None

    def fold_again(self, partition: int, records: list[Any], store: PartialStore) -> Refolded:
        offsets = [record.offset() for record in records]
        ids = sorted({f"c{offset % CARDS}" for offset in offsets})
        (own,) = store.read([PartialQuery(Entity.CARD, ids, [Unit("t", partition)])])[0]
        self.on_fold(offsets[0])
        new = [
            sealed(UNIT, Entity.CARD, card, old[:-SEAL_BYTES] + bytes(o for o in offsets if f"c{o % CARDS}" == card))
            for card, old in zip(ids, own, strict=True)
        ]
        changed = [Changed(Entity.CARD, ids, new)]
        keep(store, UNIT, changed)
        return Refolded(changed, False)


def _read(partition: tuple[str, int], start: int, end: int, *, chunk: int) -> Iterator[list[Any]]:
    del chunk
    records = [SimpleNamespace(offset=lambda at=at: at) for at in range(start, end)]
    yield from (
        records[at : at + CHUNK] for at in range(0, len(records) if partition[0] == "transactions" else 0, CHUNK)
    )


def _build_context(view: Any, *, entities_max: int = 1_000) -> CatchUpContext:
    first = SimpleNamespace(timestamp=lambda: (2, 1_700_000_000_000))
    source: Any = SimpleNamespace(committed=lambda _: (RECORDS, ""), watermarks=lambda _: (0, RECORDS))
    history: Any = SimpleNamespace(
        read=_read, first_message=lambda *_: first, offset_at_time=lambda *_: 0, high_watermark=lambda _: 0
    )
    store = PartialStore(
        view,
        declarations_hash=shipped_kernel().stream.declarations_hash,
        entities_max=entities_max,
        bytes_max=1_000_000,
    )
    return CatchUpContext(source, history, view, store, {"t": "id"}, "g", ["card"], on_step=lambda _: None)


def _is_right(view: _View) -> bool:
    return view.applied == RECORDS and view.partials == {
        f"card:c{card}": sealed(UNIT, Entity.CARD, f"c{card}", bytes(range(card, RECORDS, CARDS)))
        for card in range(CARDS)
    }


def test_redis_takes_a_chunk_while_the_next_is_folded() -> None:
    folded = {start: threading.Event() for start in range(0, RECORDS, CHUNK)}
    waited: list[bool] = []
    last = max(folded)
    view = _View(lambda start: waited.append(start == last or folded[start + CHUNK].wait(WAIT_SECONDS)))
    stage: Any = _Folder()
    stage.on_fold = lambda first_offset: folded[first_offset].set()
    assert [found is not None for found in catch_up(_build_context(view), stage, UNIT)] == [False, False, False, True]
    assert waited == [True, True, True]
    assert _is_right(view)


@pytest.mark.parametrize("entities_max", [1, 1_000])
def test_between_steps_no_write_is_in_flight_so_the_store_may_be_trimmed(entities_max: int) -> None:
    view, stage = _View(), _Folder()
    context = _build_context(view, entities_max=entities_max)
    for _ in catch_up(context, stage, UNIT):  # type: ignore[arg-type] # as much of a stage as is called
        assert view.in_flight == 0
        context.store.trim()
    assert _is_right(view)


def test_what_a_rebuild_has_in_memory_stays_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "CARDS", RECORDS)  # each record is of another card
    view, stage, held = _View(), _Folder(), list[int]()
    context = _build_context(view, entities_max=1)
    for _ in catch_up(context, stage, UNIT):  # type: ignore[arg-type] # as much of a stage as is called
        context.store.trim()
        held.append(len(context.store._memory))
    assert _is_right(view)
    assert max(held) <= 2 * CHUNK < RECORDS


@pytest.mark.parametrize(
    ("applied", "listed", "asked"),
    [(None, None, False), (0, None, True), (CHUNK, None, True), (0, [], False), (CHUNK, [], False)],
)
def test_a_unit_that_this_start_claimed_or_that_lists_no_id_is_not_asked_for_partials(
    applied: int | None, listed: list[bytes] | None, asked: bool
) -> None:
    view = _View()
    view.applied, view.listed = applied, listed
    load_many, reads = view.load_many, []
    view.load_many = lambda wanted: reads.append(1) or load_many(wanted)  # type: ignore[method-assign, func-returns-value]
    list(catch_up(_build_context(view), cast(Any, _Folder()), UNIT))
    assert bool(reads) == asked


def test_after_a_refusal_nothing_more_is_applied() -> None:
    view = _View()
    view.before_apply = lambda start: setattr(view, "applied", 9) if start == CHUNK else None
    stage: Any = _Folder()
    with pytest.raises(Transient, match="moved to 9"):
        list(catch_up(_build_context(view), stage, UNIT))
    assert view.starts == [0, CHUNK]


def test_a_fold_that_fails_leaves_no_write_in_flight() -> None:
    folding = threading.Event()
    view = _View(lambda _: folding.wait(WAIT_SECONDS))
    stage: Any = _Folder()

    def fail(first_offset: int) -> None:
        if first_offset == CHUNK:
            folding.set()
            raise Transient("redis: away")

    stage.on_fold = fail
    with pytest.raises(Transient, match="away"):
        list(catch_up(_build_context(view), stage, UNIT))
    assert (view.in_flight, view.applied) == (0, CHUNK)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_catch_up_that_is_let_go_of_is_taken_up_by_the_next(steps: int) -> None:
    view = _View()
    stage: Any = _Folder()
    first: Any = catch_up(_build_context(view), stage, UNIT)
    for _ in range(steps):
        next(first)
    first.close()
    assert view.applied == (steps - 1) * CHUNK
    assert list(catch_up(_build_context(view), stage, UNIT))
    assert _is_right(view)


def test_a_unit_that_is_asked_for_again_and_again_is_told_once_until_something_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While the registry is away every attempt ends in another catch-up, many times a minute."""
    caplog.set_level("INFO", logger="weir.streaming.state.catch_up")
    view, stage = _View(), _Folder()
    context = _build_context(view)
    for _ in range(100):
        list(catch_up(context, stage, UNIT))  # type: ignore[arg-type] # as much of a stage as is called
    told = [record for record in caplog.records if record.getMessage() == "caught_up"]
    assert len(told) == 1
    view.applied = CHUNK
    list(catch_up(context, stage, UNIT))  # type: ignore[arg-type]
    told = [record for record in caplog.records if record.getMessage() == "caught_up"]
    assert len(told) == 2
