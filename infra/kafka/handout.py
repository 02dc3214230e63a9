"""Partitions that a start left to nobody, and how they find an owner.

A partition changes hands in two rounds of the group. In the first its owner gives it up and asks for the second, in
which it is given out. An owner that ends between the two asks for nothing. Members are static, so the start in its
place gets what the first round had left to it, and that without a round: to the brokers the group is settled. What was
given up would wait, with all its records, until something else changes the group.

So each start looks until it has seen an owner for every partition once. Where one has none while the group rests, a
member without a name joins and leaves: two more rounds, in which all is given out. It commits nothing.

The brokers' part is KIP-345 (static members) and KIP-429 (two rounds).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from confluent_kafka import Consumer, KafkaException, TopicPartition

from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.group_owners import NOBODY, Owners, read_owners
from weir.infra.kafka.source import Partition
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient, WeirError

LOOK_SECONDS, LOOK_SECONDS_MAX = 2.0, 300.0
"""Before each look: a start that joins a group at work has its partitions a heartbeat or two later. Twice as long after
each time that rounds were asked for."""
ROUND_SECONDS_MAX = 30.0
"""A round waits for every member, and a busy one answers after its batch."""

_log = logging.getLogger(__name__)


class Handout:
    """Looks, in a thread, until every partition of a group has an owner."""

    def __init__(self, kafka: KafkaSettings, group: str, partitions: Collection[Partition]) -> None:
        """Begin to look; ``partitions`` are all that the group should own."""
        self._kafka = kafka
        self._group = group
        self._partitions = partitions
        self._done = threading.Event()
        threading.Thread(target=self._look, name="handout", daemon=True).start()

    def close(self) -> None:
        """Look no more; nothing is waited for."""
        self._done.set()

    def _look(self) -> None:
        try:
            give_out(
                lambda: read_owners(self._kafka, self._group, self._partitions, sleep=self._done.wait),
                self._partitions,
                self._ask_for_rounds,
                wait=self._done.wait,
            )
        except (KafkaException, WeirError) as error:
            _log.warning("kafka: expected to learn who owns the partitions of group %s, found: %s", self._group, error)

    def _ask_for_rounds(self) -> None:
        assigned = threading.Event()

        def hold(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            consumer.incremental_assign(partitions)
            consumer.pause(partitions)
            assigned.set()

        consumer = build_consumer(self._kafka, group=self._group)
        try:
            consumer.subscribe(sorted({topic for topic, _ in self._partitions}), on_assign=hold)
            deadline = time.monotonic() + ROUND_SECONDS_MAX
            while not (assigned.is_set() or self._done.is_set()) and time.monotonic() < deadline:
                consumer.poll(0.1)
        finally:
            consumer.close()


def give_out(
    read: Callable[[], Owners],
    partitions: Collection[Partition],
    ask_for_rounds: Callable[[], None],
    *,
    wait: Callable[[float], bool],
) -> None:
    """Return once every partition had an owner in one look, and ask for rounds while one has none.

    Args:
        read: returns who owns what; a look that fails is made again.
        partitions: that the group should own.
        ask_for_rounds: has the group give out what nobody owns.
        wait: waits so many seconds, and says whether to look no more.
    """
    seconds = LOOK_SECONDS
    while not wait(seconds):
        try:
            owners = read()
        except Transient:
            continue
        without = sorted(each for each in partitions if owners.of(each) == NOBODY)
        if owners.is_moving or not owners.has_members:
            continue
        if not without:
            return
        names = ", ".join(f"{topic}-{number}" for topic, number in without)
        _log.warning("kafka: partitions without an owner, asking the group to give them out: %s", names)
        ask_for_rounds()
        seconds = min(2 * seconds, LOOK_SECONDS_MAX)
