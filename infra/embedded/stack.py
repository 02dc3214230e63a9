"""The embedded stack: three real servers with one home folder, started together, each to be killed alone.

``<home>`` holds ``ports.json`` (chosen once), ``stack.env`` (addresses, which ``load_settings`` reads), ``logs/`` and
``servers/<name>/`` with each server's data and the record of its process.
"""

from __future__ import annotations

import fcntl
import json
import random
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.embedded.artifacts import Progress
from infra.embedded.kafka_server import KafkaServer
from infra.embedded.process import ServerProcess
from infra.embedded.redis_server import RedisServer
from infra.embedded.registry_server import RegistryServer
from infra.settings import stack_env_path
from schemas.errors import Refused, WeirError

NAMES = ("kafka", "redis", "registry")
_PORT_NAMES = ("kafka", "kafka_controller", "redis", "registry")
# Below every system's range for outgoing connections: a client that redials a killed server on a port of that range
# can connect to itself, and then the server cannot come back.
_PORTS = range(18_000, 30_000)
_PORT_TRIES_MAX = 1_000
_READY_SECONDS_MAX = 90.0
_END_SECONDS_MAX = 20.0
_POLL_SECONDS = 0.05


DEMO_MARKER = "demo.json"
"""A file in the home that says: all data here was made by the demo, and the next one may wipe it."""


class Server(Protocol):
    """What the stack asks of a server."""

    @property
    def name(self) -> str:
        """Its name, one of ``NAMES``."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port it listens on."""

    def prepare(self) -> list[str]:
        """Make ready whatever the start needs and return the command."""

    def is_ready(self) -> bool:
        """Return whether it serves."""

    def settle(self) -> None:
        """Do what must be done once it serves."""


@dataclass(frozen=True)
class ServerStatus:
    """One server as it is now."""

    name: str
    address: str
    pid: int | None
    ready: bool


def _no_progress(_done: int, _of: int) -> None:
    return


class Stack:
    """The embedded servers of one home folder.

    Args:
        home: data, ports, logs; made with mode 0700.
        progress: told about downloads.
    """

    def __init__(self, home: Path, *, progress: Progress = _no_progress) -> None:
        self.home = home.absolute()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.chmod(0o700)
        (self.home / "logs").mkdir(exist_ok=True)
        with self._lock():
            self.ports = self._load_ports()
        self.servers = self._build_servers(progress)
        self.processes = {name: self._build_process(name) for name in NAMES}

    def start(self, names: Sequence[str] = NAMES) -> None:
        """Start what does not run yet, all at once, and wait until each serves.

        Raises:
            Refused: a port is taken by another program.
            WeirError: a server died or did not get ready; the end of its log is in the message.
        """
        with self._lock():
            idle = [name for name in names if self.processes[name].find_running() is None]
            for name in idle:
                self._check_ports(name)
            with ThreadPoolExecutor(len(NAMES)) as pool:
                for future in [pool.submit(self._start_one, name) for name in names]:
                    future.result()
            self._write_env()

    def stop(self) -> list[str]:
        """End what ``start`` started, politely, then not; return the names that ran."""
        with self._lock(), ThreadPoolExecutor(len(NAMES)) as pool:
            ended = {name: pool.submit(self._process_end, name) for name in NAMES}
            return [name for name, future in ended.items() if future.result()]

    def kill(self, name: str) -> None:
        """End one server as a power cut would (SIGKILL)."""
        self.processes[name].kill()

    def pause(self, name: str) -> None:
        """Freeze one server (SIGSTOP): connections stay open and nothing answers."""
        self.processes[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused server go on."""
        self.processes[name].signal(signal.SIGCONT)

    def restart(self, name: str) -> None:
        """Stop one server politely if it runs, and start it on the same port and data."""
        self._process_end(name)
        self.start([name])

    def wipe(self, name: str) -> None:
        """Kill one server and delete its data."""
        self.kill(name)
        for path in sorted((self.home / "servers" / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def status(self) -> list[ServerStatus]:
        """Return each server as it is now."""
        return [self._status_of(name) for name in NAMES]

    def environment(self) -> dict[str, str]:
        """Return the settings that lead to these servers, by their ``WEIR_`` names."""
        return {
            "WEIR_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{self.ports['kafka']}",
            "WEIR_REGISTRY__URL": f"http://127.0.0.1:{self.ports['registry']}/apis/ccompat/v7",
            "WEIR_REDIS__URL": f"redis://127.0.0.1:{self.ports['redis']}/0",
        }

    def _build_servers(self, progress: Progress) -> dict[str, Server]:
        folder = self.home / "servers"
        servers: list[Server] = [
            KafkaServer(folder / "kafka", self.ports["kafka"], self.ports["kafka_controller"], progress),
            RedisServer(folder / "redis", self.ports["redis"]),
            RegistryServer(folder / "registry", self.ports["registry"], progress),
        ]
        return {server.name: server for server in servers}

    def _build_process(self, name: str) -> ServerProcess:
        folder = self.home / "servers" / name
        folder.mkdir(parents=True, exist_ok=True)
        return ServerProcess(
            name, record_path=self.home / "servers" / f"{name}.json", log_path=self.home / "logs" / f"{name}.log"
        )

    def _start_one(self, name: str) -> None:
        process, server = self.processes[name], self.servers[name]
        if process.find_running() is None:
            process.launch(server.prepare(), cwd=self.home / "servers" / name)
        deadline = time.monotonic() + _READY_SECONDS_MAX
        while not server.is_ready():
            if process.find_running() is None:
                raise WeirError(f"{name} ended while starting; the end of its log:\n{process.log_tail(20)}")
            if time.monotonic() > deadline:
                raise WeirError(f"{name} is not ready after {_READY_SECONDS_MAX:.0f} s:\n{process.log_tail(20)}")
            time.sleep(_POLL_SECONDS)
        server.settle()

    def _process_end(self, name: str) -> bool:
        return self.processes[name].end(patience_seconds=_END_SECONDS_MAX)

    def _status_of(self, name: str) -> ServerStatus:
        running = self.processes[name].find_running()
        ready = running is not None and self.servers[name].is_ready()
        address = f"127.0.0.1:{self.servers[name].ports[0]}"
        return ServerStatus(name, address, running.pid if running else None, ready)

    def _check_ports(self, name: str) -> None:
        for port in self.servers[name].ports:
            if not _is_free(port):
                raise Refused(
                    f"port {port} for {name} is taken by another program; "
                    f"end that program, or remove ports.json in the home folder to choose other ports"
                )

    def _load_ports(self) -> dict[str, int]:
        path = self.home / "ports.json"
        if path.is_file():
            return {name: int(port) for name, port in json.loads(path.read_text()).items()}
        ports = dict(zip(_PORT_NAMES, choose_ports(len(_PORT_NAMES)), strict=True))
        path.write_text(json.dumps(ports))
        return ports

    def _write_env(self) -> None:
        path = stack_env_path(self.home)
        temporary = path.with_suffix(".new")
        temporary.write_text("".join(f"{name}={value}\n" for name, value in self.environment().items()))
        temporary.replace(path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one command at a time change the stack of this home."""
        with (self.home / "stack.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def choose_ports(count: int) -> list[int]:
    """Return so many ports that nobody listens on just now, in order.

    Raises:
        WeirError: there are not enough.
    """
    dice = random.SystemRandom()
    chosen: set[int] = set()
    for _ in range(_PORT_TRIES_MAX):
        port = dice.choice(_PORTS)
        if _is_free(port):
            chosen.add(port)
        if len(chosen) == count:
            return sorted(chosen)
    raise WeirError(f"found no {count} free ports in {_PORTS.start}-{_PORTS.stop}; close some programs")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as the servers do: a port whose connections are still fading out is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
