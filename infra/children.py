"""Child processes of a supervising command: started with a log file each, watched, and ended by id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import WeirError

STOP_SECONDS = 15.0
_LOG_TAIL_LINES = 12


@dataclass
class Child:
    """One running child."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path


@dataclass
class Children:
    """A group of children that ends together.

    Attributes:
        log_dir: one ``<name>.log`` per child, emptied at its start.
        environment: what is added to this process's environment for every child.
    """

    log_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: list[Child] = field(default_factory=list)

    def start(self, name: str, command: list[str]) -> Child:
        """Start a child with its output in its log file."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        log_file = self.log_dir / f"{name}.log"
        with log_file.open("wb") as log:
            # a session of its own: Ctrl-C reaches the supervisor alone, which then ends the children in order
            process = subprocess.Popen(  # nosec B603 # the callers' own commands, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(self.environment),
                start_new_session=True,
            )
        child = Child(name, process, log_file)
        self.running.append(child)
        return child

    def check(self) -> None:
        """Raise when a child has died.

        Raises:
            WeirError: naming the child, its exit code and the end of its log.
        """
        for child in self.running:
            code = child.process.poll()
            if code is not None and code != 0:
                raise WeirError(f"{child.name} ended with exit code {code}; end of {child.log_file}:\n{tail(child)}")

    def states(self) -> dict[str, str]:
        """Return each child's name and whether it runs."""
        return {c.name: "up" if c.process.poll() is None else f"exit {c.process.returncode}" for c in self.running}

    def stop(self) -> None:
        """End every child, the last started first: ask, wait a bounded time, then kill."""
        for child in reversed(self.running):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self.running):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self.running.clear()


def child_environment(added: dict[str, str]) -> dict[str, str]:
    """Return this process's environment with ``added`` on top."""
    return {**os.environ, **added}


def tail(child: Child) -> str:
    """Return the last lines of a child's log."""
    return "\n".join(child.log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
