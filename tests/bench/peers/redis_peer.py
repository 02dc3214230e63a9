"""Redis per event, as tutorials write it, at least once: one entity, three windows, a pipeline of increments a record.

A consumer that polls one record at a time, a hash per card, window and pane with ``HINCRBY`` and ``EXPIRE``, one round
trip a record, and a producer that is never waited for. hiredis is installed. Offsets are committed by the client every
5 s, its default.

Less than ours: one entity of five, 6 features of 96, tumbling windows, no duplicates, no dead letters; a crash counts
up to 5 s of records twice, for ever. More: what it counts is in Redis at once, for anybody to read.
"""

from __future__ import annotations

import json
import signal
import threading

import redis
from confluent_kafka import Consumer, Producer

from tests.bench.peers.payments import WINDOWS_MS, build_flags, decode


def count(client: redis.Redis, group: str, value: bytes) -> tuple[str, dict[str, int]]:
    """Count one payment and return its card with what its windows hold."""
    payment = decode(value)
    card = payment["card_id"]
    pipeline = client.pipeline(transaction=False)
    for name, width_ms in WINDOWS_MS.items():
        key = f"{group}:{card}:{name}:{payment['event_time_ms'] // width_ms}"
        pipeline.hincrby(key, "count", 1)
        pipeline.hincrby(key, "sum", payment["amount_minor"])
        pipeline.expire(key, 2 * width_ms // 1_000)
    answers = pipeline.execute()
    found = {}
    for number, name in enumerate(WINDOWS_MS):
        found[f"count_{name}"], found[f"sum_{name}"] = answers[3 * number], answers[3 * number + 1]
    return card, found


def main() -> None:
    """Run until told to stop."""
    given = build_flags().parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = redis.Redis.from_url(given.redis)
    producer = Producer({"bootstrap.servers": given.broker, "linger.ms": 5, "compression.type": "lz4"})
    consumer = Consumer({"bootstrap.servers": given.broker, "group.id": given.group, "auto.offset.reset": "earliest"})
    consumer.subscribe([given.input])
    while not stop.is_set():
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error() is not None:
            raise SystemExit(str(record.error()))
        card, found = count(client, given.group, record.value())
        producer.produce(given.output, json.dumps(found).encode(), card.encode())
        producer.poll(0)
    producer.flush(10)
    consumer.close()


if __name__ == "__main__":
    main()
