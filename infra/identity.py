"""Which process a record on disk means. A pid alone is no identity: it may have been given to another program since."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Identity:
    """A pid, when it was born as the kernel says, and what else a record may know of it.

    Attributes:
        boot: of the machine; start times are counted from it. Empty is not compared.
        command: its command line. Empty is not compared: some servers write their own.
    """

    pid: int
    born: str
    boot: str = ""
    command: str = ""

    def is_running(self) -> bool:
        """Return whether that very process still runs; a zombie does not."""
        if read_birth(self.pid) != self.born or (self.boot and self.boot != read_boot()):
            return False
        return not self.command or read_command(self.pid) == self.command


def identify(pid: int, *, with_command: bool) -> Identity:
    """Return the identity of a process that was started just now."""
    return Identity(pid, read_birth(pid) or "ended", read_boot(), read_command(pid) if with_command else "")


def parse_identity(recorded: Any) -> Identity | None:
    """Return the identity that a record holds, or ``None`` when it is no such record."""
    try:
        boot, command = str(recorded.get("boot", "")), str(recorded.get("command", ""))
        return Identity(int(recorded["pid"]), str(recorded["born"]), boot, command)
    except (AttributeError, ValueError, KeyError, TypeError):
        return None


def read_birth(pid: int) -> str | None:
    """Return an opaque start time of a running process, or ``None`` when there is none (zombies included)."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _read_birth_by_ps(pid)
    try:
        # the command name is in brackets and may hold anything, so count fields after the last bracket
        fields = stat.read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def read_boot() -> str:
    """Return the id of this boot of the machine; empty where the system has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def read_command(pid: int) -> str:
    """Return the command line of a process, its words separated by blanks; empty when it cannot be read."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode("utf-8", "replace").strip()


def _read_birth_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # nosec B603 # a fixed command
    state, _, born = shown.strip().partition(" ")
    return None if not state or state.startswith("Z") else born.strip()
