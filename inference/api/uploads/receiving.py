"""The body of an upload, part by part into a file: never whole in memory, bounded in bytes and in time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool

from weir.inference.api.web.connection import SLOW_BODY

RECEIVE_SECONDS = 600.0
"""From the headers to the end of the body: as many megabytes as may be, over a slow line."""
_PATH = re.compile(r"/v1/(?:streams/[^/]+/)?uploads")
_PART_BYTES = 1 << 20


def is_upload(scope: Mapping[str, Any]) -> bool:
    """Return whether a request's body is a file, which has bounds of its own.

    >>> is_upload({"method": "POST", "path": "/v1/streams/clicks/uploads"})
    True
    """
    return scope["method"] == "POST" and _PATH.fullmatch(scope["path"]) is not None


def allow_time(scope: Mapping[str, Any]) -> None:
    """Let the body of a request take as long as a large file may; another server than ours has its own bound."""
    extension = scope.get("extensions", {}).get(SLOW_BODY)
    if extension is not None:
        extension["allow"](RECEIVE_SECONDS)


async def receive(parts: AsyncIterator[bytes], path: Path) -> int:
    """Write a body, whose bytes are bounded before this, to a file, and return how many it has.

    Raises:
        ClientDisconnect: the client has gone.
        OSError: the disk is full.
    """
    size = 0
    gathered = bytearray()
    with path.open("xb") as file:
        async for part in parts:
            gathered += part
            if len(gathered) >= _PART_BYTES:
                size += await run_in_threadpool(file.write, bytes(gathered))
                gathered.clear()
        size += await run_in_threadpool(file.write, bytes(gathered))
    return size
