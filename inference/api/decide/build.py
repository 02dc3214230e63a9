"""Wires requests for decisions of one stream to Kafka and the registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from weir.inference.api.decide.event import EventEncoder
from weir.inference.api.decide.listener import DecisionListener
from weir.inference.api.decide.route import DecideParts
from weir.inference.api.decide.sender import MESSAGE_TIMEOUT_MS, EventSender
from weir.inference.api.decide.stream_decisions import StreamDecisions
from weir.inference.api.decide.waiting import Places, Record, WaitingRequests
from weir.inference.api.live.feed import Feed, Live
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.tail import Tail
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, event_schemas, subject

log = get_logger(__name__)


def build_decide(
    settings: Settings,
    registry: Registry,
    places: Places,
    *,
    read_entry: Callable[[str], bytes | None],
    lag_seconds: Callable[[int], float],
) -> DecideParts:
    """Connect to a stream and begin to read its decisions.

    Args:
        settings: of the stream.
        registry: for the id of the schema of its events.
        places: of the process, for those who wait.
        read_entry: looks a decision up by the event's id.
        lag_seconds: see ``StreamDecisions``.
    """
    api, names, stream = settings.api, settings.topics, settings.stream
    waiting = WaitingRequests(stream, places, events_topic=names.transactions, clock=time.monotonic)
    feed = Feed()
    listener = DecisionListener(
        waiting,
        feed,
        lambda: Tail(settings.kafka, (names.decisions, names.dlq)),
        # one of its own: a reader is a thread, and what a registry keeps is one thread's
        build_decoder(Registry(settings.registry), decisions_schema(stream), names.decisions),
        stream_name=stream.name,
        decisions_topic=names.decisions,
    )
    listener.start()
    producer = build_producer(settings.kafka, linger_ms=0, message_timeout_ms=MESSAGE_TIMEOUT_MS)
    # ours, which may not be the subject's newest: the id must say what the bytes are
    contract = subject(names.transactions), event_schemas(stream)[-1]
    decisions = StreamDecisions(
        EventEncoder(stream, settings.placeholders, lambda: registry.register(*contract)),
        waiting,
        listener,
        EventSender(producer, topic=names.transactions),
        read_entry=read_entry,
        lag_seconds=lag_seconds,
    )
    live = Live(feed, listener)
    return DecideParts(decisions, wait_ms=api.decide_wait_ms, wait_ms_max=api.decide_wait_ms_max, live=live)


def build_decoder(registry: Registry, schema: str, topic: str) -> Callable[[Sequence[bytes]], Sequence[Record]]:
    """Return what turns values of decisions into records; one that cannot be read is logged and left out."""
    codec = BatchCodec(schema=schema)
    writer_schema = partial(registry.writer_schema, subject=subject(topic))

    def decode(values: Sequence[bytes]) -> Sequence[Record]:
        decoded = codec.decode(values, writer_schema)
        for _, error in decoded.errors:
            log.error("decision_not_decoded", reason=error.reason)
        records: list[Record] = decoded.batch.to_pylist()
        return records

    return decode
