"""Reads what an entity's partials say now, over every unit: the API's side of the view.

It never writes, but for one thing: a value that is not what belongs under its key makes its unit suspect, and that is
said to the unit's processor (``StateView.suspect``), which builds it again.

Delivery: read only; what it sees is at most one apply behind the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from weir.infra.redis.client import Client
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.schemas.errors import Transient


@dataclass(frozen=True)
class Partials:
    """One entity's partials, in partition order.

    Attributes:
        partials: bytes from the transaction units that know the entity.
        labels: bytes from the label units that know it.
        complete: False while a unit is missing, being rebuilt, or followed in another view: values may be too low.
        incomplete_units: tags of those units.
        positions: next offset to be folded, per unit tag.
    """

    partials: list[bytes]
    labels: list[bytes]
    complete: bool
    incomplete_units: list[str] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)


class Stored(NamedTuple):
    """A value that was read, and whose partial it should be."""

    unit: Unit
    entity: str
    entity_id: str
    value: bytes

    @property
    def key(self) -> str:
        """Return its key within the unit."""
        return f"{self.entity}:{self.entity_id}"


FindBroken = Callable[[Sequence[Stored]], list[Stored]]
"""Returns those that are not what belongs under their key."""


class FeatureReader:
    """Looks entities up over all units, in one round trip unless a value is absent in all of them."""

    def __init__(
        self, client: Client, view: StateView, *, partitions: int, label_partitions: int, find_broken: FindBroken
    ) -> None:
        """Bind to a view with so many transaction and label units."""
        self._client = client
        self._view = view
        self._find_broken = find_broken
        self._units = [Unit("t", p) for p in range(partitions)] + [Unit("l", p) for p in range(label_partitions)]

    def read_partials(self, entity: str, entity_id: str) -> Partials:
        """Return the partials of one entity; unknown ids give empty lists.

        Raises:
            Transient: Redis is unreachable.
        """
        return self.read_many([(entity, entity_id)])[0]

    def read_many(self, wanted: list[tuple[str, str]], *, from_ms: int = 0) -> list[Partials]:
        """Return the partials of several entities, in order, in one round trip.

        Args:
            wanted: ``(entity, id)`` pairs.
            from_ms: the units must be complete from this append time on; 0 asks for all of the log.
        """
        keys = [f"{entity}:{entity_id}" for entity, entity_id in wanted]
        loaded = self._view.load_many([(unit, keys) for unit in self._units])
        broken = self._look_for_broken(wanted, loaded)
        incomplete = [u.tag for u in self._units if u in broken or not _is_complete(loaded[u], from_ms)]
        positions = {unit.tag: position.applied for unit in self._units if (position := loaded[unit].position)}
        results = []
        for index in range(len(keys)):
            values = {unit: b"" if unit in broken else loaded[unit].partials[index] for unit in self._units}
            results.append(
                Partials(
                    partials=[value for unit, value in values.items() if unit.kind == "t" and value],
                    labels=[value for unit, value in values.items() if unit.kind == "l" and value],
                    complete=not incomplete,
                    incomplete_units=incomplete,
                    positions=positions,
                )
            )
        return results

    def _look_for_broken(self, wanted: Sequence[tuple[str, str]], loaded: dict[Unit, Loaded]) -> set[Unit]:
        """Return the units that hold a value which is not what belongs under its key; their processors are told."""
        stored = [
            Stored(unit, *pair, value)
            for unit in self._units
            for pair, value in zip(wanted, loaded[unit].partials, strict=True)
            if value
        ]
        # what one unit lacks another has, as a rule; of what none has, a value of another type may be the reason
        seen = {(one.entity, one.entity_id) for one in stored if one.unit.kind == "t"}
        nowhere = [f"{entity}:{entity_id}" for entity, entity_id in wanted if (entity, entity_id) not in seen]
        absent = [(unit, nowhere) for unit in self._units]
        broken = {one.unit: one.key for one in self._find_broken(stored)} if stored else {}
        broken |= {unit: keys[0] for unit, keys in self._view.find_other_types(absent).items()}
        for unit, key in broken.items():
            if not loaded[unit].suspect:
                with suppress(Transient):  # the next reader says it
                    self._view.suspect(unit, f"the value of a {key.partition(':')[0]} is not what was written there")
        return set(broken)


def _is_complete(found: Loaded, from_ms: int) -> bool:
    return found.position is not None and found.position.is_complete(from_ms) and not found.moved_on
