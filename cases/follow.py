"""``weir cases follow``: decisions for review in, cases out; verdicts in, labels out. Wiring.

Delivery: at least once, both ways; see ``cases/intake.py`` and ``cases/outbox.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import cache, partial

from sqlalchemy import Engine

from weir.cases.events import EventReader
from weir.cases.intake import Intake
from weir.cases.metering import CaseMeter
from weir.cases.outbox import Outbox
from weir.cases.sender import LabelSender, send_until
from weir.cases.stage import STAGE, CaseStage
from weir.inference.cli import build_lookup
from weir.infra.database.engine import open_database
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.source import Partition
from weir.infra.meanwhile import running_meanwhile
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import label_schemas, subject
from weir.streaming.loop import Loop, LoopConfig
from weir.streaming.open_loop import Assemble, Clients, Member, open_loop
from weir.streaming.service import wait_for
from weir.streaming.stage import do_nothing
from weir.streaming.unit_state import NoState

BATCH_RECORDS_MAX = 2_000
_LINGER_SECONDS = 0.05
_MINUTE_MS = 60_000
_START_OVER = "to follow the new topic, set WEIR_SCORER__CASES_GROUP to a new name"


def run_cases(
    settings: Settings,
    *,
    instance: int,
    since_ms: int,
    should_stop: Callable[[], bool],
    enter_place: Callable[[], None] = lambda: None,
    on_step: Callable[[str], None] = do_nothing,
) -> None:
    """Connect, follow decisions and send labels until told to stop, disconnect.

    Args:
        settings: of this deployment and stream.
        instance: names the static group member; two of one number fence each other.
        since_ms: partitions that were never read begin at decisions of this time.
        should_stop: asked between batches.
        enter_place: called before anything is connected that fences another process of this number.
        on_step: called at each numbered step; tests stop the process there.

    Raises:
        Refused: the topic or the database is not as it must be.
        WeirError: something that only a new start can fix.
    """
    topic = settings.topics.decisions
    decisions = wait_for(lambda: describe_topics(settings.kafka, [topic])[topic], should_stop)
    engine = wait_for(lambda: open_database(settings), should_stop)
    member = Member(settings.scorer.cases_group, instance, [decisions], transactional=False)
    # of several that follow, one measures: what it finds is of the whole database
    meter = CaseMeter(engine, stream=settings.stream.full_name, label=settings.stream.name) if instance == 0 else None
    prepare = partial(_prepare, settings, engine, decisions, since_ms, meter, on_step)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        failed = stack.enter_context(_send_labels(settings, engine, stack, on_step))
        loop = stack.enter_context(
            open_loop(settings, member, prepare, should_stop=should_stop, enter_place=enter_place)
        )
        # a sender that died would leave verdicts without labels: the process ends and is started again
        loop.run(lambda: should_stop() or bool(failed))
        if failed:
            raise failed[0]


def _send_labels(
    settings: Settings, engine: Engine, stack: ExitStack, on_step: Callable[[str], None]
) -> AbstractContextManager[list[BaseException]]:
    stream, topic = settings.stream, settings.topics.labels
    if stream.labels is None:
        return nullcontext([])
    registry = stack.enter_context(closing(Registry(settings.registry)))
    schema = label_schemas(stream)[-1]
    sender = LabelSender(
        Outbox(engine, stream=stream.full_name),
        build_producer(settings.kafka, linger_ms=0, message_timeout_ms=5_000),
        topic=topic,
        schema=schema,
        schema_id=cache(lambda: registry.register(subject(topic), schema)),
        stream=stream.name,
        on_step=on_step,
    )
    return running_meanwhile(partial(send_until, sender), "labels")


def _prepare(
    settings: Settings,
    engine: Engine,
    decisions: TopicFacts,
    since_ms: int,
    meter: CaseMeter | None,
    on_step: Callable[[str], None],
    registry: Registry,
    _: ExitStack,
) -> Assemble:
    stream, group = settings.stream, settings.scorer.cases_group

    def assemble(clients: Clients) -> Loop:
        def first_offset(partition: Partition) -> int:
            return clients.history.offset_at_time(partition, since_ms)

        burst_ms = settings.scorer.case_burst_minutes * _MINUTE_MS
        stage = CaseStage(
            decisions.name,
            stream,
            Intake(engine, stream=stream.full_name, topic_id=decisions.topic_id, burst_ms=burst_ms),
            EventReader(clients.history, registry, stream, settings.topics.transactions),
            build_lookup(registry, decisions.name),
            first_offset=first_offset,
            on_step=on_step,
        )
        config = LoopConfig(
            name=STAGE,
            batch_records_max=BATCH_RECORDS_MAX,
            linger_seconds=_LINGER_SECONDS,
            between=meter.look if meter else do_nothing,
            on_step=on_step,
        )
        state = NoState(stage, clients.source, group=group, topic_id=decisions.topic_id, start_over=_START_OVER)
        return Loop(config, [stage], clients.source, state, clients.output)

    return assemble
