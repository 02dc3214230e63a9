"""``weir process``: wires one stream processor and runs it until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.findings import refuse
from weir.infra.invariants import examine_start
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.first_start import outputs_without_offsets
from weir.infra.kafka.history import History
from weir.infra.kafka.instance_claim import Place
from weir.infra.kafka.positions import Positions
from weir.infra.redis.client import connect
from weir.infra.redis.other_views import abandon_other_views
from weir.infra.redis.unit import Unit
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.monitoring.logs import configure
from weir.schemas.contracts import features_schema, subject
from weir.schemas.errors import Refused
from weir.schemas.project import find_stream
from weir.streaming.compiling import compile_kernel
from weir.streaming.health.checks import LossHook, start_watch
from weir.streaming.kernels import kernel_of
from weir.streaming.loop import Loop, LoopConfig
from weir.streaming.offsets.coverage import build_coverage
from weir.streaming.offsets.stages import processor_stage
from weir.streaming.open_loop import Assemble, Clients, Member, open_loop
from weir.streaming.service import open_metrics_page, run_service, wait_for
from weir.streaming.stage import do_nothing
from weir.streaming.state.catch_up import CatchUpContext
from weir.streaming.state.folded import FoldedState
from weir.streaming.state.view_writer import ViewWriter
from weir.streaming.wiring import Then, build_stages, build_store, build_view, name_inputs

STAGE = "process"


class Deciding(NamedTuple):
    """What makes a processor decide its rows as well.

    Attributes:
        build: asks the registry what it needs, and returns what decides a batch; may raise ``Transient``.
        before: called once connected, before the first batch, with what says whether to stop: a predecessor of this
            number has no transaction open any more.
        between: called when nothing is being decided.
        model: that decides now, for the log.
    """

    build: Callable[[Registry], Then]
    before: Callable[[Callable[[], bool]], None]
    between: Callable[[], object]
    model: str


def main(argv: list[str]) -> int:
    """Run ``weir process``. Exit codes: 0 stopped, 1 failed, 2 refused."""
    return run_command(argv, "Run one stream processor.", name="processor", stages=(STAGE,), run=run_processor)


def run_command(
    argv: list[str], description: str, *, name: str, stages: tuple[str, ...], run: Callable[..., None]
) -> int:
    """Run a command that computes features until it is told to stop.

    Args:
        argv: the command's name and its flags.
        description: for its help.
        name: of the process in its log, before its number.
        stages: whose groups' positions it reports.
        run: as ``run_processor``.
    """
    parser = Parser(prog=f"weir {argv[0]}", description=description)
    parser.add_argument("--instance", type=int, default=0, metavar="N", help="ordinal, unique per running processor")
    parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics here (default: settings)")
    parser.add_argument(
        "--accept-offsets", action="store_true", help="continue above what the outputs cover: they were deleted"
    )
    add_stream_flag(parser)
    arguments = parser.parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    configure(settings.monitoring.log_level, settings.monitoring.log_format, f"{name}-{arguments.instance}")
    open_metrics_page(settings, arguments.metrics_port)
    group, topic = settings.processor.group, settings.topics.transactions
    place = Place(settings.kafka, group=group, instance=arguments.instance, topic=topic)
    started = partial(
        run,
        settings,
        instance=arguments.instance,
        accept_offsets=arguments.accept_offsets,
        enter_place=place.enter,
        on_loss=(hook := LossHook()),
    )
    compile_kernel(kernel_of(settings.stream))  # before any other thread begins: the compiler has the process to itself
    with closing(start_watch(settings, stages=stages, on_loss=hook)):
        run_service(lambda should_stop: started(should_stop=should_stop))
    return 0


def run_processor(
    settings: Settings,
    *,
    instance: int,
    should_stop: Callable[[], bool],
    accept_offsets: bool = False,
    enter_place: Callable[[], None] = lambda: None,
    on_loss: LossHook | None = None,
    on_step: Callable[[str], None] = do_nothing,
    deciding: Deciding | None = None,
) -> None:
    """Check, connect, process until told to stop, disconnect.

    Args:
        settings: of this deployment.
        instance: names the static group member and the transactional id; two of one number fence each other.
        should_stop: asked between batches.
        accept_offsets: continue at committed offsets that the outputs do not cover, because those were deleted.
        enter_place: called before anything is connected that fences another process of this number.
        on_loss: given what marks every unit when Redis lost keys.
        on_step: called at each numbered step of the protocol; tests stop the process there.
        deciding: what decides the rows in the transaction that publishes them; ``None`` leaves that to a scorer.

    Raises:
        Refused: topics, Redis or offsets are not as the promises need them.
        Stopped: before it was connected.
        WeirError: something that only a new start can fix.
    """
    compile_kernel(kernel_of(settings.stream))  # before joining the group: nothing should wait for a compiler
    topics = wait_for(lambda: _check_start(settings), should_stop)
    if on_loss is not None:
        on_loss.handler = partial(_suspect_all, settings, topics)
    member = Member(settings.processor.group, instance, [topics[name] for name in name_inputs(settings).values()])
    prepare = partial(_prepare, settings, topics, deciding, on_step=on_step, accept_offsets=accept_offsets)
    told = {"model": deciding.model} if deciding else {}
    with open_loop(settings, member, prepare, should_stop=should_stop, enter_place=enter_place, **told) as loop:
        if deciding:
            deciding.before(should_stop)
        loop.run(should_stop)


def _suspect_all(settings: Settings, topics: dict[str, TopicFacts], reason: str) -> None:
    """Mark every unit of the group, whichever process owns it, in every view: which keys were lost cannot be known.

    Raises:
        Transient: Redis is unreachable; some units may be marked.
    """
    inputs = {kind: topics[name] for kind, name in name_inputs(settings).items()}
    with closing(connect(settings.redis)) as client:
        view = build_view(settings, client, {kind: facts.topic_id for kind, facts in inputs.items()})
        units = [Unit(kind, number) for kind, facts in inputs.items() for number in range(facts.partitions)]
        for unit in units:
            view.suspect(unit, reason)
        abandon_other_views(client, view.group_prefix, [view.prefix(unit) for unit in units])


def _check_start(settings: Settings) -> dict[str, TopicFacts]:
    refuse(examine_start(settings))
    names = settings.topics
    topics = describe_topics(settings.kafka, [*name_inputs(settings).values(), names.features])
    _check_first_start(settings)
    return topics


def _check_first_start(settings: Settings) -> None:
    names, group = settings.topics, settings.processor.group
    if outputs_without_offsets(settings.kafka, group=group, source=names.transactions, output=names.features):
        raise Refused(
            f"group {group} has no committed offsets, but {names.features} has records: they would be decided "
            "twice; run `weir offsets recover --apply` to set the offsets from the outputs"
        )


def _prepare(
    settings: Settings,
    topics: dict[str, TopicFacts],
    deciding: Deciding | None,
    registry: Registry,
    opened: ExitStack,
    *,
    on_step: Callable[[str], None],
    accept_offsets: bool,
) -> Assemble:
    stages = build_stages(
        settings,
        topics,
        registry,
        features_schema_id=registry.register(subject(settings.topics.features), features_schema(settings.stream)),
        then=deciding.build(registry) if deciding else None,
    )
    topic_ids = {kind: topics[name].topic_id for kind, name in name_inputs(settings).items()}
    view = build_view(settings, connect(settings.redis), topic_ids)
    rebuilding = History(settings.kafka)  # catch-up holds one reader from turn to turn
    opened.callback(rebuilding.close)
    coverage = build_coverage(processor_stage(settings), settings, rebuilding, registry)

    def assemble(clients: Clients) -> Loop:
        context = CatchUpContext(
            source=clients.source,
            history=rebuilding,
            view=view,
            store=build_store(settings, view),
            topic_ids=topic_ids,
            group=settings.processor.group,
            on_step=on_step,
            entities=kernel_of(settings.stream).entities,
            coverage=coverage,
            accept_offsets=accept_offsets,
        )
        view_writer = ViewWriter(view, context.entities)
        opened.callback(view_writer.close)
        config = LoopConfig(
            name=STAGE,
            batch_records_max=settings.processor.batch_records_max,
            linger_seconds=settings.processor.linger_ms / 1_000,
            between=deciding.between if deciding else do_nothing,
            on_step=on_step,
        )
        newest_row_ms = partial(_read_newest_row_ms, settings) if deciding else None
        state = FoldedState(stages, context, view_writer, name=STAGE, newest_row_ms=newest_row_ms)
        return Loop(config, stages, clients.source, state, clients.output)

    return assemble


def _read_newest_row_ms(settings: Settings) -> int:
    """Return the newest append time of all feature rows; 0 where there is none."""
    with closing(Positions(settings.kafka)) as positions:
        return max((ms for _, ms in positions.read_newest((settings.topics.features,)).values()), default=0)
