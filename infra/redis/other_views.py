"""Views of a group besides the one that is worked on: of other declarations, or of a topic that was created again.

When a server has lost keys, which ones cannot be known, so nothing of any view of the group can be believed. A process
marks its own units and has them built again. Units of other views, which may be built for a cut-over just now or wait
for the way back, get a position as of a deletion that was broken off: the process that takes one up finishes that, and
builds the unit again from the log.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from weir.infra.redis.client import Client, on_server, primaries, transient_errors
from weir.infra.redis.unit import DROPPING

_KEYS_A_STEP: Final = 1_000


def abandon_other_views(client: Client, group_prefix: str, own: Collection[str]) -> int:
    """Have every unit of other views deleted and built again before anybody uses it; return how many there are.

    Args:
        client: from ``connect``.
        group_prefix: what every key of the group begins with, the colon included.
        own: what the keys of the own view's units begin with.

    Raises:
        Transient: Redis is unreachable; some units may be marked.
    """
    pattern = group_prefix.replace("[", "\\[")
    kept = {f"{prefix}position".encode() for prefix in own}
    marked = 0
    for node in primaries(client):
        cursor = -1
        while cursor:
            with transient_errors("marking other views"), on_server(client, node) as server:
                cursor, keys = server.scan(max(cursor, 0), match=f"{pattern}*}}:position", count=_KEYS_A_STEP)
                for key in set(keys) - kept:
                    server.set(key, DROPPING)
                    marked += 1
    return marked
