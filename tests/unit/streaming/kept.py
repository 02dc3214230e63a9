"""Gives a store what a stage would keep in it, by ids, and a view that nobody spoils."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Unit
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.packing import pack
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.queries import Changed


class Sound(Protocol):
    """The part of a view that is the same for all whose values are right."""

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        """Return what each unit has."""
        ...

    def load_checked(
        self, wanted: Iterable[tuple[Unit, Sequence[str]]], checked: Collection[Unit]
    ) -> dict[Unit, Loaded]:
        """Return likewise: nothing has another Redis type."""
        del checked
        return self.load_many(wanted)

    def suspect(self, unit: Unit, reason: str) -> None:
        """Nobody has a reason to."""
        raise AssertionError(f"{unit} is suspect: {reason}")


def keep(store: PartialStore, unit: Unit, changed: Sequence[Changed]) -> None:
    """Keep what a batch changes in a unit."""
    for part in changed:
        ids = pa.array(part.ids, pa.string())
        index = EntityIndex(np.full(len(ids), unit.partition, np.int32), ids, np.zeros(0, np.int32))
        store.keep(unit.kind, {part.entity: index}, {part.entity: pack(part.partials)})


def keep_and_pin(store: PartialStore, unit: Unit, end: int, changed: Sequence[Changed]) -> None:
    """Keep it, and have it committed."""
    keep(store, unit, changed)
    store.pin(unit, end, [*changed])
