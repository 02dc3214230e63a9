"""The API over twins in memory, behind its real HTTP server: ``python -m tests.integration.http_child SECONDS FILES``.

With the URL of a Redis and the name of a space as well, it asks for ``KEY``, whose rate and answers are kept there.

A process of its own, so that its limit on open files and its log are its own. Prints its port. A transaction whose id
is ``slow`` takes a second to publish, one that is ``held`` until SIGUSR1, and one that is ``broken`` meets a bug; a
file with one that is ``held`` is read until SIGUSR1 too. Uploads are in ``UPLOADS`` of the environment.
With ``WAIT_SECONDS_MAX`` in the environment, a request that is expected to wait longer is refused at once.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from tests.unit.inference.test_api import NOW_MS, World
from weir.access.key import Scope, build_key, hash_text
from weir.inference.api.app import ApiParts, build_api
from weir.inference.api.ports import Published
from weir.inference.api.uploads.desk import UploadDesk
from weir.inference.api.web.connection import Limits
from weir.inference.api.web.listening import bind
from weir.inference.api.web.load import Load
from weir.inference.api.web.server import build_crowd, build_server
from weir.infra.redis.client import connect
from weir.infra.redis.kept_answers import KeptAnswers
from weir.infra.redis.rate_limits import RateLimits
from weir.infra.settings import Settings
from weir.infra.upload_settings import UploadSettings
from weir.infra.uploads.folders import UploadFolders
from weir.infra.uploads.reading import ToRead, read_rows
from weir.monitoring.logs import configure
from weir.schemas.streams.payments import payments

RELEASED = threading.Event()
KEY = f"weir_0123abcd_{'0' * 64}"
BURST = 5
_SLOW = 0.001
"""Requests a second: what was taken does not come back while a test runs."""


class SlowPublisher:
    """Takes its time, or fails, by the transaction's id."""

    def publish(self, transaction: dict[str, object]) -> Published:
        if transaction["transaction_id"] == "broken":
            raise ValueError("a bug")
        if transaction["transaction_id"] == "held":
            RELEASED.wait()
        time.sleep(1.0 if transaction["transaction_id"] == "slow" else 0.0)
        return Published("transactions", 0, 0)


async def read_here(wanted: ToRead) -> int:
    """Read a file in this process, or wait with it."""
    while b"held" in wanted.events.read_bytes() and not RELEASED.is_set():
        await asyncio.sleep(0.02)
    return read_rows(wanted)


def keep_in_redis(parts: ApiParts, url: str, space: str) -> ApiParts:
    """Return parts that ask for the key and count and keep in Redis."""
    client = connect(Settings().redis.model_copy(update={"url": url}))
    key = build_key("0123abcd", hash_text(KEY), "test", [Scope.ADMIN], (), now_ms=0, by="test")
    return replace(
        parts,
        find_key={KEY: replace(key, rate_per_second=_SLOW, burst=BURST)}.get,
        limits=RateLimits(client, space=space),
        kept=KeptAnswers(client, space=space, bytes_max=1_000_000),
    )


def main(seconds: float, files: int, *redis: str) -> None:
    """Serve until SIGTERM."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    configure("info", "json", "api")
    signal.signal(signal.SIGUSR1, lambda *_: RELEASED.set())
    with tempfile.TemporaryDirectory() as home, bind("127.0.0.1", 0) as listening:
        world = World(Path(home))
        crowd = build_crowd()
        folders = {payments.name: UploadFolders(Path(os.environ.get("UPLOADS", home)) / "uploads")}
        uploads = UploadDesk(folders, UploadSettings(), now_ms=lambda: NOW_MS, read=read_here)
        served = replace(world.served, publisher=SlowPublisher(), uploads=uploads)
        parts = replace(world.parts, streams=[served], is_full=lambda: crowd.full)
        parts = keep_in_redis(parts, *redis) if redis else parts
        limits = Limits(header_seconds=seconds, body_seconds=seconds, idle_seconds=seconds, write_seconds=seconds)
        load = Load(wait_seconds_max=float(os.environ.get("WAIT_SECONDS_MAX", "inf")), elsewhere_seconds=600.0)
        server = build_server(build_api(parts), crowd, limits=limits, load=load, plain_errors=not redis)
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        server.run(sockets=[listening])


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
