"""The embedded stack: three real servers with one home folder, started together, each to be killed alone.

MLflow's page is a fourth one, for who asks for it. Nothing needs it, so it is started, shown and ended with the others
and otherwise left alone.

``<home>`` holds ``ports.json`` (chosen once), ``stack.env`` (addresses, which ``load_settings`` reads), ``logs/`` and
``servers/<name>/`` with each server's data and the record of its process.
"""

from __future__ import annotations

import fcntl
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weir.infra.embedded.artifacts import Progress
from weir.infra.embedded.kafka_server import KafkaServer
from weir.infra.embedded.mlflow_server import MlflowServer
from weir.infra.embedded.ports import choose_ports, describe_listener, is_free, load_ports, save_ports
from weir.infra.embedded.process import ServerProcess
from weir.infra.embedded.redis_server import RedisServer
from weir.infra.embedded.registry_server import RegistryServer
from weir.infra.embedded.starting import Starting, Tell, await_ready
from weir.infra.home import ensure_home, home_errors, stack_env_path
from weir.infra.mlflow_store import find_database
from weir.schemas.errors import Refused

NAMES = ("kafka", "redis", "registry")
MLFLOW = "mlflow"
ALL_NAMES = (*NAMES, MLFLOW)
_PORTS_OF = {"kafka": ("kafka", "kafka_controller"), "redis": ("redis",), "registry": ("registry",), MLFLOW: (MLFLOW,)}
_END_SECONDS_MAX = 20.0


DEMO_MARKER = "demo.json"
"""A file in the home that says: all data here was made by the demo, and the next one may wipe it."""


class Server(Starting, Protocol):
    """What the stack asks of a server."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port it listens on."""

    def prepare(self) -> list[str]:
        """Make ready whatever the start needs and return the command, to be run in the server's own folder."""

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


def _tell_nobody(_line: str) -> None:
    return


def recorded_process(home: Path, name: str) -> ServerProcess:
    """Return the process of a server of this home; nothing is made."""
    return ServerProcess(name, record_path=home / "servers" / f"{name}.json", log_path=home / "logs" / f"{name}.log")


class Stack:
    """The embedded servers of one home folder.

    Args:
        home: data, ports, logs; made with mode 0700.
        progress: told about downloads.
        tell: told in words what takes long, and what was done that nobody asked for.

    Raises:
        Refused: the home cannot be made or written.
    """

    def __init__(self, home: Path, *, progress: Progress = _no_progress, tell: Tell = _tell_nobody) -> None:
        self.home = ensure_home(home)
        self._tell = tell
        self._progress = progress
        with home_errors(self.home):
            (self.home / "logs").mkdir(exist_ok=True)
            with self._lock():
                self.ports = load_ports(self._ports_path)
            self.servers = self._build_servers()
            self.processes = {name: self._build_process(name) for name in ALL_NAMES}

    def start(self, names: tuple[str, ...] = NAMES) -> None:
        """Start what does not run yet, all at once, and wait until each serves.

        What this call launched is ended when one of them does not serve: half a stack is of no use.

        Raises:
            Refused: a port is taken by another program.
            WeirError: a server died or did not get ready; what it wrote is in the message.
        """
        with self._lock():
            idle = [name for name in names if self.processes[name].find_running() is None]
            for name in idle:
                self._check_ports(name)
            # before they serve: a client that comes meanwhile, or after a failure, must not turn to other servers
            self._write_env()
            try:
                self._start_all(names)
            except BaseException:
                self._end(tuple(idle))
                raise

    def ensure_port(self, name: str) -> None:
        """Choose a port for a server that never had one in this home; it keeps it."""
        with self._lock():
            if name not in self.ports:
                (self.ports[name],) = choose_ports(1, besides=self.ports.values())
                save_ports(self._ports_path, self.ports)
                self.servers = self._build_servers()

    def move_ports(self, names: tuple[str, ...] = NAMES) -> list[str]:
        """Choose other ports for servers that do not run and whose ports are taken; return their names."""
        with self._lock():
            moved = [name for name in names if self.processes[name].find_running() is None and not self._is_free(name)]
            for name in moved:
                fresh = choose_ports(len(_PORTS_OF[name]), besides=self.ports.values())
                self.ports |= dict(zip(_PORTS_OF[name], fresh, strict=True))
            if moved:
                save_ports(self._ports_path, self.ports)
                self.servers = self._build_servers()
        return moved

    def stop(self) -> list[str]:
        """End what ``start`` started, politely, then not; return the names that ran."""
        with self._lock():
            ended = self._end(ALL_NAMES)
            self.processes[MLFLOW].record_path.unlink(missing_ok=True)  # it is meant to run until somebody ends it
            return ended

    def kill(self, name: str) -> None:
        """End one server as a power cut would (SIGKILL)."""
        self.processes[name].kill()

    def pause(self, name: str) -> None:
        """Freeze one server (SIGSTOP): connections stay open and nothing answers."""
        self.processes[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused server continue."""
        self.processes[name].signal(signal.SIGCONT)

    def restart(self, name: str) -> None:
        """Stop one server politely if it runs, and start it on the same port and data."""
        self._process_end(name)
        self.start((name,))

    def wipe(self, name: str) -> None:
        """Kill one server and delete its data."""
        self.kill(name)
        for path in sorted((self.home / "servers" / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def status(self) -> list[ServerStatus]:
        """Return each server that is meant to run, as it is now."""
        return [self._status_of(name) for name in self._meant()]

    def environment(self) -> dict[str, str]:
        """Return the settings that lead to these servers, by their ``WEIR_`` names."""
        return {
            "WEIR_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{self.ports['kafka']}",
            "WEIR_REGISTRY__URL": f"http://127.0.0.1:{self.ports['registry']}/apis/ccompat/v7",
            "WEIR_REDIS__URL": f"redis://127.0.0.1:{self.ports['redis']}/0",
        }

    def _build_servers(self) -> dict[str, Server]:
        folder = self.home / "servers"
        servers: list[Server] = [
            KafkaServer(folder / "kafka", self.ports["kafka"], self.ports["kafka_controller"], self._progress),
            RedisServer(folder / "redis", self.ports["redis"]),
            RegistryServer(folder / "registry", self.ports["registry"], self._progress),
            MlflowServer(find_database(self.home), self.ports.get(MLFLOW, 0)),
        ]
        return {server.name: server for server in servers}

    def _build_process(self, name: str) -> ServerProcess:
        (self.home / "servers" / name).mkdir(parents=True, exist_ok=True)
        return recorded_process(self.home, name)

    def _start_all(self, names: tuple[str, ...]) -> None:
        given_up = threading.Event()
        with ThreadPoolExecutor(len(ALL_NAMES)) as pool:
            starts = [pool.submit(self._start_one, name, given_up) for name in names]
            try:
                for start in as_completed(starts):
                    start.result()
            except BaseException:
                given_up.set()
                raise

    def _start_one(self, name: str, given_up: threading.Event) -> None:
        process, server = self.processes[name], self.servers[name]
        if process.find_running() is None:
            process.launch(server.prepare(), cwd=self.home / "servers" / name)
        await_ready(server, process, tell=self._tell, given_up=given_up)
        server.settle()

    def _end(self, names: tuple[str, ...]) -> list[str]:
        """End these servers at once and return the names of those that ran."""
        with ThreadPoolExecutor(len(ALL_NAMES)) as pool:
            ended = {name: pool.submit(self._process_end, name) for name in names}
            return [name for name, future in ended.items() if future.result()]

    def _process_end(self, name: str) -> bool:
        return self.processes[name].end(patience_seconds=_END_SECONDS_MAX)

    def _status_of(self, name: str) -> ServerStatus:
        running = self.processes[name].find_running()
        ready = running is not None and self.servers[name].is_ready()
        address = f"127.0.0.1:{self.servers[name].ports[0]}"
        return ServerStatus(name, address, running.pid if running else None, ready)

    def _meant(self) -> tuple[str, ...]:
        return ALL_NAMES if self.processes[MLFLOW].record_path.is_file() else NAMES

    def _is_free(self, name: str) -> bool:
        return all(is_free(port) for port in self.servers[name].ports)

    def _check_ports(self, name: str) -> None:
        for port in self.servers[name].ports:
            if not is_free(port):
                raise Refused(
                    f"port {port} for {name} is taken by {describe_listener(port)}; "
                    "`weir up --other-ports` chooses another port for it"
                )

    @property
    def _ports_path(self) -> Path:
        return self.home / "ports.json"

    def _write_env(self) -> None:
        path = stack_env_path(self.home)
        temporary = path.with_suffix(".new")
        temporary.write_text("".join(f"{name}={value}\n" for name, value in self.environment().items()))
        temporary.replace(path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one command at a time change the stack of this home."""
        with (self.home / "stack.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._tell("another command starts or stops these servers; waiting for its end")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
