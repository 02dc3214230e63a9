"""Between an index of entities and units: cutting positions by partition, sorting new partials by unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from weir.infra.redis.unit import Unit
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.state.queries import Changed


def runs(index: EntityIndex) -> Iterator[tuple[int, slice]]:
    """Cut an index by partition: rows come sorted by it, so each partition's positions are one run."""
    bounds = np.flatnonzero(np.diff(index.units, prepend=-1, append=-1))
    for start, end in pairwise(bounds.tolist()):
        yield int(index.units[start]), slice(start, end)


def sort_by_unit(
    kind: str,
    entities: Mapping[str, EntityIndex],
    known: Mapping[str, NDArray[np.bool_]],
    states: Mapping[str, Sequence[bytes]],
) -> dict[Unit, list[Changed]]:
    """Sort new partials by unit; an entity that no counted record touched has none.

    Args:
        kind: of the units.
        entities: whom the batch was about, rows sorted by partition.
        known: of each, whether there was a partial before; aligned with the entities' ids.
        states: new partials, likewise.
    """
    changed: dict[Unit, list[Changed]] = {}
    for entity, partials in states.items():
        index, had = entities[entity], known[entity].tolist()
        for partition, run in runs(index):
            ids, part = index.ids[run], partials[run]
            new = [name for name, had_one, partial in zip(ids, had[run], part, strict=True) if partial and not had_one]
            changed.setdefault(Unit(kind, partition), []).append(_without_empty(Changed(entity, ids, part, new)))
    return changed


def _without_empty(part: Changed) -> Changed:
    if b"" not in part.partials:
        return part
    known = [place for place, partial in enumerate(part.partials) if partial]
    ids, partials = [part.ids[place] for place in known], [part.partials[place] for place in known]
    return Changed(part.entity, ids, partials, part.new)
