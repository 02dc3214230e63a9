"""Who reads which partition now, asked of the brokers without joining a group.

A process that was killed counts as a member until its session ends (``WEIR_KAFKA__SESSION_TIMEOUT_MS``, 10 s by
default), and as nobody from then on. Heartbeats come from a thread of the client, so a long batch changes nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import ConsumerGroupDescription

from weir.infra.kafka.offsets import build_asker
from weir.infra.kafka.source import Partition
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient

REQUEST_TIMEOUT_SECONDS = 10.0
_NEVER_SECONDS = 3_600.0
"""The client's longest. A question to a coordinator that times out in the client ends the process by an assertion once
the coordinator is back (librdkafka issue 4605). So it does not: who asks waits for less, and closes the client."""
HANDOVER_SECONDS = 2.0
"""A partition that changes hands is given up in one round of the group and given out in the next, a heartbeat later."""
MOVING = "moving"
NOBODY = "nobody"
_AT_REST = frozenset({ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


@dataclass(frozen=True)
class Owners:
    """Who owns a group's partitions.

    Attributes:
        by_partition: such as ``instance 0``; a member that is none of ours by its client's name.
        is_moving: whether the group is giving partitions out right now.
        has_members: whether anybody is in it.
    """

    by_partition: Mapping[Partition, str] = field(default_factory=dict)
    is_moving: bool = False
    has_members: bool = False

    def of(self, partition: Partition) -> str:
        """Return who owns a partition, ``moving``, or ``nobody``."""
        return self.by_partition.get(partition) or (MOVING if self.is_moving else NOBODY)


def read_owners(
    kafka: KafkaSettings, group: str, wanted: Collection[Partition], *, sleep: Callable[[float], object] = time.sleep
) -> Owners:
    """Return who owns a group's partitions; one that has no owner is asked for twice where the group has members.

    Args:
        kafka: the brokers.
        group: its name.
        wanted: the partitions that somebody should own.
        sleep: waits between the two.

    Raises:
        Transient: the brokers did not answer in time.
    """
    found = _read_once(kafka, group)
    if found.has_members and not found.is_moving and any(found.of(partition) == NOBODY for partition in wanted):
        sleep(HANDOVER_SECONDS)
        found = _read_once(kafka, group)
    return found


def _read_once(kafka: KafkaSettings, group: str) -> Owners:
    described = describe_group(kafka, group)
    if described is None:
        return Owners()
    owners = {
        (at.topic, at.partition): _name(group, member.group_instance_id or member.client_id)
        for member in described.members
        for at in member.assignment.topic_partitions
    }
    return Owners(owners, described.state not in _AT_REST, bool(described.members))


def describe_group(kafka: KafkaSettings, group: str) -> ConsumerGroupDescription | None:
    """Return what the brokers know of a group; ``None`` where they know none of that name.

    Raises:
        Transient: they did not answer in time.
    """
    try:
        with build_asker(kafka) as admin:  # closed with its question, see _NEVER_SECONDS
            asked = admin.describe_consumer_groups([group], request_timeout=_NEVER_SECONDS)[group]
            return asked.result(REQUEST_TIMEOUT_SECONDS)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].name() == "GROUP_ID_NOT_FOUND":
            return None
        why = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
        raise Transient(f"kafka: members of group {group}: {why}") from error


def _name(group: str, member: str) -> str:
    """Return what an operator calls a member.

    >>> _name("weir.processor", "weir.processor-2.4.4.labels"), _name("weir.processor", "rdkafka")
    ('instance 2', 'rdkafka')
    """
    ours = re.fullmatch(rf"{re.escape(group)}-(\d+)\..*", member)
    return f"instance {ours[1]}" if ours else member
