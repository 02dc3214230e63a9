"""``weir score``, ``weir index`` and ``weir serve``: wiring, and running until told to stop."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path

from weir.inference.api.ports import ArchiveSources
from weir.inference.champion import Champion, open_champion
from weir.inference.decide import Decider, DecisionWriter, SchemaLookup
from weir.inference.decide_step import DecideStep
from weir.inference.index import STAGE as INDEX_STAGE
from weir.inference.index import IndexStage
from weir.inference.metering import STAGE as SCORE_STAGE
from weir.inference.processes import Reporter
from weir.inference.published.gate import TryText
from weir.inference.score_stage import ScoreStage, ScoreStageConfig
from weir.inference.shadow import ShadowScorer
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.first_start import outputs_without_offsets
from weir.infra.kafka.group_position import Standing, begin_at_committed
from weir.infra.kafka.history import History
from weir.infra.kafka.instance_claim import Place, enter_all
from weir.infra.kafka.offsets import end_offsets
from weir.infra.kafka.source import Partition
from weir.infra.meanwhile import running_meanwhile
from weir.infra.redis.client import Client, connect
from weir.infra.redis.decision_store import DecisionStore
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.monitoring.logs import configure
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.contracts import decisions_schema, subject
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.project import find_stream, find_streams
from weir.streaming.feature_rows import FeatureRowReader
from weir.streaming.health.checks import start_watch
from weir.streaming.loop import Loop, LoopConfig
from weir.streaming.offsets.coverage import Coverage, build_coverage, check_offsets
from weir.streaming.offsets.stages import scorer_stage
from weir.streaming.open_loop import Assemble, Clients, Member, open_loop
from weir.streaming.service import open_metrics_page, run_service, wait_for
from weir.streaming.stage import do_nothing
from weir.streaming.unit_state import NoState

INDEX_BATCH_RECORDS_MAX = 2_000
OffsetsCheck = Callable[[Coverage, Partition, Standing], None]
_SECONDS_PER_DAY = 86_400
_DECIDE_ANEW = (
    "to decide the new topic's rows, set WEIR_SCORER__GROUP to a new name and start once with `--decide-again`"
)
_INDEX_ANEW = "to index the new topic's decisions, set WEIR_SCORER__INDEX_GROUP to a new name"


def main(argv: list[str], archive: ArchiveSources | None = None, try_text: TryText | None = None) -> int:
    """Run one of the three verbs. Exit codes: 0 stopped, 1 failed, 2 refused or misused.

    Args:
        argv: with the verb first.
        archive: of ``serve``: answers for past decisions, in an installation that has it.
        try_text: likewise: tries rules and lists on the past.
    """
    verb = argv[0]
    arguments = _build_parser(verb).parse_args(argv[1:])
    settings = load_settings()
    if verb == "serve":
        from weir.inference.api.serve import run_api  # noqa: PLC0415 - a scorer needs no web server

        configure(settings.monitoring.log_level, settings.monitoring.log_format, "api")
        served = find_streams(Path.cwd(), arguments.stream)
        return run_api(
            settings,
            served,
            host=arguments.host,
            port=arguments.port,
            archive=archive,
            try_text=try_text,
            descriptor=arguments.fd,
        )
    settings = settings.of_stream(find_stream(Path.cwd(), arguments.stream))
    configure(settings.monitoring.log_level, settings.monitoring.log_format, f"{verb}-{arguments.instance}")
    open_metrics_page(settings, arguments.metrics_port)
    indexes = verb == "index" or arguments.with_index
    stages = (*([SCORE_STAGE] if verb == "score" else []), *([INDEX_STAGE] if indexes else []))
    index, scorer = _build_places(settings, arguments.instance)
    if verb == "index":
        run = partial(run_index, settings, instance=arguments.instance, enter_place=index.enter)
    else:
        places = [scorer, index] if arguments.with_index else [scorer]
        run = partial(
            run_scorer,
            settings,
            instance=arguments.instance,
            with_index=arguments.with_index,
            decide_again=arguments.decide_again,
            accept_offsets=arguments.accept_offsets,
            enter_place=lambda: enter_all(places),
        )
    with closing(start_watch(settings, stages=stages, redis=indexes)):
        run_service(lambda should_stop: run(should_stop=should_stop))
    return 0


def _build_places(settings: Settings, instance: int) -> tuple[Place, Place]:
    names, groups = settings.topics, settings.scorer
    index = Place(settings.kafka, group=groups.index_group, instance=instance, topic=names.decisions)
    return index, Place(settings.kafka, group=groups.group, instance=instance, topic=names.features)


def run_scorer(
    settings: Settings,
    *,
    instance: int,
    should_stop: Callable[[], bool],
    with_index: bool = False,
    decide_again: bool = False,
    accept_offsets: bool = False,
    enter_place: Callable[[], None] = lambda: None,
    on_step: Callable[[str], None] = do_nothing,
) -> None:
    """Check the model, connect, score until told to stop, disconnect.

    Args:
        settings: of this deployment.
        instance: names the static group member and the transactional id; two of one number fence each other.
        should_stop: asked between batches.
        with_index: also follow the decisions into the index, in a thread.
        decide_again: begin at the first row although decisions exist and the group's offsets are gone.
        accept_offsets: continue at committed offsets that the decisions do not cover, because those were deleted.
        enter_place: called before anything is connected that fences another process of this number.
        on_step: called at each numbered step; tests stop the process there.

    Raises:
        Refused: the bundle is not right, or the group's offsets were lost.
        Stopped: before it was connected.
        WeirError: something that only a new start can fix.
    """
    with closing(open_champion(settings, should_stop)) as champion:
        topic = settings.topics.features
        features = wait_for(lambda: describe_topics(settings.kafka, [topic])[topic], should_stop)
        if not decide_again:
            wait_for(lambda: _check_first_start(settings), should_stop)
        check = _build_check(decide_again=decide_again, accept_offsets=accept_offsets)
        prepare = partial(_prepare_scorer, settings, champion, features, on_step, check)
        member = Member(settings.scorer.group, instance, [features])
        index: AbstractContextManager[list[BaseException]] = nullcontext([])
        if with_index:
            follow = partial(_follow_decisions, settings, instance)
            index = running_meanwhile(follow, "index")
        with (
            open_loop(
                settings,
                member,
                prepare,
                should_stop=should_stop,
                enter_place=enter_place,
                model=champion.bundle.manifest.version,
            ) as loop,
            closing(Reporter(settings, f"scorer {instance}", champion)),
            index as failed,
        ):
            # an index that died would leave decisions without entries: the process ends and is started again
            loop.run(lambda: should_stop() or bool(failed))
        if failed:
            raise failed[0]


def run_index(
    settings: Settings,
    *,
    instance: int,
    should_stop: Callable[[], bool],
    enter_place: Callable[[], None] = lambda: None,
) -> None:
    """Connect, follow the decisions until told to stop, disconnect; arguments are those of ``run_scorer``.

    Raises:
        WeirError: something that only a new start can fix.
    """
    topic = settings.topics.decisions
    decisions = wait_for(lambda: describe_topics(settings.kafka, [topic])[topic], should_stop)
    client = wait_for(lambda: connect(settings.redis), should_stop)
    member = Member(settings.scorer.index_group, instance, [decisions], transactional=False)
    prepare = partial(_prepare_index, settings, client, decisions)
    with open_loop(settings, member, prepare, should_stop=should_stop, enter_place=enter_place) as loop:
        loop.run(should_stop)


def _prepare_index(
    settings: Settings, client: Client, decisions: TopicFacts, registry: Registry, _: ExitStack
) -> Assemble:
    ttl_seconds = settings.scorer.decision_ttl_days * _SECONDS_PER_DAY
    store = DecisionStore(client, space=settings.key_space, topic_id=decisions.topic_id, ttl_seconds=ttl_seconds)

    def assemble(clients: Clients) -> Loop:
        stage = IndexStage(
            decisions.name,
            store,
            build_lookup(registry, decisions.name),
            schema=decisions_schema(settings.stream),
            id_field=settings.stream.id,
            rebuild_from=lambda at: clients.history.offset_at_time(at, int((time.time() - ttl_seconds) * 1_000)),
        )
        config = LoopConfig(
            name=INDEX_STAGE,
            batch_records_max=INDEX_BATCH_RECORDS_MAX,
            linger_seconds=settings.scorer.linger_ms / 1_000,
            between=stage.look,
        )
        state = NoState(
            stage,
            clients.source,
            group=settings.scorer.index_group,
            topic_id=decisions.topic_id,
            start_over=_INDEX_ANEW,
        )
        return Loop(config, [stage], clients.source, state, clients.output)

    return assemble


def build_lookup(registry: Registry, topic: str) -> SchemaLookup:
    """Return what answers for the writer schema ids of a topic's values."""
    return partial(_writer_schema, registry, subject(topic))


def _check_first_start(settings: Settings) -> None:
    names, group = settings.topics, settings.scorer.group
    if outputs_without_offsets(
        settings.kafka, group=group, source=names.features, output=names.decisions
    ) and _has_decided(settings):
        raise Refused(
            f"group {group} has no committed offsets, but {names.decisions} has records: every row would be decided "
            "again; `weir offsets recover --apply` sets the offsets from the decisions; `--decide-again` is for who "
            "means it"
        )


def _has_decided(settings: Settings) -> bool:
    """Tell whether decisions are a scorer's: those of ``weir run`` are of rows that a scorer passes by."""
    with closing(History(settings.kafka)) as history, closing(Registry(settings.registry)) as registry:
        coverage = build_coverage(scorer_stage(settings), settings, history, registry)
        topic = settings.topics.features
        ends = end_offsets(settings.kafka, topic)
        return any(coverage.has_outputs(n, low=history.low((topic, n)), end=end) for n, end in ends.items())


def _build_check(*, decide_again: bool, accept_offsets: bool) -> OffsetsCheck:
    if decide_again:
        return lambda *_: None
    return partial(check_offsets, accept=accept_offsets)


def _prepare_scorer(
    settings: Settings,
    champion: Champion,
    features: TopicFacts,
    on_step: Callable[[str], None],
    check: OffsetsCheck,
    registry: Registry,
    _: ExitStack,
) -> Assemble:
    names, stream = settings.topics, settings.stream
    schema_id = registry.register(subject(names.decisions), decisions_schema(stream))
    reader = FeatureRowReader(stream, build_lookup(registry, names.features))
    writer = DecisionWriter(stream, source_topic=names.transactions, topic=names.decisions, schema_id=schema_id)

    step = DecideStep(
        Decider(champion, stream, ShadowScorer(champion), champion), writer, source_topic=names.transactions
    )

    def assemble(clients: Clients) -> Loop:
        coverage = build_coverage(scorer_stage(settings), settings, clients.history, registry)
        stage_config = ScoreStageConfig(
            topic=names.features,
            dlq_topic=names.features_dlq,
            group=settings.scorer.group,
            dlq_header_prefix=settings.processor.dlq_header_prefix,
            begin=partial(_begin_scoring, partial(check, coverage)),
        )
        stage = ScoreStage(stage_config, reader, step)
        stage.warm_up()
        config = LoopConfig(
            name=SCORE_STAGE,
            batch_records_max=settings.scorer.batch_records_max,
            linger_seconds=settings.scorer.linger_ms / 1_000,
            between=champion.poll,
            on_step=on_step,
        )
        state = NoState(
            stage,
            clients.source,
            group=settings.scorer.group,
            topic_id=features.topic_id,
            start_over=_DECIDE_ANEW,
        )
        return Loop(config, [stage], clients.source, state, clients.output)

    return assemble


def _begin_scoring(check: Callable[[Partition, Standing], None], partition: Partition, found: Standing) -> int:
    offset = begin_at_committed(partition, found)
    check(partition, found)
    return offset


def _follow_decisions(settings: Settings, instance: int, done: threading.Event) -> None:
    run_index(settings, instance=instance, should_stop=done.is_set)


def _writer_schema(registry: Registry, of_subject: str, schema_id: int) -> WriterSchema | PoisonRecord:
    return registry.writer_schema(schema_id, of_subject)


def _build_parser(verb: str) -> argparse.ArgumentParser:
    what = {
        "score": "Run a scorer: feature rows in, decisions out, exactly once.",
        "index": "Follow the decisions into the index that the API reads.",
        "serve": "Serve the HTTP API.",
    }
    parser = Parser(prog=f"weir {verb}", description=what[verb])
    if verb == "serve":
        parser.add_argument(
            "--host", help="another address than 127.0.0.1 needs keys: docs/keys.md (default: settings)"
        )
        parser.add_argument("--port", type=int, help="0 takes a free one (default: settings)")
        parser.add_argument("--fd", type=int, metavar="N", help="a listening socket that was inherited, and no port")
        add_stream_flag(parser, default="all of the project, or the payments", again=True)
        return parser
    parser.add_argument("--instance", type=int, default=0, metavar="N", help="ordinal, unique per running process")
    parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics here (default: settings)")
    add_stream_flag(parser)
    if verb == "score":
        parser.add_argument("--with-index", action="store_true", help="also run the decision index, in a thread")
        parser.add_argument(
            "--decide-again",
            action="store_true",
            help="start at the first row though decisions exist",
        )
        parser.add_argument(
            "--accept-offsets", action="store_true", help="continue above what the decisions cover: they were deleted"
        )
    return parser
