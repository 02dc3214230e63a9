"""The ceiling: consume, produce the same bytes, commit the transaction; nothing between. A process of its own.

The client settings, the batch size and the linger are the processor's, so what lies between the two figures is our
own work: decoding, state, Redis, 96 features a record and rows four times the size of what is read.
"""

from __future__ import annotations

import argparse
import signal
import threading

from confluent_kafka import Message, TopicPartition

from weir.infra.kafka.clients import build_consumer, build_producer, check_message
from weir.infra.settings import Settings, load_settings

_SECONDS_MAX = 10.0


def main() -> None:
    """Copy a topic until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--group", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    given = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    copy(load_settings(), given.group, given.input, given.output, stop)


def copy(settings: Settings, group: str, source: str, target: str, stop: threading.Event) -> None:
    """Copy one topic to another, exactly once."""
    producer = build_producer(settings.kafka, transactional_id=group)
    producer.init_transactions(_SECONDS_MAX)
    consumer = build_consumer(settings.kafka, group=group, instance=group, auto_offset_reset="earliest")
    consumer.subscribe([source])
    while not stop.is_set():
        records = consumer.consume(settings.processor.batch_records_max, settings.processor.linger_ms / 1_000)
        if not records:
            continue
        producer.begin_transaction()
        for record in records:
            check_message(record)
            producer.produce(target, record.value(), record.key())
        producer.send_offsets_to_transaction(_next_offsets(records), consumer.consumer_group_metadata(), _SECONDS_MAX)
        producer.commit_transaction(_SECONDS_MAX)
    consumer.close()


def _next_offsets(records: list[Message]) -> list[TopicPartition]:
    ends = {(record.topic(), record.partition()): record.offset() + 1 for record in records}
    return [TopicPartition(topic, number, offset) for (topic, number), offset in ends.items()]


if __name__ == "__main__":
    main()
