"""Child processes of a supervising command: started with a log file each, watched, and ended by id.

A supervisor that is told to end, or whose terminal goes away, ends them. One that is killed cannot; so each child may
be recorded, and ``end_recorded`` ends those that are still the same processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from weir.infra.identity import Identity, identify, parse_identity
from weir.schemas.errors import WeirError

STOP_SECONDS = 15.0
_LOG_TAIL_LINES = 12
_POLL_SECONDS = 0.05


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
        record: a file that names those that run; ``None`` records nothing.
    """

    log_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: list[Child] = field(default_factory=list)
    record: Path | None = None

    def start(self, name: str, command: list[str], *, descriptors: Sequence[int] = ()) -> Child:
        """Start a child with its output in its log file.

        Args:
            name: of the child and its log.
            command: its command line.
            descriptors: open files of ours that it has too, under the same numbers.
        """
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
                pass_fds=descriptors,
            )
        child = Child(name, process, log_file)
        self.running.append(child)
        self._save()
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
        if self.record is not None:
            self.record.unlink(missing_ok=True)

    def _save(self) -> None:
        if self.record is None:
            return
        alive = [child for child in self.running if child.process.poll() is None]
        rows = [{"name": child.name, **vars(identify(child.process.pid, with_command=True))} for child in alive]
        temporary = self.record.with_suffix(".new")
        temporary.write_text(json.dumps(rows))
        temporary.replace(self.record)


def find_recorded(record: Path) -> dict[Identity, str]:
    """Return the recorded processes that still run, with their names."""
    try:
        rows = json.loads(record.read_text())
        named = [(str(row["name"]), parse_identity(row)) for row in rows]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return {}
    return {identity: name for name, identity in named if identity is not None and identity.is_running()}


def end_recorded(record: Path) -> list[str]:
    """End the recorded processes that still run: ask, wait a bounded time, then kill. Returns their names."""
    running = find_recorded(record)
    _signal(running, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(identity.is_running() for identity in running) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _signal(running, signal.SIGKILL)
    record.unlink(missing_ok=True)
    return list(running.values())


def _signal(identities: dict[Identity, str], number: signal.Signals) -> None:
    for identity in identities:
        if identity.is_running():
            with suppress(ProcessLookupError):
                os.kill(identity.pid, number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and the end of the terminal (SIGHUP) end this process as an exception does, so that it cleans up.

    A user who runs it with ``nohup`` wants the terminal's end ignored, and it stays so.
    """
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _raise_end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal cut short what ends the children: a terminal that closes sends several, a person presses again."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def child_environment(added: dict[str, str]) -> dict[str, str]:
    """Return this process's environment with ``added`` on top."""
    return {**os.environ, **added}


def tail(child: Child) -> str:
    """Return the last lines of a child's log."""
    return "\n".join(child.log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
