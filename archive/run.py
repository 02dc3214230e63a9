"""Wires an archiver: which topics of which streams, their tables, where each partition begins."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from confluent_kafka.admin import AdminClient

from weir.archive.archiver import Archiver, do_nothing
from weir.archive.follower import Follower, Pace
from weir.archive.in_force.keeping import open_keepers
from weir.archive.keeping import Keeper
from weir.archive.log import LogReader
from weir.archive.metering import Meter
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.rows import RowMaker
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey, key_path, load_key
from weir.archive.suspects import Suspects
from weir.archive.table import ArchiveTable, OnStep, Overtaken, no_step, open_table
from weir.archive.upkeep import Upkeep
from weir.infra.archive_store import locate_archive
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import build_asker, end_offsets
from weir.infra.kafka.source import Partition
from weir.infra.kafka.topics import TopicState, describe_states
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.audit import ID_FIELD
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import audit_contract, list_contracts, subject
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.stream import Stream
from weir.streaming.service import wait_for

NOTES_FOLDER = "archiving"
"""Of a home, for what archivers note while they decode; without it nothing is lost."""
_ENDLESS_MS = -1
_LOOK_SECONDS = 0.25
_COMMIT_TAKES_SECONDS = 15.0
"""Of an archiver at work: commits took up to ten on two cores with four times as much to do."""
_WATCHED_SECONDS_MAX = 30.0
"""An archiver that was overtaken watches for no longer than twice this and a commit, whatever the commits' interval: it
begins again then, which is safe, and is overtaken again if the other one is at work."""
log = get_logger(__name__)


@dataclass(frozen=True)
class Task:
    """What an archiver is to do.

    Attributes:
        streams: whose topics are archived.
        root: of the archive.
        audit: whether the audit log is archived too.
        partitions: only these of each topic; none for all.
        until_caught_up: stop at the ends of the logs as they are at the start.
        accept_loss: continue where the log begins when it has forgotten records that are not archived.
    """

    streams: Sequence[Stream]
    root: Place
    audit: bool = False
    partitions: frozenset[int] = frozenset()
    until_caught_up: bool = False
    accept_loss: bool = False

    @property
    def shared_as(self) -> str:
        """The partitions as a name."""
        return "-".join(map(str, sorted(self.partitions))) or "all"


@dataclass(frozen=True)
class Followed:
    """A topic that is archived.

    Attributes:
        stream: that it belongs to; None for the audit log, which is the deployment's.
        kind: ``events``, ``labels``, ``features``, ``decisions``, ``dead_letters`` or ``audit``.
        schema: newest Avro schema of its records, as JSON text; empty for dead letters, whose bytes are anybody's.
    """

    topic: str
    stream: Stream | None
    kind: str
    schema: str = ""

    @property
    def stream_name(self) -> str:
        """The full name of its stream; empty where there is none."""
        return self.stream.full_name if self.stream else ""

    @property
    def id_field(self) -> str:
        """The field of its records that they are found by."""
        return self.stream.id if self.stream else ID_FIELD


def list_followed(settings: Settings, streams: Sequence[Stream], *, audit: bool = False) -> list[Followed]:
    """Return the topics of some streams: events, labels, features, decisions and dead letters.

    Args:
        settings: of this deployment.
        streams: whose topics.
        audit: whether the audit log is one of them, as the last one.
    """
    found = []
    for stream in streams:
        names = settings.topics.of(stream)
        kinds = {getattr(names, kind): kind for kind in ("events", "labels", "features", "decisions")}
        found += [
            Followed(each.topic, stream, kinds[each.topic], each.schemas[-1]) for each in list_contracts(stream, names)
        ]
        dead = [names.dlq, *([names.labels_dlq] if stream.labels else []), names.features_dlq]
        found += [Followed(topic, stream, "dead_letters") for topic in dead]
    if audit:
        contract = audit_contract(settings.topics.audit)
        found.append(Followed(contract.topic, None, "audit", contract.schemas[-1]))
    return found


def find_root(settings: Settings, to: str = "") -> Place:
    """Return where the archive is.

    Args:
        settings: of this deployment.
        to: instead of what they say.

    Raises:
        Refused: the options of the object store are no JSON object of texts.
    """
    uri, options = locate_archive(settings)
    return Place(to or uri, options)


def run_archiver(settings: Settings, task: Task, *, should_stop: Callable[[], bool], on_step: OnStep = no_step) -> None:
    """Connect, archive until told to stop, disconnect.

    Args:
        settings: of this deployment.
        task: what to archive, and where.
        should_stop: asked between reads.
        on_step: called at each numbered step; tests stop the process there.

    Raises:
        Refused: a table or a log is not what it must be.
        Overtaken: another archiver follows a partition of ours, and is at work.
        Stopped: before it was connected.
        Transient: a store, a broker or the registry stayed away.
    """
    while True:
        try:
            _archive(settings, task, should_stop, on_step)
        except Overtaken as overtaken:
            # of two that overtook each other, each in another table, both would stop
            if _is_at_work(overtaken, settings.archive.commit_seconds, should_stop):
                raise
            if should_stop():
                return
            log.warning("begins_again", detail=str(overtaken))
        else:
            return


def _is_at_work(other: Overtaken, commit_seconds: float, should_stop: Callable[[], bool]) -> bool:
    """Return whether the other archiver commits once more, within a time that differs from archiver to archiver."""
    interval = min(commit_seconds, _WATCHED_SECONDS_MAX) + _COMMIT_TAKES_SECONDS
    deadline = time.monotonic() + random.uniform(1.0, 2.0) * interval  # nosec B311
    while time.monotonic() < deadline and not should_stop():
        if wait_for(other.is_ahead, should_stop):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _archive(settings: Settings, task: Task, should_stop: Callable[[], bool], on_step: OnStep) -> None:
    states = wait_for(lambda: describe_states(settings, task.streams), should_stop)
    followed = _list_there(list_followed(settings, task.streams, audit=task.audit), states)
    names = [each.topic for each in followed]
    facts = wait_for(lambda: describe_topics(settings.kafka, names), should_stop)
    with ExitStack() as stack:
        registry = stack.enter_context(closing(Registry(settings.registry)))
        history = stack.enter_context(closing(History(settings.kafka)))
        reader = stack.enter_context(closing(LogReader(settings.kafka)))
        chain, key = Chain(task.root), load_key(key_path(settings.home))
        keeper = _build_keeper(settings, task, chain, key, stack)
        followers: dict[str, Follower] = {}
        starts: dict[Partition, int] = {}
        ends: dict[str, dict[int, int]] = {}
        asker = build_asker(settings.kafka)
        for each in followed:
            table = wait_for(partial(_open, task.root, facts[each.topic], each), should_stop)
            ends[each.topic] = wait_for(partial(end_offsets, settings.kafka, each.topic, asker), should_stop)
            numbers = [number for number in ends[each.topic] if not task.partitions or number in task.partitions]
            begin = partial(_begin, table, history, numbers, ends[each.topic], accept_loss=task.accept_loss)
            begun = wait_for(begin, should_stop)
            followers[each.topic] = _build_follower(settings, registry, table, each, keeper, task.shared_as)
            followers[each.topic].begin(begun)
            starts |= {(each.topic, number): start for number, start in begun.items()}
        meter = _build_meter(settings, states, asker)
        reader.assign(starts)
        log.info("started", root=task.root.uri, topics=len(followers), partitions=len(starts))
        archiver = Archiver(
            followers, reader, meter, takes_added=not task.partitions, should_stop=should_stop, on_step=on_step,
            after_commit=keeper.after_commit,
            upkeep=_build_upkeep(settings, task, followed, followers, chain, key, on_step),
        )  # fmt: skip
        archiver.run({at: ends[at[0]][at[1]] for at in starts} if task.until_caught_up else None)


def _list_there(followed: Sequence[Followed], states: Mapping[str, TopicState]) -> list[Followed]:
    """Leave the audit log out where its topic does not exist, as in a deployment that has no keys."""
    for each in followed:
        if each.stream is None and each.topic not in states:
            log.warning("audit_not_archived", topic=each.topic, fix="weir topics create")
    return [each for each in followed if each.stream is not None or each.topic in states]


def _open(root: Place, facts: TopicFacts, followed: Followed) -> ArchiveTable:
    record = BatchCodec(schema=followed.schema).arrow_schema if followed.schema else pa.schema([])
    return open_table(root.below(followed.topic), facts, followed.stream_name, record)


def _begin(
    table: ArchiveTable, history: History, numbers: Sequence[int], ends: Mapping[int, int], *, accept_loss: bool
) -> dict[int, int]:
    """Return where each partition is read from.

    Raises:
        Refused: the log has forgotten records that are not archived, or ends below what is.
        Transient: the brokers did not answer in time.
    """
    starts, topic = {}, table.topic
    for number, known in table.begin(numbers).items():
        low, end = history.low((topic, number)), ends[number]
        if known is not None and known > end:
            raise Refused(
                f"expected {topic}[{number}] to reach offset {known}, up to which it is archived, found its end "
                f"at {end}: the brokers lost records; archive into another root with --to"
            )
        if known is not None and known < low and not accept_loss:
            raise Refused(
                f"expected {topic}[{number}] to begin at offset {known} or below, up to which it is archived, "
                f"found {low}: {low - known} offsets expired before that; `weir archive --accept-loss` continues there"
            )
        if known is not None and known < low:
            log.error("not_archived", topic=topic, partition=number, first=known, end=low)
        starts[number] = max(known or 0, low)
    return starts


def _build_upkeep(
    settings: Settings,
    task: Task,
    followed: Sequence[Followed],
    followers: Mapping[str, Follower],
    chain: Chain,
    key: SealKey,
    on_step: OnStep,
) -> Callable[[], None]:
    """Return what keeps the archive up; of archivers that share it, that of partition 0 alone does."""
    if task.until_caught_up or (task.partitions and 0 not in task.partitions):
        return do_nothing
    tables = [(each.kind, followers[each.topic].table) for each in followed]
    return Upkeep(tables, settings.archive, chain, key, on_step).turn


def _build_keeper(settings: Settings, task: Task, chain: Chain, key: SealKey, stack: ExitStack) -> Keeper:
    own = [settings.of_stream(stream) for stream in task.streams]
    folders = {each.topics.decisions: [*filter(None, [each.scorer.bundle_dir]), each.models_dir] for each in own}
    objects = Objects(task.root)
    in_force = open_keepers(own, objects, stack)
    return Keeper(objects, chain, key, folders, in_force)


def _build_follower(
    settings: Settings, registry: Registry, table: ArchiveTable, followed: Followed, keeper: Keeper, partitions: str
) -> Follower:
    of_subject = subject(followed.topic)
    pace = Pace(settings.archive.commit_seconds, settings.archive.commit_rows_max)
    if not followed.schema:
        maker = RowMaker(followed.topic, {}, None, "", os.urandom)
        return Follower(table, maker, None, pace, time.monotonic)
    codec = BatchCodec(schema=followed.schema)

    def schema_of(schema_id: int) -> WriterSchema | PoisonRecord:
        return registry.writer_schema(schema_id, of_subject)

    kept = keeper.keeping(followed.topic, schema_of)
    maker = RowMaker(
        followed.topic,
        table.columns(codec.arrow_schema),
        lambda values: codec.decode(values, kept),
        followed.id_field,
        os.urandom,
    )
    notes = settings.home / NOTES_FOLDER / f"{followed.topic}.{partitions}.json"
    suspects = Suspects(notes, followed.topic, followed.schema, schema_of)
    return Follower(table, maker, lambda guid: registry.id_of_guid(guid, of_subject), pace, time.monotonic, suspects)


def _build_meter(settings: Settings, states: Mapping[str, TopicState], asker: AdminClient) -> Meter:
    kept = {name: int(state.config.get("retention.ms", _ENDLESS_MS)) for name, state in states.items()}
    return Meter(
        lambda topic: end_offsets(settings.kafka, topic, asker),
        {name: kept_ms for name, kept_ms in kept.items() if kept_ms > 0},
    )
