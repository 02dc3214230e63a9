"""Every byte that a deployment keeps, by the store that it is in: what a search for an id has to go through.

Nothing here knows how the product looks for an id. Files are read whole and by a reader of their format, as compression
hides what is in them; topics are read by a plain consumer, aborted records included; Redis key by key.
A file that is compressed in a way that has no reader here fails the search.
"""

from __future__ import annotations

import base64
import io
import re
import tarfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from weir.infra.kafka.clients import CLIENT_LOG
from weir.infra.redis.client import connect
from weir.infra.settings import Settings

_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\x04\x22\x4d\x18", b"BZh", b"\xfd7zXZ")
"""How files begin that gzip, Zstandard, zip, LZ4, bzip2 and xz write."""
_SEGMENT = re.compile(r"(.+)-\d+")


class Piece(NamedTuple):
    """Some bytes.

    Attributes:
        store: that they are in.
        place: in it, for people.
        content: the bytes, decompressed where they were compressed.
    """

    store: str
    place: str
    content: bytes


class Needle:
    """A text that ids share, in every spelling in which bytes may have it."""

    def __init__(self, kinds: Collection[str], stem: str) -> None:
        """Take the kinds, and the text that is behind a kind and a dash in each id."""
        content = stem.encode()
        aligned = (_aligned_base64(content, before) for before in range(3))
        self._spellings = {
            "text": content,
            "UTF-16": stem.encode("utf-16-le"),
            "hex": content.hex().encode(),
            "HEX": content.hex().upper().encode(),
            **{f"Base64, {before}": each for before, each in enumerate(aligned)},
        }
        self._kinds = re.compile(f"({'|'.join(kinds)})-{re.escape(stem)}".encode())

    def find(self, content: bytes) -> set[str]:
        """Return what some bytes have of it: kinds of ids, or how it is spelled."""
        found = {name for name, each in self._spellings.items() if each in content}
        if "text" in found:
            found |= {kind.decode() for kind in self._kinds.findall(content)}
        return found - {"text"} if len(found) > 1 else found


def _aligned_base64(content: bytes, before: int) -> bytes:
    """Return the characters that bytes have in Base64 wherever so many bytes, by three, are before them."""
    written = base64.b64encode(b"\0" * before + content)
    return written[-(-8 * before // 6) : 8 * (before + len(content)) // 6]


def search(pieces: Iterator[Piece], needle: Needle) -> dict[str, set[str]]:
    """Return what each store has of a needle; stores that have nothing are left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for piece in pieces:
        if kinds := needle.find(piece.content):
            found[piece.store] |= kinds
    return dict(found)


def each_piece(settings: Settings, home: Path | None = None) -> Iterator[Piece]:
    """Yield every byte that is below a home, in the topics of the brokers and in Redis."""
    yield from each_file(home or settings.home)
    yield from each_record(settings)
    yield from each_key(settings)


def each_file(home: Path) -> Iterator[Piece]:
    """Yield the files below a home, each as it is and as a reader of its format has it.

    What a command has printed (``.out``) is left out: it is with who asked.
    """
    for path in sorted(home.rglob("*")):
        with suppress(FileNotFoundError):  # a server deleted it meanwhile
            if path.is_file() and path.suffix != ".out":
                relative = path.relative_to(home)
                store = _store_of(relative.parts)
                for content in _layers(path):
                    yield Piece(store, str(relative), content)


def _store_of(parts: tuple[str, ...]) -> str:
    """Return the store of a file, by where it is below the home."""
    if parts[:3] == ("servers", "kafka", "data"):
        segment = _SEGMENT.match(parts[3])
        return f"topic {segment[1]}" if segment and len(parts) > 4 else "files of Kafka"
    if parts[:2] == ("servers", "redis"):
        return "files of Redis"
    if parts[0] == "archive":
        is_kept = parts[1] in {"_objects", "_versions"}
        return "kept lists" if is_kept else f"archive of {parts[1]}"
    return "database" if parts[0].startswith("weir.db") else parts[0]


def _layers(path: Path) -> Iterator[bytes]:
    content = path.read_bytes().rstrip(b"\0")  # an index of Kafka is megabytes of nothing
    yield content
    if path.suffix == ".parquet":
        table = pq.read_table(io.BytesIO(content), use_pandas_metadata=False)
        for column in table.columns:
            yield b"\xff\n".join(_flatten(column.to_pylist()))
    elif path.suffix == ".xz":
        with tarfile.open(path, "r:xz") as packed:
            for member in packed:
                file = packed.extractfile(member)
                yield member.name.encode()
                yield b"" if file is None else file.read()
    else:
        assert not content.startswith(_COMPRESSED), f"expected a reader of what {path} is compressed by"


def _flatten(value: Any) -> Iterator[bytes]:
    """Yield the bytes of all that a value of a column is made of; whole numbers as eight bytes, low one first."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for each in value:
            yield from _flatten(each)
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield value.encode()
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value.to_bytes(8, "little", signed=True)


def each_record(settings: Settings) -> Iterator[Piece]:
    """Yield key, value and headers of every record of every topic, those of the brokers too."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "test-every-byte",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        },
        logger=CLIENT_LOG,
    )
    with closing(consumer):
        topics = consumer.list_topics(timeout=30).topics
        waiting = {(name, number) for name, topic in topics.items() for number in topic.partitions}
        consumer.assign([TopicPartition(*each, OFFSET_BEGINNING) for each in waiting])
        while waiting:
            messages = consumer.consume(5_000, 30)
            assert messages, f"not read to their ends: {waiting}"
            for message in messages:
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    waiting.discard((message.topic(), message.partition()))
                    continue
                headers = [part for name, value in message.headers() or [] for part in (name.encode(), value or b"")]
                parts = (message.key() or b"", message.value() or b"", *headers)
                where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
                yield Piece(f"topic {message.topic()}", where, b"\xff\n".join(parts))


def each_key(settings: Settings) -> Iterator[Piece]:
    """Yield every key of Redis with its value, by which it is told what it is of."""
    with closing(connect(settings.redis)) as client:
        assert set(client.info("keyspace")) <= {"db0"}
        for key in client.scan_iter(count=1_000):
            value = client.dump(key)  # of any type; the server that is embedded does not compress
            yield Piece(_store_of_key(key), repr(key), key + b"\xff\n" + (value or b""))


def _store_of_key(key: bytes) -> str:
    if re.search(rb":known:\d+$", key):
        return "known ids"
    if re.search(rb":\{[tl]\d+\}:", key):
        return "windows"
    kind = re.match(rb"weir:[^:]+:([a-z]+):", key)
    return {b"decision": "decision index", b"answer": "answers"}.get(kind[1] if kind else b"", "redis")
