"""Where the Redis of a run is: the stack's own server, or a pair behind one address that goes with the run."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from tests.faults.link import Link
from tests.faults.workers import await_true
from weir.infra.embedded.ports import choose_ports
from weir.infra.embedded.process import ServerProcess
from weir.infra.embedded.redis_server import RedisServer
from weir.infra.embedded.stack import Stack

READY_SECONDS = 30.0
SOCKET_SECONDS = 10


class RedisServers:
    """One address; the stack's server unless a subclass has others.

    Args:
        stack: the servers that runs share.
        folder: for data of servers of this run's own.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        del folder
        self._url = stack.environment()["WEIR_REDIS__URL"]

    @property
    def settings(self) -> dict[str, Any]:
        """Return what the deployment's Redis settings are to say."""
        return {"url": self._url}

    def start(self) -> None:
        """Start this run's own servers."""

    def connect(self) -> Any:
        """Return a client of the harness's own."""
        return redis.Redis.from_url(self.settings["url"], socket_timeout=SOCKET_SECONDS)

    def read(self, client: Any, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys, wherever they lie."""
        found: list[bytes | None] = client.mget(keys)
        return found

    def close(self) -> None:
        """End this run's own servers."""


class Node:
    """One server of a run, with a folder of its own, and its log among the stack's."""

    def __init__(self, stack: Stack, folder: Path, port: int, **options: Any) -> None:
        self.port = port
        self._folder = folder / str(port)
        self._folder.mkdir()
        self._server = RedisServer(self._folder, port)
        self._options = [
            part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        self._process = ServerProcess(
            f"redis-{port}", record_path=self._folder / "pid.json", log_path=stack.home / "logs" / f"redis-{port}.log"
        )
        self.client = redis.Redis(port=port, socket_timeout=SOCKET_SECONDS)

    @property
    def is_running(self) -> bool:
        return self._process.find_running() is not None

    def start(self) -> None:
        """Start it on the data that it has, and wait until it answers."""
        self._process.launch([*self._server.prepare(), *self._options], cwd=self._folder)
        await_true(self._server.is_ready, f"redis at {self.port}", READY_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.signal(signal.SIGCONT)

    def follows(self) -> bool:
        """Return whether it is a replica that has caught up with its master once and hears of it."""
        found: dict[str, Any] = self.client.info("replication")
        return found["role"] == "slave" and found["master_link_status"] == "up"


class RedisPair(RedisServers):
    """A master and a replica behind one address; the replica hears of writes over a link that can be stalled."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        # no delay: by default a master waits 5 s for more replicas before it sends its data
        nodes = [Node(stack, folder, port, repl_diskless_sync_delay=0) for port in choose_ports(2)]
        self.master, self.replica = nodes
        self._front, self._wire = Link(self.master.port), Link(self.master.port)

    @property
    def settings(self) -> dict[str, Any]:
        return {"url": f"redis://127.0.0.1:{self._front.port}/0"}

    def start(self) -> None:
        self.master.start()
        self.restore()

    def restore(self) -> None:
        """Start the one that is down as the replica of the other."""
        self.replica.start()
        self.replica.client.replicaof("127.0.0.1", self._wire.port)
        await_true(self.replica.follows, "the replica having its master's data", READY_SECONDS)

    def stall_replication(self) -> None:
        """Let the replica fall behind from here on, without its noticing."""
        self._wire.stall()

    def fail_over(self) -> None:
        """Kill the master; the replica takes its address, with what it has."""
        self.master.kill()
        self._wire.cut()
        self._promote()
        self._front.cut()

    def switch_over(self) -> None:
        """Let the two change places as planned: connections to the old master stand, and it says READONLY."""
        self._promote()
        self.replica.client.replicaof("127.0.0.1", self._wire.port)

    def _promote(self) -> None:
        self.replica.client.replicaof("NO", "ONE")
        self.master, self.replica = self.replica, self.master
        self._front.target = self._wire.target = self.master.port

    def close(self) -> None:
        for link in (self._front, self._wire):
            link.close()
        for node in (self.master, self.replica):
            node.kill()
