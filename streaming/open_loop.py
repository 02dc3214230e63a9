"""The one place where a loop gets its clients: which there are, in which order they are connected, and how they end.

What may be away is asked first and again, and leaves nothing open when it does not answer; what fences another process
of the same number comes after that process was told by a mark (``infra/kafka/instance_claim.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Consumer

from weir.infra.heap import freeze_gc
from weir.infra.kafka.admin import TopicFacts
from weir.infra.kafka.clients import build_consumer, build_producer
from weir.infra.kafka.handout import Handout
from weir.infra.kafka.history import History
from weir.infra.kafka.sink import OffsetsOnly, TransactionalOutput
from weir.infra.kafka.source import PartitionedInput
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.streaming.committer import Output
from weir.streaming.loop import Loop
from weir.streaming.service import wait_for

FETCH_MIN_BYTES = 4_096
"""Below, a broker gathers for ``fetch.wait.max.ms`` before it answers: a loop waits for more records anyway, and to
answer with each single one costs both sides a tenth of a core at a thousand records a second."""

OTHERS_WAIT_MS = 100
"""How long a broker gathers records of a topic that is not the first: nobody waits for a label by the millisecond, and
a consumer that is answered a hundred times a second costs as much as one that is busy."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Member:
    """One process in a consumer group: a member of it for each topic that it reads.

    Attributes:
        instance: names the static members and the transactional id; two of one number fence each other.
        topics: that the group reads, the one with most records first.
        transactional: whether outputs and offsets are one Kafka transaction.
    """

    group: str
    instance: int
    topics: Sequence[TopicFacts]
    transactional: bool = True

    @property
    def name(self) -> str:
        """Return how its members' names begin."""
        return f"{self.group}-{self.instance}"


@dataclass(frozen=True)
class Clients:
    """What a loop is put together from.

    Attributes:
        source: of records.
        history: a reader that is in no group.
        output: where batches are committed.
    """

    source: PartitionedInput
    history: History
    output: Output


Assemble = Callable[[Clients], Loop]
Prepare = Callable[[Registry, ExitStack], Assemble]
"""Asks what may be away (``Transient``) and leaves on the stack what is to be closed; what it returns asks nothing."""


@contextmanager
def open_loop(
    settings: Settings,
    member: Member,
    prepare: Prepare,
    *,
    should_stop: Callable[[], bool],
    enter_place: Callable[[], None],
    **told: str,
) -> Iterator[Loop]:
    """Connect a loop, and disconnect it at the end.

    Args:
        settings: of this deployment.
        member: whose clients they are.
        prepare: asks what the loop needs besides.
        should_stop: asked while a dependency is unreachable.
        enter_place: called before anything is connected that fences another process of this number.
        **told: besides, in the log line of the start.

    Raises:
        Stopped: before it was connected.
        WeirError: something that only a new start can fix.
    """
    wait_for(enter_place, should_stop)
    loop, opened = wait_for(partial(_connect, settings, member, prepare), should_stop)
    freeze_gc()
    log.info("started", group=member.group, instance=member.instance, **told)
    try:
        with opened:
            yield loop
    finally:
        log.info("stopped", group=member.group, instance=member.instance)


def _connect(settings: Settings, member: Member, prepare: Prepare) -> tuple[Loop, ExitStack]:
    with ExitStack() as opened:
        registry = Registry(settings.registry)
        opened.callback(registry.close)
        assemble = prepare(registry, opened)
        kafka = settings.kafka
        output: Output | None = None
        if member.transactional:
            output = TransactionalOutput(build_producer(kafka, transactional_id=member.name))
        history = History(kafka)
        opened.callback(history.close)
        consumers = _join(settings, member, opened)
        source = PartitionedInput(consumers, first_offset=history.first_offset)
        loop = assemble(Clients(source, history, output or OffsetsOnly(consumers[0])))
        partitions = [(topic.name, number) for topic in member.topics for number in range(topic.partitions)]
        opened.callback(Handout(kafka, member.group, partitions).close)
        return loop, opened.pop_all()


def _join(settings: Settings, member: Member, opened: ExitStack) -> list[Consumer]:
    """Connect the consumer of each topic; closed, it leaves its partitions to its next start until its session ends."""
    # A static member that starts again gets its old partitions back without a rebalance, and added ones would
    # belong to nobody. With the partition counts in its name it is another member then, and the old one times out.
    first = f"{member.name}.{'.'.join(str(topic.partitions) for topic in member.topics)}"
    consumers = []
    for number, topic in enumerate(member.topics):
        # the first has the name that the one consumer of the release before had, and takes over from it at once
        name, more = (f"{first}.{topic.name}", {"fetch_wait_max_ms": OTHERS_WAIT_MS}) if number else (first, {})
        consumer = build_consumer(
            settings.kafka, group=member.group, instance=name, fetch_min_bytes=FETCH_MIN_BYTES, **more
        )
        opened.callback(consumer.close)
        consumers.append(consumer)
    return consumers
