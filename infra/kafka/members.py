"""By how many members a process is in a consumer group: by one for each topic that it reads.

The assignor (``cooperative-sticky``) counts a member's partitions of all topics together, and takes those to be moved
in the order of their topics' names. A single member per process that reads two topics so gives the second process all
of ``labels`` and none of ``transactions``: equal numbers, and the work stays where it was. A member of one topic gets
partitions of that topic alone, so each topic is spread evenly over the processes (ADR 29).

All members of a process are polled by one thread, and their offsets are committed in one group.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Message

if TYPE_CHECKING:  # the input holds its members
    from weir.infra.kafka.source import Partition


class Members:
    """Consumers of one group that take turns, and who of them owns which partition."""

    def __init__(self, consumers: Sequence[Consumer]) -> None:
        """Take over consumers that are not subscribed yet; records of the first are waited for."""
        self._consumers = list(consumers)
        self._turn = 0
        self._joined: set[int] = set()
        self._owners: dict[Partition, Consumer] = {}

    @property
    def any(self) -> Consumer:
        """One of them, for a question that each can ask."""
        return self._consumers[0]

    @property
    def have_joined(self) -> bool:
        """Whether each was told its partitions, be it none, at least once."""
        return len(self._joined) == len(self._consumers)

    def subscribe(self, topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        """Join the group, each consumer with the topic of its place."""
        for consumer, topic in zip(self._consumers, topics, strict=True):
            consumer.subscribe([topic], **callbacks)

    def consume(self, count: int, timeout_seconds: float) -> list[Message]:
        """Return what came for any of them; only the first is waited for, and the others are asked before that.

        Who is asked first alternates, so a topic with a backlog keeps no other from its turn.
        """
        first, *others = self._consumers
        if timeout_seconds:
            return self._ask([*((other, 0.0) for other in others), (first, timeout_seconds)], count)
        self._turn = (self._turn + 1) % len(self._consumers)
        in_turn = self._consumers[self._turn :] + self._consumers[: self._turn]
        return self._ask([(consumer, 0.0) for consumer in in_turn], count)

    def _ask(self, asked: Iterable[tuple[Consumer, float]], count: int) -> list[Message]:
        messages: list[Message] = []
        for consumer, seconds in asked:
            if len(messages) < count:
                messages += consumer.consume(count - len(messages), seconds)
        return messages

    def own(self, consumer: Consumer, partitions: Iterable[Partition]) -> None:
        """Note that partitions were assigned to a consumer.

        It may be one that is subscribed to another topic: a static member that comes back gets what it had, and in the
        release before one member read every topic. The next rebalance gives those partitions to the right one.
        """
        self._joined.add(id(consumer))
        self._owners.update(dict.fromkeys(partitions, consumer))

    def disown(self, partitions: Iterable[Partition]) -> None:
        """Note that partitions went."""
        for partition in partitions:
            self._owners.pop(partition, None)

    def owns(self, partition: Partition, consumer: Consumer | None = None) -> bool:
        """Whether a partition is assigned to a consumer of ours, or to this one."""
        owner = self._owners.get(partition)
        return owner is not None and (consumer is None or owner is consumer)

    def owner(self, partition: Partition) -> Consumer:
        """Return the consumer that a partition is assigned to."""
        return self._owners[partition]

    def metadata(self, partitions: Collection[Partition]) -> dict[Partition, Any]:
        """Return the group's metadata of each partition's owner, as it is now; one object for each owner."""
        owners = {id(self._owners[partition]): self._owners[partition] for partition in partitions}
        asked = {key: owner.consumer_group_metadata() for key, owner in owners.items()}
        return {partition: asked[id(self._owners[partition])] for partition in partitions}
