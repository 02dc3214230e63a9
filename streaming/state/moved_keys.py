"""Which other units a unit has to wait for, because keys of it may have been counted in them.

A key belongs in the partition that its hash says. When partitions are added it belongs in another one from then on, and
a sender with another partitioner puts it elsewhere all along. What was counted of it stays where it is: cards and
labels are read from every unit that may hold some of them (``PartialStore.home_partitions``). A repeated id can only be
recognised while the unit that counted it first is as far as its group committed, so nothing is decided before.

The group's committed offsets carry the number of partitions under which every key counted so far belongs in its
partition (``infra/kafka/group_position.py``): Redis may have lost it. A unit whose number is today's holds no key of
another, and is not waited for. Nor is one whose log another view follows, as in a rolling upgrade of declarations:
this view of it would not come before the other's processes end. Rows made meanwhile name it in ``degraded``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weir.infra.kafka.group_position import parse_note
from weir.infra.kafka.source import Partition
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Unit
from weir.streaming.stage import FoldingStage


class Committed(Protocol):
    """The part of ``infra.kafka_input.PartitionedInput`` that answers for any partition."""

    def committed_many(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int | None, str]]:
        """Return what the group committed, and the notes next to it."""
        ...


class View(Protocol):
    """The part of ``infra.redis_view.StateView`` that says where units stand."""

    def load_many(self, wanted: Sequence[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        """Read positions."""
        ...


def find_units_behind(source: Committed, view: View, stage: FoldingStage, unit: Unit) -> list[Unit]:
    """Return the units of the same input that may hold keys of ours and are behind what the group committed of them.

    Raises:
        Transient: Kafka or Redis is unreachable.
    """
    others = [number for number in range(stage.partitions) if number != unit.partition]
    if not others:
        return []
    committed = source.committed_many([(stage.topic, number) for number in others])
    wanted: dict[Unit, int] = {}
    for (_, number), (offset, note) in committed.items():
        if offset is not None and parse_note(note)[1] != stage.partitions:
            wanted[Unit(unit.kind, number)] = offset
    if not wanted:
        return []
    loaded = view.load_many([(other, []) for other in wanted])
    return [other for other, offset in wanted.items() if not _has_reached(loaded[other], offset)]


def _has_reached(found: Loaded, offset: int) -> bool:
    if found.moved_on:
        return True
    return found.position is not None and not found.position.rebuilding and found.position.applied >= offset
