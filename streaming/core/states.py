"""What the kernel takes and gives: partials of the entities of a batch, and what the batch came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.packing import pack_lists, pack_one_each
from weir.streaming.core.passes import Partials
from weir.streaming.core.risk import Changes

Packed = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""New partials end to end, one per entity, and their offsets."""


@dataclass(frozen=True)
class States:
    """Partials of the entities of a batch; lists are aligned with the batch's ``EntityIndex.ids``.

    Attributes:
        own: our partition's partial, ``b""`` if never seen.
        others: the other partitions' partials in partition order; an empty list or a missing key is none.
        labels: the label units' partials, likewise.
    """

    own: Mapping[str, list[bytes]]
    others: Mapping[str, Sequence[Sequence[bytes]]] = field(default_factory=dict)
    labels: Mapping[str, Sequence[Sequence[bytes]]] = field(default_factory=dict)


@dataclass(frozen=True)
class PackedStates:
    """``States`` as compiled code takes them: per entity kind all partials end to end; a missing key is none.

    ``changes`` are labels that became known while the batch's rows passed: history knows when, the stream reads them.
    """

    own: Mapping[str, Partials]
    others: Mapping[str, Partials]
    labels: Mapping[str, Partials]
    changes: Mapping[str, Changes] = field(default_factory=dict)


def pack_states(entities: Mapping[str, EntityIndex], states: States) -> PackedStates:
    """Pack the partials of a batch's entities.

    Raises:
        ValueError: when they do not match the batch.
    """
    sizes = {entity: len(index) for entity, index in entities.items()}
    for entity, size in sizes.items():
        if len(states.own[entity]) != size:
            raise ValueError(f"expected {size} partials of {entity}, found {len(states.own[entity])}")
    return PackedStates(
        own={entity: pack_one_each(states.own[entity]) for entity in sizes},
        others={entity: pack_lists(lists, sizes[entity]) for entity, lists in states.others.items()},
        labels={entity: pack_lists(lists, sizes[entity]) for entity, lists in states.labels.items()},
    )


@dataclass(frozen=True)
class Computed:
    """What a batch came to, but for the state.

    Attributes:
        verdicts: uint8, shape (rows,): 0 counted, 1 duplicate, 2 id reused with another body.
        late: bool, shape (rows,): at or before the key's newest event less the horizon; decided, not in windows.
        features: float32, shape (rows, features), columns in the order of the stream's; NaN is missing. Rows that do
            not count are unspecified.
    """

    verdicts: NDArray[np.uint8]
    late: NDArray[np.bool_]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class Step(Computed):
    """What a batch came to.

    Attributes:
        states: new own partials, aligned as they were given.
    """

    states: dict[str, list[bytes]]


class Reading(NamedTuple):
    """An entity to be read as of a time.

    Attributes:
        partials: every partition's partial, in partition order.
        labels: every label unit's partial.
        at_ms: UTC epoch ms; windows end here.
    """

    entity: str
    partials: list[bytes]
    labels: list[bytes]
    at_ms: int
