"""``weir score``, ``weir index`` and ``weir serve``: wiring, and running until told to stop."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from weir.inference.champion import Champion
from weir.inference.decide import SchemaLookup, Scoring
from weir.inference.follower import Follower, FollowerConfig, begin_at_committed
from weir.inference.index import STAGE as INDEX_STAGE
from weir.inference.index import DecisionIndex
from weir.inference.processes import Reporter
from weir.inference.scorer import STAGE as SCORE_STAGE
from weir.inference.scorer import Scorer, ScorerConfig, no_step
from weir.infra.arguments import Parser
from weir.infra.heap import freeze_gc
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.clients import build_consumer, build_producer
from weir.infra.kafka.first_start import outputs_without_offsets
from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.history import History
from weir.infra.kafka.instance_claim import Place, enter_all
from weir.infra.kafka.sink import TransactionalOutput
from weir.infra.kafka.source import Partition, PartitionedInput
from weir.infra.redis.client import connect
from weir.infra.redis.decision_store import DecisionStore
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.monitoring.logs import configure, get_logger
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.contracts import decisions_schema, subject
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.project import find_stream, find_streams
from weir.streaming.health.checks import start_watch
from weir.streaming.offsets.coverage import Coverage, build_coverage, check_offsets, scorer_stage
from weir.streaming.service import open_metrics_page, run_service, wait_for

INDEX_BATCH_RECORDS_MAX = 2_000
OffsetsCheck = Callable[[Coverage, Partition, Standing], None]
_SECONDS_PER_DAY = 86_400
_DECIDE_ANEW = (
    "to decide the new topic's rows, set WEIR_SCORER__GROUP to a new name and start once with `--decide-again`"
)
_INDEX_ANEW = "to index the new topic's decisions, set WEIR_SCORER__INDEX_GROUP to a new name"
log = get_logger(__name__)


def main(argv: list[str]) -> int:
    """Run one of the three verbs. Exit codes: 0 stopped, 1 failed, 2 refused or misused."""
    verb = argv[0]
    arguments = _build_parser(verb).parse_args(argv[1:])
    settings = load_settings()
    if verb == "serve":
        from weir.inference.api.serve import run_api  # noqa: PLC0415 - a scorer needs no web server

        configure(settings.monitoring.log_level, settings.monitoring.log_format, "api")
        served = find_streams(Path.cwd(), arguments.stream)
        return run_api(settings, served, host=arguments.host, port=arguments.port)
    settings = settings.of_stream(find_stream(Path.cwd(), arguments.stream))
    configure(settings.monitoring.log_level, settings.monitoring.log_format, f"{verb}-{arguments.instance}")
    open_metrics_page(settings, arguments.metrics_port)
    indexes = verb == "index" or arguments.with_index
    stages = [*([SCORE_STAGE] if verb == "score" else []), *([INDEX_STAGE] if indexes else [])]
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
    on_step: Callable[[str], None] = no_step,
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
    champion = Champion(settings)
    topic = settings.topics.features
    features = wait_for(lambda: describe_topics(settings.kafka, [topic])[topic], should_stop)
    if not decide_again:
        wait_for(lambda: _check_first_start(settings), should_stop)
    wait_for(enter_place, should_stop)
    check = _build_check(decide_again=decide_again, accept_offsets=accept_offsets)
    follower, close = _build_scorer(settings, champion, features, instance, on_step, should_stop, check)
    log.info("started", group=settings.scorer.group, instance=instance, model=champion.bundle.manifest.version)
    failed: list[BaseException] = []
    done = threading.Event()
    freeze_gc()
    thread = threading.Thread(target=_index_beside, args=(settings, instance, done, failed), name="index")
    if with_index:
        thread.start()
    reporter = Reporter(settings, f"scorer {instance}", champion)
    try:
        # an index that died would leave decisions without entries: the process ends and is started again
        follower.run(lambda: should_stop() or bool(failed))
    finally:
        done.set()
        if with_index:
            thread.join()
        reporter.close()
        close()
        log.info("stopped", instance=instance)
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
    names, group = settings.topics, settings.scorer.index_group
    decisions = wait_for(lambda: describe_topics(settings.kafka, [names.decisions])[names.decisions], should_stop)
    client = wait_for(lambda: connect(settings.redis), should_stop)
    wait_for(enter_place, should_stop)
    registry = Registry(settings.registry)
    consumer = build_consumer(settings.kafka, group=group, instance=_member_name(group, instance, decisions))
    verifier = History(settings.kafka)
    source = PartitionedInput(consumer, first_offset=verifier.first_offset)
    ttl_seconds = settings.scorer.decision_ttl_days * _SECONDS_PER_DAY
    store = DecisionStore(client, space=settings.key_space, topic_id=decisions.topic_id, ttl_seconds=ttl_seconds)
    index = DecisionIndex(
        store,
        consumer,
        build_lookup(registry, names.decisions),
        topic_id=decisions.topic_id,
        schema=decisions_schema(settings.stream),
        id_field=settings.stream.id,
        rebuild_from=lambda partition: verifier.offset_at_time(partition, int((time.time() - ttl_seconds) * 1_000)),
    )
    config = FollowerConfig(
        topic=names.decisions,
        topic_id=decisions.topic_id,
        group=group,
        stage=INDEX_STAGE,
        start_over=_INDEX_ANEW,
        batch_records_max=INDEX_BATCH_RECORDS_MAX,
        linger_seconds=settings.scorer.linger_ms / 1_000,
    )
    freeze_gc()
    log.info("started", group=group, instance=instance)
    try:
        Follower(config, source, index.handle, index.look, index.begin).run(should_stop)
    finally:
        source.close()
        verifier.close()
        registry.close()
        log.info("stopped", group=group, instance=instance)


def _member_name(group: str, instance: int, topic: TopicFacts) -> str:
    # as the processor's: a member that starts again is handed its old partitions without a rebalance, and added ones
    # would belong to nobody; with the count in its name it is another member then, and the old one times out
    return f"{group}-{instance}.{topic.partitions}"


def build_lookup(registry: Registry, topic: str) -> SchemaLookup:
    """Return what answers for the writer schema ids of a topic's values."""
    return partial(_writer_schema, registry, subject(topic))


def _check_first_start(settings: Settings) -> None:
    names, group = settings.topics, settings.scorer.group
    if outputs_without_offsets(settings.kafka, group=group, source=names.features, output=names.decisions):
        raise Refused(
            f"group {group} has no committed offsets, but {names.decisions} has records: every row would be decided "
            "again; `weir offsets recover --apply` sets the offsets from the decisions; `--decide-again` is for who "
            "means it"
        )


def _build_check(*, decide_again: bool, accept_offsets: bool) -> OffsetsCheck:
    if decide_again:
        return lambda *_: None
    return partial(check_offsets, accept=accept_offsets)


def _build_scorer(
    settings: Settings,
    champion: Champion,
    features: TopicFacts,
    instance: int,
    on_step: Callable[[str], None],
    should_stop: Callable[[], bool],
    check: OffsetsCheck,
) -> tuple[Follower, Callable[[], None]]:
    names, group = settings.topics, settings.scorer.group
    registry = Registry(settings.registry)
    contract = subject(names.decisions), decisions_schema(settings.stream)
    schema_id = wait_for(lambda: registry.register(*contract), should_stop)
    scoring = Scoring(
        source_topic=names.transactions,
        decisions_topic=names.decisions,
        schema_id=schema_id,
        schema_of=build_lookup(registry, names.features),
        stream=settings.stream,
    )
    scorer_config = ScorerConfig(
        source_topic=names.transactions,
        decisions_topic=names.decisions,
        dlq_topic=names.features_dlq,
        features_id=features.topic_id,
        group=group,
        dlq_header_prefix=settings.processor.dlq_header_prefix,
        on_step=on_step,
    )
    member = f"{group}-{instance}"
    output = wait_for(lambda: TransactionalOutput(build_producer(settings.kafka, transactional_id=member)), should_stop)
    verifier = History(settings.kafka)
    source = PartitionedInput(
        build_consumer(settings.kafka, group=group, instance=_member_name(group, instance, features)),
        first_offset=verifier.first_offset,
    )
    follower_config = FollowerConfig(
        topic=names.features,
        topic_id=features.topic_id,
        group=group,
        stage=SCORE_STAGE,
        start_over=_DECIDE_ANEW,
        batch_records_max=settings.scorer.batch_records_max,
        linger_seconds=settings.scorer.linger_ms / 1_000,
    )
    scorer = Scorer(scorer_config, output, scoring, champion)
    scorer.warm_up()
    coverage = build_coverage(scorer_stage(settings), settings, verifier, registry)

    def begin(partition: Partition, found: Standing) -> int:
        offset = begin_at_committed(partition, found)
        check(coverage, partition, found)
        return offset

    def close() -> None:
        source.close()
        verifier.close()
        registry.close()

    return Follower(follower_config, source, scorer.handle, champion.poll, begin), close


def _index_beside(settings: Settings, instance: int, done: threading.Event, failed: list[BaseException]) -> None:
    try:
        run_index(settings, instance=instance, should_stop=done.is_set)
    except BaseException as error:  # noqa: BLE001 - handed to the thread that started us, which raises it
        failed.append(error)


def _writer_schema(registry: Registry, of_subject: str, schema_id: int) -> WriterSchema | PoisonRecord:
    return registry.writer_schema(schema_id, of_subject)


def _build_parser(verb: str) -> argparse.ArgumentParser:
    what = {
        "score": "Run a scorer: feature rows in, decisions out, exactly once.",
        "index": "Follow the decisions into the index that the API reads.",
        "serve": "Serve the HTTP API on 127.0.0.1.",
    }
    parser = Parser(prog=f"weir {verb}", description=what[verb])
    if verb == "serve":
        parser.add_argument("--host", help="only 127.0.0.1 is served: the API has no keys yet (default: settings)")
        parser.add_argument("--port", type=int, help="0 takes a free one (default: settings)")
        parser.add_argument(
            "--stream",
            action="append",
            default=[],
            metavar="NAME",
            help="serve this one, again for more (default: all of this folder's project, else the payments)",
        )
        return parser
    parser.add_argument("--instance", type=int, default=0, metavar="N", help="ordinal, unique per running process")
    parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics here (default: settings)")
    parser.add_argument("--stream", default="", metavar="NAME", help="of this folder's project (default: its only one)")
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
