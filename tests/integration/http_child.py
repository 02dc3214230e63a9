"""The API over twins in memory, behind its real HTTP server: ``python -m tests.integration.http_child SECONDS FILES``.

A process of its own, so that its limit on open files and its log are its own. Prints its port. A transaction whose id
is ``slow`` takes a second to publish, one that is ``held`` until SIGUSR1, and one that is ``broken`` meets a bug.
"""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from tests.unit.inference.test_api import World
from weir.inference.api.app import build_api
from weir.inference.api.ports import Published
from weir.inference.api.web.connection import Limits
from weir.inference.api.web.listening import bind
from weir.inference.api.web.server import build_crowd, build_server
from weir.monitoring.logs import configure

RELEASED = threading.Event()


class SlowPublisher:
    """Takes its time, or fails, by the transaction's id."""

    def publish(self, transaction: dict[str, object]) -> Published:
        if transaction["transaction_id"] == "broken":
            raise ValueError("a bug")
        if transaction["transaction_id"] == "held":
            RELEASED.wait()
        time.sleep(1.0 if transaction["transaction_id"] == "slow" else 0.0)
        return Published("transactions", 0, 0)


def main(seconds: float, files: int) -> None:
    """Serve until SIGTERM."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    configure("info", "json", "api")
    signal.signal(signal.SIGUSR1, lambda *_: RELEASED.set())
    with tempfile.TemporaryDirectory() as home, bind("127.0.0.1", 0) as listening:
        world = World(Path(home))
        crowd = build_crowd()
        served = replace(world.served, publisher=SlowPublisher())
        parts = replace(world.parts, streams=[served], is_full=lambda: crowd.full)
        limits = Limits(header_seconds=seconds, body_seconds=seconds, idle_seconds=seconds, write_seconds=seconds)
        server = build_server(build_api(parts), crowd, limits=limits)
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        server.run(sockets=[listening])


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
