"""Sees decisions, or feature rows, as any consumer would, and notes when each was in hand. A process of its own.

Decoding waits until the load is over: nothing but the receiving runs next to what is measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time

from confluent_kafka import Consumer, Message

from weir.demo.watch import ends
from weir.infra.kafka.clients import build_consumer, check_message
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject

_WAIT_SECONDS = 0.05
_AT_ONCE = 10_000


def main() -> None:
    """Watch until told to stop, then write ``[due ms, latency ms]`` of every record as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--topic", required=True, help="of decisions or of feature rows")
    topic = parser.parse_args().topic
    settings = load_settings()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = build_consumer(settings.kafka, group="bench-watcher")
    consumer.assign(ends(consumer, settings, [topic]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    messages, seen_ms = watch(consumer, stop)
    consumer.close()
    due = due_times_ms(settings, topic, messages)
    sys.stdout.write(json.dumps([[at, seen - at] for at, seen in zip(due, seen_ms, strict=True)]) + "\n")


def watch(consumer: Consumer, stop: threading.Event) -> tuple[list[Message], list[float]]:
    """Return every record with the moment at which it was in hand, UTC epoch ms."""
    messages: list[Message] = []
    seen_ms: list[float] = []
    while not stop.is_set():
        first = consumer.poll(_WAIT_SECONDS)
        if first is None:
            continue
        # what is there besides; waiting for more would be a wait of ours
        found = [check_message(message) for message in (first, *consumer.consume(_AT_ONCE, 0))]
        now_ms = time.time() * 1_000
        messages.extend(found)
        seen_ms.extend([now_ms] * len(found))
    return messages, seen_ms


def due_times_ms(settings: Settings, topic: str, messages: list[Message]) -> list[float]:
    """Return when each payment was due: its event time."""
    registry, name = Registry(settings.registry), subject(topic)
    kind = "features" if topic == settings.topics.features else "decisions"
    decoded = BatchCodec(kind).decode(
        [message.value() for message in messages], lambda schema_id: registry.writer_schema(schema_id, name)
    )
    registry.close()
    assert not decoded.errors, decoded.errors[0]
    return [float(at) for at in decoded.batch.column("event_time_ms").to_pylist()]


if __name__ == "__main__":
    main()
