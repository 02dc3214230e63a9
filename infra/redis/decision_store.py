"""Decisions by their event's id in Redis, and next to them how far they follow the log.

Entries are spread over buckets by a hash of their id. What a bucket holds shares a hash tag, its positions among it,
so a script writes both or neither, on one server as in a cluster. Whatever a server loses (its last second, what a
replica had not seen, everything), a bucket's entries and positions go back together, and the next write tells::

    weir:<space>:decision:2:{i07}:<id>         the decision as JSON and its seal; expires
    weir:<space>:decided:2:{i07}:<topic id>    a hash: partition -> next offset; never expires
    weir:<space>:decision-damaged:2:{i07}      a reader found an entry that is not what was written

The space is that of one stream in one deployment (``settings.key_space``): ids of two streams may be alike.

``<cluster>`` is ``settings.key_space``: with the name of the stream where it is not the payments.

A position says: all entries of this bucket below it are here. Every batch moves every bucket's, whether it has entries
for it or not; after a loss the lowest position of a partition is where to begin again.

What is read back is not trusted: an entry ends in a checksum bound to its id. A reader that finds another one takes the
entry away and marks its bucket; the index drops that bucket's positions and writes it again from the log.

Delivery: a repeated write changes nothing. A write that begins above what a bucket holds is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zlib import crc32

from redis.exceptions import ResponseError

from weir.infra.redis.client import Client, ask_servers, transient_errors
from weir.schemas.errors import Damaged, Refused

_VERSION = 2
"""Of keys and values; another one begins an index of its own, written from the log."""
_SEAL_BYTES = 9
"""A line end and the checksum in hex."""
BUCKETS = 16
"""Enough to spread over a cluster's nodes, few enough to ask for all positions in one round trip. It is in the keys."""

_WRITE = """
local places = tonumber(ARGV[2])
for i = 0, places - 1 do
  local found = redis.call('HGET', KEYS[1], ARGV[3 + 3 * i])
  if not found or tonumber(found) < tonumber(ARGV[4 + 3 * i]) then return 0 end
end
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[1 + 3 * places + i], 'EX', ARGV[1]) end
for i = 0, places - 1 do
  local partition, next_offset = ARGV[3 + 3 * i], ARGV[5 + 3 * i]
  if tonumber(redis.call('HGET', KEYS[1], partition)) < tonumber(next_offset) then
    redis.call('HSET', KEYS[1], partition, next_offset)
  end
end
return 1
"""
"""Look first, then write: in a script nothing comes between. ``ARGV``: TTL in seconds, how many partitions, for each
its number, where the batch begins and ends, then the values."""


_DROP = """
if redis.call('DEL', KEYS[2]) == 1 then return redis.call('DEL', KEYS[1]) end
return 0
"""


def seal(event_id: str, value: bytes) -> bytes:
    r"""Return a value with the checksum that belongs under its key.

    >>> seal("t1", b"{}"), unseal("t1", seal("t1", b"{}")), unseal("t2", seal("t1", b"{}"))
    (b'{}\n02cfcacc', b'{}', None)
    """
    return b"%s\n%08x" % (value, _checksum(event_id, value))


def unseal(event_id: str, stored: bytes) -> bytes | None:
    """Return the value, or None where it is not what was written for this id."""
    value = stored[:-_SEAL_BYTES]
    return value if stored == seal(event_id, value) else None


def _checksum(event_id: str, value: bytes) -> int:
    return crc32(value, crc32(_encode(event_id)))


def _encode(event_id: str) -> bytes:
    return event_id.encode("utf-8", "surrogatepass")


def bucket_of(event_id: str) -> int:
    """Return the bucket of an entry; ids may hold surrogates, which no producer of ours wrote.

    >>> bucket_of("t1")
    7
    """
    return crc32(_encode(event_id)) % BUCKETS


def decision_key(space: str, event_id: str) -> str:
    """Return the Redis key of a decision.

    >>> decision_key("local", "t1")
    'weir:local:decision:2:{i07}:t1'
    """
    return f"weir:{space}:decision:{_VERSION}:{{i{bucket_of(event_id):02d}}}:{event_id}"


def read_entry(client: Client, space: str, event_id: str) -> bytes | None:
    """Return the value of an entry, or None where there is none.

    Raises:
        Damaged: other bytes or another type stood there; the entry is gone now, and is written again from the log.
        Transient: Redis is unreachable.
    """
    key = decision_key(space, event_id)
    with transient_errors("reading a decision"):
        stored = _get(client, key)
        if stored is None:
            return None
        value = unseal(event_id, stored)
        if value is None:
            # first the entry: one that the index wrote meanwhile is written again after the mark
            client.delete(key)
            client.set(_damaged_key(space, bucket_of(event_id)), 1)
    if value is None:
        raise Damaged(
            "redis: expected the decision as it was written, found other bytes; it is written again from the log"
        )
    return value


def _get(client: Client, key: str) -> bytes | None:
    try:
        found: bytes | None = client.get(key)
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        return b""  # a value that carries no seal
    return found


def _damaged_key(space: str, bucket: int) -> str:
    return f"weir:{space}:decision-damaged:{_VERSION}:{{i{bucket:02d}}}"


class DecisionStore:
    """Reads and writes the entries of one stream, following its decisions."""

    def __init__(self, client: Client, *, space: str, topic_id: str, ttl_seconds: int) -> None:
        """Bind to a key space.

        Args:
            client: from ``weir.infra.redis.client.connect``.
            space: ``settings.key_space``.
            topic_id: of the decisions; a topic created again has positions of its own.
            ttl_seconds: how long an entry is kept.
        """
        self._client = client
        self._space = space
        self._topic_id = topic_id
        self._ttl_seconds = ttl_seconds

    def positions(self, partition: int) -> list[int | None]:
        """Return each bucket's position; ``None`` where it has none.

        Raises:
            Refused: one is no number.
            Transient: Redis is unreachable.
        """
        found: list[int | None] = [None] * BUCKETS

        def read(server: Any, buckets: list[int]) -> None:
            pipeline = server.pipeline(transaction=False)
            for bucket in buckets:
                pipeline.hget(self._positions_key(bucket), str(partition))
            for bucket, raw in zip(buckets, pipeline.execute(), strict=True):
                found[bucket] = self._parse(raw, bucket)

        with transient_errors("reading the decision index's positions"):
            self._ask(read)
        return found

    def drop_damaged(self) -> None:
        """Forget the positions of buckets in which a reader found a damaged entry: they are written from the log.

        Raises:
            Transient: Redis is unreachable.
        """

        def drop(server: Any, buckets: list[int]) -> None:
            pipeline = server.pipeline(transaction=False)
            for bucket in buckets:
                pipeline.eval(_DROP, 2, self._positions_key(bucket), _damaged_key(self._space, bucket))
            pipeline.execute()

        with transient_errors("looking for damaged decisions"):
            self._ask(drop)

    def claim(self, partition: int, offset: int) -> None:
        """Give a position to every bucket that has none: it will be written from there on.

        Raises:
            Transient: Redis is unreachable.
        """

        def set_absent(server: Any, buckets: list[int]) -> None:
            pipeline = server.pipeline(transaction=False)
            for bucket in buckets:
                pipeline.hsetnx(self._positions_key(bucket), str(partition), offset)
            pipeline.execute()

        with transient_errors("claiming the decision index's positions"):
            self._ask(set_absent)

    def write(self, entries: Iterable[tuple[str, bytes]], ranges: Mapping[int, tuple[int, int]]) -> bool:
        """Write a batch in one round trip per server, where nothing before it is missing.

        Args:
            entries: id and value of every decision in the batch.
            ranges: partition to the batch's first offset and the next one after it.

        Returns:
            False when a bucket holds less than it did; others may have been written.

        Raises:
            Transient: no answer; some buckets may have been written.
        """
        names: list[list[str]] = [[] for _ in range(BUCKETS)]
        values: list[list[bytes]] = [[] for _ in range(BUCKETS)]
        for event_id, value in entries:
            bucket = bucket_of(event_id)
            names[bucket].append(decision_key(self._space, event_id))
            values[bucket].append(seal(event_id, value))
        places = [part for number, (start, end) in ranges.items() for part in (number, start, end)]
        done: list[bool] = []

        def send(server: Any, buckets: list[int]) -> None:
            pipeline = server.pipeline(transaction=False)
            for bucket in buckets:
                keys = [self._positions_key(bucket), *names[bucket]]
                pipeline.eval(_WRITE, len(keys), *keys, self._ttl_seconds, len(ranges), *places, *values[bucket])
            done.extend(reply == 1 for reply in pipeline.execute())

        with transient_errors("indexing decisions"):
            self._ask(send)
        return all(done)

    def _ask(self, ask: Callable[[Any, list[int]], None]) -> None:
        ask_servers(self._client, range(BUCKETS), key_of=self._positions_key, ask=ask)

    def _parse(self, raw: bytes | None, bucket: int) -> int | None:
        if raw is None:
            return None
        if not raw.isdigit():
            raise Refused(
                f"redis: expected positions as numbers in {self._positions_key(bucket)}, found {raw[:40]!r}: not "
                "written by us; delete that key, and the index is written again from the log"
            )
        return int(raw)

    def _positions_key(self, bucket: int) -> str:
        return f"weir:{self._space}:decided:{_VERSION}:{{i{bucket:02d}}}:{self._topic_id}"
