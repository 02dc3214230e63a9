"""The slow round that gives partials a TTL.

A write drops the TTL of what it writes (MSET; see ``docs/adr/0003``). Setting it on a slow round keeps it off the
writes' path, and an entity that is never written again is collected all the same, as is another view's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from weir.infra.redis.client import Client, on_server, primaries, transient_errors

_KEYS = 500
_LASTING = re.compile(rb"\{[tl][0-9]+\}:(?:position|known:[0-9]+)$")


def sweep(client: Client, group: str, ttl_ms: int) -> Iterator[int]:
    """Give partials of a group that have no TTL one, in short steps; yields how many keys a step looked at.

    Args:
        client: of Redis.
        group: what each of its keys begins with, without the colon.
        ttl_ms: of a partial.

    Raises:
        Transient: Redis is unreachable.
    """
    lasting = (f"{group}:view:".encode(), f"{group}:suspect:".encode())
    for node in primaries(client):
        cursor = 0
        while True:
            with transient_errors("sweeping"), on_server(client, node) as server:
                cursor, keys = server.scan(cursor, match=f"{group}:*", count=_KEYS)
                pipeline = server.pipeline(transaction=False)
                for key in keys:
                    if not _LASTING.search(key) and not key.startswith(lasting):  # these never expire
                        pipeline.pexpire(key, ttl_ms, nx=True)
                pipeline.execute()
            yield len(keys)
            if cursor == 0:
                break
