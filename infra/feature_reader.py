"""Reads what an entity's partials say now, over every unit: the API's side of the view. It never writes.

Delivery: read only; what it sees is at most one apply behind the processor.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.redis_client import Client
from infra.redis_view import Loaded, StateView, Unit


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


class FeatureReader:
    """Looks entities up over all units in one round trip."""

    def __init__(self, client: Client, view: StateView, *, partitions: int, label_partitions: int) -> None:
        """Bind to a view with so many transaction and label units."""
        self._client = client
        self._view = view
        self._units = [Unit("t", p) for p in range(partitions)] + [Unit("l", p) for p in range(label_partitions)]

    def read_partials(self, entity: str, entity_id: str) -> Partials:
        """Return the partials of one entity; unknown ids give empty lists.

        Raises:
            Transient: Redis is away.
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
        incomplete = [unit.tag for unit in self._units if not _is_complete(loaded[unit], from_ms)]
        positions = {unit.tag: position.applied for unit in self._units if (position := loaded[unit].position)}
        results = []
        for index in range(len(keys)):
            values = {unit: loaded[unit].partials[index] for unit in self._units}
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


def _is_complete(found: Loaded, from_ms: int) -> bool:
    return found.position is not None and found.position.is_complete(from_ms) and not found.moved_on
