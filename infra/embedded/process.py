"""One detached server process: launched, recorded on disk, and ended only if it is still the one we launched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from weir.infra.children import child_environment
from weir.infra.identity import Identity, identify, parse_identity
from weir.schemas.errors import WeirError

_POLL_SECONDS = 0.02
_LOG_BYTES_MAX = 10 * 1024 * 1024
"""A log that is longer when its server starts is moved aside, once; two files are kept."""

_OUTPUT_BYTES_MAX = 4 * 1024 * 1024
"""Of what a server wrote since its launch, looked at while it starts."""
_HEAD_LINES, _TAIL_LINES = 12, 12
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
"""A JVM reads paths in the encoding of its locale, and under ``C`` opens none with a letter beyond ASCII in it."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this one launched and has not reaped: only their parent can, whichever object asks for the end."""


class ServerProcess:
    """The process of one named server.

    Args:
        name: of the server; names its record and its log.
        record_path: JSON file that says which process was launched.
        log_path: where its output is appended.
    """

    def __init__(self, name: str, *, record_path: Path, log_path: Path) -> None:
        self.name = name
        self.record_path = record_path
        self.log_path = log_path
        self._launched_at: int | None = None
        """Bytes that the log had at the launch; ``None`` when another command launched it."""

    def launch(self, command: Sequence[str], *, cwd: Path) -> None:
        """Start the command in a session of its own, so that it outlives the terminal that started it."""
        self._rotate_log()
        with self.log_path.open("ab") as log:
            self._launched_at = log.tell()
            child = subprocess.Popen(  # nosec B603 # the embedded servers are subprocesses by design
                command,
                cwd=cwd,
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children[child.pid] = child
        self._save(identify(child.pid, with_command=False))

    def find_running(self) -> Identity | None:
        """Return the launched process if it still runs."""
        try:
            identity = parse_identity(json.loads(self.record_path.read_text()))
        except (FileNotFoundError, ValueError):
            return None
        return identity if identity is not None and identity.is_running() else None

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal if the launched process still runs; say whether it did."""
        identity = self.find_running()
        if identity is None:
            return False
        try:
            os.kill(identity.pid, number)
        except ProcessLookupError:
            return False
        return True

    def end(self, *, patience_seconds: float) -> bool:
        """End the process: SIGTERM, wait, then SIGKILL. Returns whether there was one to end."""
        identity = self.find_running()
        if identity is None:
            _reap_ended()
            return False
        self.signal(signal.SIGCONT)  # a paused process cannot hear SIGTERM
        self.signal(signal.SIGTERM)
        if not _wait_gone(identity, patience_seconds):
            self.kill()
        _reap(identity)
        return True

    def kill(self) -> bool:
        """Kill the process without warning and wait until it is gone."""
        identity = self.find_running()
        if identity is None or not self.signal(signal.SIGKILL):
            return False
        if not _wait_gone(identity, 10.0):
            raise WeirError(f"{self.name}: process {identity.pid} survived SIGKILL for 10 s; end it by hand")
        _reap(identity)
        return True

    def log_tail(self, lines: int) -> str:
        """Return the last lines of the log."""
        if not self.log_path.is_file():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 512 * max(lines, 1)))
            text = log.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def read_launch_output(self) -> str:
        """Return what it wrote since its launch, the last megabytes of it; of an earlier launch, nothing."""
        if self._launched_at is None or not self.log_path.is_file():
            return ""
        with self.log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._launched_at, end - _OUTPUT_BYTES_MAX))
            return log.read().decode("utf-8", "replace")

    def launch_output(self) -> str:
        """Return the head and the end of what it wrote since its launch: a stack trace has its cause at the head."""
        lines = self.read_launch_output().splitlines() or self.log_tail(_TAIL_LINES).splitlines()
        left_out = len(lines) - _HEAD_LINES - _TAIL_LINES
        if left_out > 0:
            lines = [*lines[:_HEAD_LINES], f"... {left_out} lines left out ...", *lines[-_TAIL_LINES:]]
        shown = "\n".join(lines) or "(nothing)"
        return f"its output, whole in {self.log_path}:\n{shown}"

    def _save(self, identity: Identity) -> None:
        temporary = self.record_path.with_suffix(".new")
        temporary.write_text(json.dumps(vars(identity)))
        temporary.replace(self.record_path)

    def _rotate_log(self) -> None:
        if self.log_path.is_file() and self.log_path.stat().st_size > _LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))


def server_environment() -> dict[str, str]:
    """Return the environment in which a server runs."""
    return child_environment(_ENVIRONMENT)


def _reap(identity: Identity) -> None:
    # the record stays: that of a process which ended names nobody, and between looking whose it is and deleting it
    # another command may have recorded the next one
    child = _children.pop(identity.pid, None)
    if child is not None:
        child.wait()  # or it stays a zombie for as long as we live


def _reap_ended() -> None:
    """Take leave of children that ended by themselves: which of them was the one asked for, its record may not say."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)  # another thread, which ends another server, may have been first


def _wait_gone(identity: Identity, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while identity.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
