"""What is asked of partials, what is answered, and what a batch changes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from weir.infra.redis.unit import Position, Unit
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.states import PackedStates
from weir.streaming.state.memory import Numbers

Places = NDArray[np.int64]
"""Positions among the ids of an ask."""


class PartialQuery(NamedTuple):
    """Some ids of one entity kind, wanted from several units."""

    entity: str
    ids: Sequence[str]
    units: Sequence[Unit]


@dataclass(frozen=True)
class BatchQuery:
    """The entities of one kind that a batch is about, each wanted from the unit of its own partition.

    Attributes:
        entity: the kind.
        index: of them.
        others: units of which each is wanted too, where they are not its own.
        labels: units of labels of which they are wanted.
        strayed: partitions whose ids are wanted of ``everyone``.
        everyone: units.
    """

    entity: str
    index: EntityIndex
    others: Sequence[Unit] = ()
    labels: Sequence[Unit] = ()
    strayed: Collection[int] = ()
    everyone: Sequence[Unit] = ()

    @property
    def all_others(self) -> Sequence[Unit]:
        """Return the units of which any of them are wanted, but for their own."""
        return [*self.others, *(unit for unit in self.everyone if unit not in self.others)]

    def list_own(self) -> list[Unit]:
        """Return the units of their partitions."""
        return list_units("t", self.index)

    def list_wanted(self) -> Iterator[tuple[Unit, Places | None]]:
        """Yield every unit, and the positions that are wanted from it; None for all."""
        for unit in (*self.others, *self.labels):
            yield unit, None
        has_strayed = np.isin(self.index.units, [*self.strayed]) if self.strayed else np.False_
        for unit in dict.fromkeys([*self.everyone, *self.list_own()]):
            if unit not in self.others:
                own = self.index.units == unit.partition
                yield unit, np.flatnonzero(own | has_strayed if unit in self.everyone else own)


def list_units(kind: str, index: EntityIndex) -> list[Unit]:
    """Return the units of a kind that the partitions of an index name."""
    return [Unit(kind, partition) for partition in np.flatnonzero(np.bincount(index.units)).tolist()]


class Changed(NamedTuple):
    """New partials of one entity kind in one unit; ``ids`` and ``partials`` are aligned, none is empty.

    Attributes:
        new: those of the ids that had no partial before.
    """

    entity: str
    ids: Sequence[str]
    partials: Sequence[bytes]
    new: Sequence[str] = ()


def name_keys(entity: str, ids: Iterable[str]) -> list[str]:
    """Return the keys of ids within a unit; the kind is formatted once, as an enum's formatting is most of the cost.

    >>> name_keys("card", ["c1", "c2"])
    ['card:c1', 'card:c2']
    """
    kind = f"{entity}:"
    return [kind + entity_id for entity_id in ids]


def encode_known(entities: Sequence[str], entity: str, ids: Iterable[str]) -> bytes:
    r"""Return the entries of ids in their unit's list of known ones: place of the kind, two bytes of length, id.

    The list lets a later reader know what exists in a unit without asking for it. An id whose partial expired and came
    back is in it twice.

    >>> encode_known(["card", "device"], "card", ["c1"])
    b'\x00\x02\x00c1'
    """
    kind = bytes([entities.index(entity)])
    named = [entity_id.encode() for entity_id in ids]
    return b"".join([kind + len(name).to_bytes(2, "little") + name for name in named])


Positions = dict[Unit, Position | None]
"""Of units that are not ours, as of a read; ``None`` where there is none that moves."""


class BatchPartials(NamedTuple):
    """What a batch's entities have."""

    states: PackedStates
    positions: Positions


@dataclass
class Missing:
    """What one unit lacks of some ids of one entity kind.

    Attributes:
        start: where its keys are among those that are asked of the unit.
        fresh: what Redis answered.
    """

    unit: Unit
    entity: str
    ids: Sequence[str]
    numbers: Numbers
    start: int = 0
    fresh: list[bytes] = field(default_factory=list)


class Named(Protocol):
    """Has ids."""

    @property
    def ids(self) -> Sequence[str]:
        """Return them."""
        ...


def pick(ids: Sequence[str], places: Places | None) -> Sequence[str]:
    """Return the ids at some places, or all of them."""
    return ids if places is None else [ids[place] for place in places.tolist()]
