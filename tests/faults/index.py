"""The decision index in Redis as the documents describe it, read without the product's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

BUCKETS = 16


def entry_key(cluster: str, transaction_id: str) -> str:
    """Return where a decision stands."""
    return f"weir:{cluster}:decision:2:{{i{crc32(transaction_id.encode()) % BUCKETS:02d}}}:{transaction_id}"


def holds(redis: Any, cluster: str, topic_id: str, committed: Mapping[int, int | None]) -> bool:
    """Whether every bucket says that it holds all that the group has committed, by partition."""
    wanted = {str(number).encode(): end for number, end in committed.items() if end is not None}
    buckets = [redis.hgetall(f"weir:{cluster}:decided:2:{{i{number:02d}}}:{topic_id}") for number in range(BUCKETS)]
    return all(int(found.get(number, -1)) == end for found in buckets for number, end in wanted.items())
