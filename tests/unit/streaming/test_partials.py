"""What the store refuses to build on, and whose fault it names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from tests.payments import Entity
from tests.unit.streaming.kept import Sound, keep_and_pin
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Position, Unit
from weir.streaming.core.id_set import IdSet
from weir.streaming.kernels import shipped_kernel
from weir.streaming.state.cache import PartialStore, StaleState
from weir.streaming.state.queries import Changed, PartialQuery

OWN, LENT, IDLE = Unit("t", 0), Unit("t", 1), Unit("l", 0)


class _View(Sound):
    """Positions and partials in memory."""

    def __init__(self, positions: dict[Unit, int]) -> None:
        self.positions = positions

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        return {
            unit: Loaded(Position(self.positions[unit]) if unit in self.positions else None, [b"" for _ in keys])
            for unit, keys in wanted
        }


def _own_all(view: _View) -> PartialStore:
    store = PartialStore(
        view, declarations_hash=shipped_kernel().stream.declarations_hash, entities_max=100, bytes_max=1_000
    )
    for unit, applied in view.positions.items():
        store.own(unit, Position(applied), born_empty=False)
    return store


def test_every_owned_unit_that_was_moved_is_named_also_one_that_only_lends_partials() -> None:
    view = _View({OWN: 5, LENT: 7, IDLE: 0})
    store = _own_all(view)
    view.positions = {OWN: 5}
    with pytest.raises(StaleState, match="expected unit t01 at 7, found none") as found:
        store.read([PartialQuery(Entity.DEVICE, ["d1"], [OWN, LENT, IDLE])])
    assert list(found.value.units) == [LENT, IDLE]


@pytest.mark.parametrize("ids", [None, IdSet(["device"])])
def test_an_ask_for_nobody_is_answered_for_every_unit_whatever_is_known_of_it(ids: IdSet | None) -> None:
    """A batch of dead letters alone asks so, of own units and of others."""
    store = _own_all(_View({OWN: 5}))
    store.own(OWN, Position(5), born_empty=False, ids=ids)
    answer = store.read([PartialQuery(Entity.DEVICE, [], [OWN, LENT]), PartialQuery(Entity.DEVICE, [], [IDLE])])
    assert [[list(part) for part in values] for values in answer] == [[[], []], [[]]]


def test_a_look_without_any_record_finds_a_unit_that_is_gone() -> None:
    view = _View({OWN: 5, IDLE: 3})
    store = _own_all(view)
    store.check([OWN, IDLE])
    del view.positions[IDLE]
    with pytest.raises(StaleState) as found:
        store.check([OWN, IDLE])
    assert list(found.value.units) == [IDLE]


def test_a_look_finds_a_unit_from_which_something_was_erased() -> None:
    class Erased(_View):
        def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
            return {unit: Loaded(Position(5, erasures=int(unit == OWN)), [b"" for _ in keys]) for unit, keys in wanted}

    store = _own_all(Erased({OWN: 5, IDLE: 5}))
    with pytest.raises(StaleState, match="found 5, 1 erasures") as found:
        store.check([OWN, IDLE])
    assert list(found.value.units) == [OWN]
    assert store.erasures(OWN) == 0
    store.own(OWN, Position(5, erasures=1), born_empty=False)
    store.check([OWN, IDLE])
    assert store.erasures(OWN) == 1


def test_a_look_takes_either_position_while_a_write_is_in_flight() -> None:
    view = _View({OWN: 5})
    store = _own_all(view)
    store.pin(OWN, 9, [])
    for applied in (5, 9):
        view.positions[OWN] = applied
        store.check([OWN])
    store.confirm(OWN, 9)
    view.positions[OWN] = 5
    with pytest.raises(StaleState):
        store.check([OWN])


class _NoReads(_View):
    """A view that is right not to be asked."""

    def __init__(self) -> None:
        super().__init__({})

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        raise AssertionError(f"asked for {list(wanted)}")


@pytest.mark.parametrize("changed", [["d1", "d2", "d3"], ["d1", "d3"], ["d3", "d2", "d1"], ["d4", "d1"]])
def test_what_a_batch_changed_is_found_under_its_own_ids_whichever_were_read(changed: list[str]) -> None:
    store = PartialStore(
        _NoReads(), declarations_hash=shipped_kernel().stream.declarations_hash, entities_max=100, bytes_max=1_000
    )
    store.own(OWN, Position(0), born_empty=True)
    store.read([PartialQuery(Entity.DEVICE, ["d1", "d2", "d3"], [OWN])])
    keep_and_pin(store, OWN, 9, [Changed(Entity.DEVICE, list(changed), [name.encode() for name in changed])])
    everyone = ["d4", "d3", "d2", "d1"]
    found = store.read([PartialQuery(Entity.DEVICE, everyone, [OWN])])[0][0]
    assert list(found) == [name.encode() if name in changed else b"" for name in everyone]


def test_what_a_batch_changed_is_found_after_a_trim_between_its_reading_and_its_pinning() -> None:
    view = _View({OWN: 0})
    store = PartialStore(
        view, declarations_hash=shipped_kernel().stream.declarations_hash, entities_max=1, bytes_max=1_000
    )
    store.own(OWN, Position(0), born_empty=False)
    store.read([PartialQuery(Entity.DEVICE, ["d1", "d2"], [OWN])])
    store.trim()
    nothing, some = Changed(Entity.IP, [], []), Changed(Entity.DEVICE, ["d1", "d2"], [b"one", b"two"])
    keep_and_pin(store, OWN, 9, [nothing, some])
    assert list(store.read([PartialQuery(Entity.DEVICE, ["d1", "d2"], [OWN])])[0][0]) == [b"one", b"two"]


def test_what_redis_has_not_confirmed_stays_whatever_is_dropped_meanwhile() -> None:
    """Read again it would be the older value, here nothing."""
    view = _View({OWN: 0})
    store = PartialStore(
        view, declarations_hash=shipped_kernel().stream.declarations_hash, entities_max=1, bytes_max=1_000
    )
    store.own(OWN, Position(0), born_empty=False)
    for end in range(1, 6):
        name = f"d{end}"
        store.read([PartialQuery(Entity.DEVICE, [name], [OWN])])
        keep_and_pin(store, OWN, end, [Changed(Entity.DEVICE, [name], [name.encode()])])
        store.trim()
    everyone = [f"d{end}" for end in range(1, 6)]
    assert list(store.read([PartialQuery(Entity.DEVICE, everyone, [OWN])])[0][0]) == [
        name.encode() for name in everyone
    ]
    store.confirm(OWN, 5)
    view.positions[OWN] = 5
    for _ in range(2):  # the older generation goes, and then what was the younger one
        store.read([PartialQuery(Entity.DEVICE, ["other"], [OWN])])
        store.trim()
    assert list(store.read([PartialQuery(Entity.DEVICE, everyone, [OWN])])[0][0]) == [b""] * 5
