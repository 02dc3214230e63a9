"""Ports of the embedded servers: chosen once for a home, and whose a port is that is taken."""

from __future__ import annotations

import json
import os
import random
import shlex
import socket
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from weir.infra.identity import read_command
from weir.schemas.errors import WeirError

PORT_NAMES = ("kafka", "kafka_controller", "redis", "registry")
ASKED_FOR = "mlflow"
"""A port that a home has once its server was asked for."""
# Below every system's range for outgoing connections: a client that redials a killed server on a port of that range
# can connect to itself, and then the server cannot come back.
PORTS = range(18_000, 30_000)
_TRIES_MAX = 1_000
_LISTENING = "0A"
"""A socket's state in ``/proc/net/tcp``."""


@dataclass(frozen=True)
class Listener:
    """A process that listens on a port. ``home`` is that of the embedded servers it is one of, else ``None``."""

    pid: int
    command: str
    home: Path | None

    def describe(self) -> str:
        """Return who it is, for messages."""
        words = self.command.split()
        name = Path(words[0]).name if words else "?"
        # of other programs the name alone: their arguments are not ours to show
        shown = " ".join([name, *words[1:4]]) if "weir" in self.command else name
        return f"{shown!r} (pid {self.pid})"


def choose_ports(count: int, *, besides: Collection[int] = ()) -> list[int]:
    """Return so many ports that nobody listens on just now, in order, and none of ``besides``.

    Raises:
        WeirError: there are not enough.
    """
    dice = random.SystemRandom()
    chosen: set[int] = set()
    for _ in range(_TRIES_MAX):
        port = dice.choice(PORTS)
        if port not in besides and is_free(port):
            chosen.add(port)
        if len(chosen) == count:
            return sorted(chosen)
    raise WeirError(f"found no {count} free ports in {PORTS.start}-{PORTS.stop}; close some programs")


def load_ports(path: Path) -> dict[str, int]:
    """Return the ports that the file holds; it is written where it is absent or cannot be read."""
    try:
        ports = {name: int(port) for name, port in json.loads(path.read_text()).items()}
        if set(ports) - {ASKED_FOR} == set(PORT_NAMES) and all(0 < port < 65_536 for port in ports.values()):
            return ports
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        pass
    ports = dict(zip(PORT_NAMES, choose_ports(len(PORT_NAMES)), strict=True))
    save_ports(path, ports)
    return ports


def save_ports(path: Path, ports: dict[str, int]) -> None:
    """Write the file, whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(ports))
    temporary.replace(path)


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port of the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as the servers do: a port whose connections are still fading out is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True


def describe_listener(port: int) -> str:
    """Return whose the port is as far as it can be known, and what ends that where it is ours."""
    found = find_listener(port)
    if found is None:
        return "another program"
    ending = f"; `weir down --home {shlex.quote(str(found.home))}` ends it" if found.home else ""
    return f"{found.describe()}{ending}"


def find_listener(port: int) -> Listener | None:
    """Return who listens on the port, where the system says it and lets us see that process."""
    inodes = _listening_inodes(port)
    for entry in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & _socket_inodes(entry):
            pid = int(entry.name)
            return Listener(pid, read_command(pid), _home_of(entry))
    return None


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            rows = [line.split() for line in table.read_text().splitlines()[1:]]
        except OSError:
            continue
        found |= {row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port}
    return found


def _socket_inodes(entry: Path) -> set[str]:
    found = set()
    with suppress(OSError):  # the process is another user's, or has ended
        for descriptor in (entry / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                link = os.readlink(descriptor)  # noqa: PTH115  (text, no path)
                if link.startswith("socket:["):
                    found.add(link[len("socket:[") : -1])
    return found


def _home_of(entry: Path) -> Path | None:
    try:
        folder = (entry / "cwd").readlink()
    except OSError:
        return None
    home = folder.parent.parent
    return home if folder.parent.name == "servers" and (home / "ports.json").is_file() else None
