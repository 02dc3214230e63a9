"""What an archive must hold, told without it: the topic by a plain consumer, the table by delta-rs and Arrow alone."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import struct
import uuid
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from deltalake import DeltaTable

Row = dict[str, Any]
READ_SECONDS = 60.0


def read_topics(servers: str, topics: Sequence[str]) -> dict[str, dict[tuple[int, int], Row]]:
    """Return every committed record of topics, up to their ends now, by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"oracle-{uuid.uuid4().hex}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
    )
    try:
        known = consumer.list_topics(timeout=READ_SECONDS).topics
        places = [(topic, number) for topic in topics for number in known[topic].partitions]
        consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in places])
        found: dict[str, dict[tuple[int, int], Row]] = {topic: {} for topic in topics}
        open_ends = set(places)
        while open_ends:
            for message in consumer.consume(2_000, 0.2):
                error = message.error()
                if error is None:
                    found[message.topic()][message.partition(), message.offset()] = _read(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_ends.discard((message.topic(), message.partition()))
        return found
    finally:
        consumer.close()


def _read(message: Message) -> Row:
    return {
        "key": message.key(),
        "value": message.value(),
        "append_ms": message.timestamp()[1],
        "headers": [{"name": name, "value": value} for name, value in message.headers() or []],
    }


def read_table(root: str | Path, topic: str, **options: str) -> list[Row]:
    """Return every row of a topic's table."""
    table = DeltaTable(f"{root}/{topic}", storage_options=options or None)
    rows: list[Row] = table.to_pyarrow_table().to_pylist()
    return rows


def find_differences(root: str | Path, servers: str, topics: Sequence[str], **options: str) -> list[str]:
    """Name every way in which a table is not its topic."""
    expected = read_topics(servers, topics)
    return [each for topic in topics for each in _compare(topic, expected[topic], read_table(root, topic, **options))]


def find_doubled(root: str | Path, topics: Sequence[str]) -> list[str]:
    """Name every row that is in a topic's table more than once."""
    places = ["partition", "offset"]
    rows = {topic: DeltaTable(f"{root}/{topic}").to_pyarrow_table(columns=places).to_pylist() for topic in topics}
    counts = Counter((topic, row["partition"], row["offset"]) for topic, found in rows.items() for row in found)
    return [f"{topic}[{partition}]@{offset}" for (topic, partition, offset), count in counts.items() if count > 1]


def _compare(topic: str, expected: dict[tuple[int, int], Row], rows: list[Row]) -> list[str]:
    places = [(row["partition"], row["offset"]) for row in rows]
    found = [f"{topic}: {where} is there {count} times" for where, count in Counter(places).items() if count > 1]
    found += [f"{topic}: {where} is not there" for where in sorted(expected.keys() - set(places))]
    found += [f"{topic}: {where} is in no topic" for where in sorted(set(places) - expected.keys())]
    for row in rows:
        where = row["partition"], row["offset"]
        found += [f"{topic}: {where} {what}" for what in _judge(topic, row, expected.get(where, {}))]
    return found


def _judge(topic: str, row: Row, record: Row) -> list[str]:
    found = [f"{name}: expected {record[name]!r}, found {row[name]!r}" for name in record if row[name] != record[name]]
    day = datetime.datetime.fromtimestamp(row["append_ms"] / 1_000, datetime.UTC).date()
    if row["day"] != day:
        found.append(f"day: expected {day}, found {row['day']}")
    if row["bucket"] != zlib.crc32(row["key"] or b"") % 64:
        found.append(f"bucket: found {row['bucket']}")
    if row["leaf"] != hmac.new(row["salt"], b"\x00" + _canonical(topic, row), hashlib.sha256).digest():
        found.append("leaf: not that of the row")
    return found


def _canonical(topic: str, row: Row) -> bytes:
    parts = [
        b"weir.row.1",
        _sized(topic.encode()),
        struct.pack(">iqq", row["partition"], row["offset"], row["append_ms"]),
    ]
    parts += [_sized(row["key"]), _sized(row["value"]), struct.pack(">I", len(row["headers"]))]
    parts += [_sized(each) for one in row["headers"] for each in (one["name"].encode(), one["value"])]
    return b"".join(parts)


def _sized(content: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if content is None else struct.pack(">I", len(content)) + content
