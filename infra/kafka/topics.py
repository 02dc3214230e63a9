"""Topics: what each must be, made where it does not exist, and checked before a start.

The log is the truth that everything else is rebuilt from, so an input that forgets too early, or whose times come
from a sender's clock, breaks the product's promises in silence. A start on such a topic is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from weir.infra.findings import Finding, refuse
from weir.infra.kafka.clients import MAX_MESSAGE_BYTES, build_admin
from weir.infra.settings import Settings, TopicSettings
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused, Transient
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_REQUEST_TIMEOUT_SECONDS = 15.0
_POLL_SECONDS = 0.05
_REPAIR_MS = 7 * DAY_MS
"""How long an operator has to notice and fix before the log forgets what a rebuild needs."""
_SHIPPED: tuple[Stream, ...] = (payments,)
DLQ_MESSAGE_BYTES = MAX_MESSAGE_BYTES * 3 // 2
"""A dead letter holds a whole record and its headers next to it; at the source's limit it would abort for ever."""
_PARTITIONS_DONE = 1
_PARTITIONS_PUBLISHED = 2
"""Acts, and the parts of long texts: who starts reads all acts, and the parts of what is in force alone."""
_PARTITIONS_AUDIT = 1
"""Calls of the API, in the order in which they were made."""
_REPAIR = "`weir topics repair` shows what it would set, `--apply` sets it"


@dataclass(frozen=True)
class TopicPlan:
    """What one topic must be.

    Attributes:
        source: for a dead letter topic, the topic whose partitions it mirrors.
        remembers_ms: of a topic that state is rebuilt from, how long it must; its times are checked too. 0 for others.
        compacted: keyed state instead of a log.
        endless: never forgets.
        required: whether a start without it is refused. One that is not is made with the others all the same.
    """

    name: str
    partitions: int
    source: str = ""
    remembers_ms: int = 0
    compacted: bool = False
    endless: bool = False
    required: bool = True

    def config(self, retention_days: int) -> dict[str, str]:
        """Return the topic's configuration as the broker names it."""
        largest = DLQ_MESSAGE_BYTES if self.source else MAX_MESSAGE_BYTES
        common = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(largest)}
        if self.compacted:
            return common | {"cleanup.policy": "compact"}
        if self.endless:
            return common | {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        return common | {"cleanup.policy": "delete", "retention.ms": str(retention_days * DAY_MS)}


@dataclass(frozen=True)
class TopicState:
    """A topic as the broker has it."""

    partitions: int
    config: Mapping[str, str]


def compute_remembered_ms(stream: Stream) -> int:
    """Return how long what a stream is rebuilt from must be kept: its look-back, what is held back, and a week."""
    return stream.horizon_ms + max((f.hold_ms for f in stream.all_features), default=0) + _REPAIR_MS


def plan_topics(topics: TopicSettings, streams: Sequence[Stream] = _SHIPPED) -> list[TopicPlan]:
    """Return every topic of some streams, sources before their dead letters."""
    plans = [plan for stream in streams for plan in _plan_outputs(topics, stream)]
    plans += [plan for stream in streams for plan in _plan_dead_letters(topics, stream)]
    plans += [TopicPlan(topics.of(stream).dlq_done, _PARTITIONS_DONE, compacted=True) for stream in streams]
    plans += [
        TopicPlan(topics.of(stream).published, _PARTITIONS_PUBLISHED, endless=True, required=False)
        for stream in streams
    ]
    plans.append(TopicPlan(topics.audit, _PARTITIONS_AUDIT, required=False))
    return list({plan.name: plan for plan in reversed(plans)}.values())[::-1]  # the first of a name counts


def _plan_outputs(topics: TopicSettings, stream: Stream) -> Iterable[TopicPlan]:
    names, count, kept = topics.of(stream), topics.partitions, compute_remembered_ms(stream)
    yield TopicPlan(names.events, count, remembers_ms=kept)
    if stream.labels:
        yield TopicPlan(names.labels, count, remembers_ms=kept)
    yield TopicPlan(names.features, count)
    yield TopicPlan(names.decisions, count)


def _plan_dead_letters(topics: TopicSettings, stream: Stream) -> Iterable[TopicPlan]:
    names, count, kept = topics.of(stream), topics.partitions, compute_remembered_ms(stream)
    yield TopicPlan(names.dlq, count, source=names.events, remembers_ms=kept)
    if stream.labels:
        yield TopicPlan(names.labels_dlq, count, source=names.labels, remembers_ms=kept)
    yield TopicPlan(names.features_dlq, count, source=names.features, remembers_ms=kept)


def list_unclaimed(settings: Settings, streams: Sequence[Stream]) -> list[str]:
    """Return topics that begin as a project's do and belong to none of its streams: those of a removed one.

    Raises:
        Transient: the brokers did not answer in time.
    """
    prefixes = tuple({stream.namespace.topic_prefix for stream in streams if stream.namespace} - {""})
    own = {plan.name for plan in plan_topics(settings.topics, streams)}
    existing = _list_partitions(build_admin(settings.kafka), settings)
    return sorted(name for name in existing if name.startswith(prefixes) and name not in own)


def ensure_topics(settings: Settings, streams: Sequence[Stream] = _SHIPPED) -> list[str]:
    """Create the topics that do not exist, wait until they can be written, and return their names.

    A topic that exists is left as it is; ``check_topics`` judges it.

    Raises:
        Refused: the broker refuses one.
        Transient: the brokers did not answer in time.
    """
    return _ensure(settings, plan_topics(settings.topics, streams))


def ensure_published(settings: Settings) -> None:
    """Create the topic of what is published of the settings' stream where there is none, and check it.

    Raises:
        Refused: the broker refuses it, or one that is there would forget.
        Transient: the brokers did not answer in time.
    """
    streams = (settings.stream,)
    plans = [plan for plan in plan_topics(settings.topics, streams) if plan.endless]
    _ensure(settings, plans)
    refuse([fault.finding for fault in find_faults(plans, describe_states(settings, streams))])


def _ensure(settings: Settings, plans: Sequence[TopicPlan]) -> list[str]:
    admin = build_admin(settings.kafka)
    existing = _list_partitions(admin, settings)
    missing = [plan for plan in plans if plan.name not in existing]
    if missing:
        _create(admin, settings, missing)
        _await_leaders(admin, settings, {plan.name for plan in missing})
    return [plan.name for plan in missing]


def examine_topics(settings: Settings) -> list[Finding]:
    """Return every fault of the topics of the settings' stream, or the one finding that there is none.

    Raises:
        Transient: the brokers did not answer in time.
    """
    streams = (settings.stream,)
    faults = find_faults(plan_topics(settings.topics, streams), describe_states(settings, streams))
    return [fault.finding for fault in faults] or [Finding("topics", "ok", "every topic is as it must be")]


def check_topics(settings: Settings) -> None:
    """Refuse to continue with topics on which the promises cannot be kept.

    Raises:
        Refused: the first fault found, and the command that fixes it.
        Transient: the brokers did not answer in time.
    """
    refuse(examine_topics(settings))


def describe_states(settings: Settings, streams: Sequence[Stream] = _SHIPPED) -> dict[str, TopicState]:
    """Return each of the streams' topics that exists.

    Raises:
        Transient: the brokers did not answer in time.
    """
    admin = build_admin(settings.kafka)
    existing = _list_partitions(admin, settings)
    names = [plan.name for plan in plan_topics(settings.topics, streams) if plan.name in existing]
    if not names:
        return {}  # the client refuses to ask about nothing
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    found = {}
    for resource, future in admin.describe_configs(resources, request_timeout=_REQUEST_TIMEOUT_SECONDS).items():
        try:
            entries = future.result(_REQUEST_TIMEOUT_SECONDS)
        except (KafkaException, TimeoutError) as error:
            raise Transient(f"kafka: the configuration of {resource.name} cannot be read: {error}") from error
        config = {name: str(entry.value) for name, entry in entries.items()}
        found[resource.name] = TopicState(existing[resource.name], config)
    return found


@dataclass(frozen=True)
class TopicFault:
    """One thing wrong with one topic, and what puts it right.

    Attributes:
        config: the option to set and its value; ``None`` where that is not the fix.
        partitions: how many it must have; 0 where that is not the fix.
    """

    topic: str
    finding: Finding
    config: tuple[str, str] | None = None
    partitions: int = 0


def find_faults(plans: list[TopicPlan], states: Mapping[str, TopicState]) -> Iterator[TopicFault]:
    """Yield what is wrong, one fault each with the fix named.

    Pure, so that every refusal has a test without a broker.
    """
    for plan in plans:
        state = states.get(plan.name)
        if state is None:
            if plan.required:
                yield _missing(plan.name)
            continue
        if plan.endless:
            yield from _find_endless_faults(plan, state)
        if plan.remembers_ms:
            yield from _find_log_faults(plan.name, state.config, plan.remembers_ms)
        if plan.source in states:
            yield from _find_mirror_faults(plan, state, states[plan.source])
        if plan.compacted and "compact" not in state.config["cleanup.policy"]:
            yield _fault(plan.name, "cleanup.policy", "compact", state.config)


def _missing(name: str) -> TopicFault:
    return TopicFault(
        name, Finding("topics", "fail", f"expected topic {name}, found none", "`weir topics create` makes it")
    )


def _find_log_faults(name: str, config: Mapping[str, str], remembers_ms: int) -> Iterator[TopicFault]:
    if config["message.timestamp.type"] != "LogAppendTime":
        yield _fault(name, "message.timestamp.type", "LogAppendTime", config)
    if "compact" in config["cleanup.policy"]:
        yield _fault(name, "cleanup.policy", "delete", config)
    if 0 <= int(config["retention.ms"]) < remembers_ms:
        yield _fault(name, "retention.ms", str(remembers_ms), config, or_more=True)
    if int(config["retention.bytes"]) >= 0:
        yield _fault(name, "retention.bytes", "-1", config)


def _find_endless_faults(plan: TopicPlan, state: TopicState) -> Iterator[TopicFault]:
    wanted = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.ms": "-1"}
    for option, value in (wanted | {"retention.bytes": "-1"}).items():
        if state.config[option] != value:
            yield _fault(plan.name, option, value, state.config)
    if state.partitions < plan.partitions:
        found = f"expected topic {plan.name} to have {plan.partitions} partitions, found {state.partitions}"
        yield TopicFault(plan.name, Finding("topics", "fail", found, _REPAIR), partitions=plan.partitions)


def _find_mirror_faults(plan: TopicPlan, state: TopicState, source: TopicState) -> Iterator[TopicFault]:
    if state.partitions < source.partitions:
        found = (
            f"expected topic {plan.name} to have the {source.partitions} partitions of {plan.source}, "
            f"found {state.partitions}"
        )
        yield TopicFault(plan.name, Finding("topics", "fail", found, _REPAIR), partitions=source.partitions)
    largest = int(source.config["max.message.bytes"])
    if int(state.config["max.message.bytes"]) <= largest:
        yield _fault(plan.name, "max.message.bytes", str(largest * 3 // 2), state.config, or_more=True)


def _fault(name: str, option: str, wanted: str, config: Mapping[str, str], *, or_more: bool = False) -> TopicFault:
    bound = " or more" if or_more else ""
    found = f"expected {option}={wanted}{bound} on topic {name}, found {config[option]}"
    return TopicFault(name, Finding("topics", "fail", found, _REPAIR), config=(option, wanted))


def _list_partitions(admin: AdminClient, settings: Settings) -> dict[str, int]:
    try:
        topics = admin.list_topics(timeout=_REQUEST_TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise Transient(f"kafka at {settings.kafka.bootstrap_servers}: {error.args[0].str()}") from error
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def _create(admin: AdminClient, settings: Settings, plans: list[TopicPlan]) -> None:
    days, copies = settings.topics.retention_days, settings.topics.replication_factor
    wanted = [NewTopic(plan.name, plan.partitions, copies, config=plan.config(days)) for plan in plans]
    for name, future in admin.create_topics(wanted, request_timeout=_REQUEST_TIMEOUT_SECONDS).items():
        try:
            future.result(_REQUEST_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise Transient(f"kafka: no answer when topic {name} was to be created") from error
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue  # another process was first
            if reason.retriable():
                raise Transient(f"kafka: topic {name} was not created: {reason.str()}") from error
            raise Refused(f"kafka refuses to create topic {name}: {reason.str()}") from error


def _await_leaders(admin: AdminClient, settings: Settings, names: set[str]) -> None:
    deadline = time.monotonic() + _REQUEST_TIMEOUT_SECONDS
    while not names <= _list_led(admin, settings):
        if time.monotonic() > deadline:
            raise Transient("kafka: the new topics have no leaders yet; run it again")
        time.sleep(_POLL_SECONDS)


def _list_led(admin: AdminClient, settings: Settings) -> set[str]:
    try:
        topics = admin.list_topics(timeout=_REQUEST_TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise Transient(f"kafka at {settings.kafka.bootstrap_servers}: {error.args[0].str()}") from error
    return {
        name
        for name, topic in topics.items()
        if topic.partitions and all(partition.leader >= 0 for partition in topic.partitions.values())
    }
