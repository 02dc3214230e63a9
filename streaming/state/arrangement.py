"""Between an index of entities and units: cutting positions by partition, sorting new partials by unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from weir.infra.redis.unit import Unit
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.state.cache import Changed


def runs(index: EntityIndex) -> Iterator[tuple[int, list[str]]]:
    """Cut an index by partition: rows come sorted by it, so each partition's positions are one run."""
    start = 0
    for partition, group in groupby(index.partitions):
        end = start + sum(1 for _ in group)
        yield partition, index.ids[start:end]
        start = end


def sort_by_unit(
    kind: str,
    entities: Mapping[str, EntityIndex],
    before: Mapping[str, Sequence[bytes]],
    states: Mapping[str, Sequence[bytes]],
) -> dict[Unit, list[Changed]]:
    """Sort new partials by unit; an entity that no counted record touched has none.

    Args:
        kind: of the units.
        entities: whom the batch was about, rows sorted by partition.
        before: the partials that there were, aligned with the entities' ids.
        states: new partials, likewise.
    """
    changed: dict[Unit, list[Changed]] = {}
    for entity, partials in states.items():
        start = 0
        for partition, ids in runs(entities[entity]):
            part, was = partials[start : start + len(ids)], before[entity][start : start + len(ids)]
            start += len(ids)
            new = [ids[place] for place, partial in enumerate(was) if not partial and part[place]] if b"" in was else ()
            changed.setdefault(Unit(kind, partition), []).append(_without_empty(Changed(entity, ids, part, new)))
    return changed


def _without_empty(part: Changed) -> Changed:
    if b"" not in part.partials:
        return part
    known = [place for place, partial in enumerate(part.partials) if partial]
    ids, partials = [part.ids[place] for place in known], [part.partials[place] for place in known]
    return Changed(part.entity, ids, partials, part.new)
