"""The product's own processes: started by their verbs, watched, ended by id."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import environment_of
from tests.integration.decided import holds
from tests.integration.forked import Fork, Program
from tests.pauses import Pauses
from weir.infra.children import child_environment
from weir.infra.settings import Settings
from weir.schemas.errors import WeirError

DEADLINE_SECONDS = 90.0
START_SECONDS = 150.0
"""Until a process is ready, on busy cores."""
STOP_SECONDS = 15.0
_LOG_TAIL_LINES = 12


@dataclass
class Child:
    """One running process."""

    name: str
    process: Fork | Program
    log_file: Path


class Services:
    """Child processes of one deployment; what a wait gives up on is told with the end of their logs.

    Args:
        settings: of the deployment.
        log_dir: one log per child.
        child: what starts one.
    """

    def __init__(self, settings: Settings, log_dir: Path, *, child: Callable[..., Fork | Program] = Fork) -> None:
        self.settings = self._given = settings
        self._log_dir, self._child = log_dir, child
        self._running: list[Child] = []
        self._started = 0

    def start(self, verb: str, *arguments: str, ready: str = '"event": "started"') -> Child:
        """Start ``weir <verb>`` and wait until its log says that it is ready."""
        return self._launch(verb, ("weir", verb, *arguments), ready)

    def start_module(self, module: str, *arguments: str, ready: str = '"event": "started"') -> Child:
        """Start a test's own entry point and wait until its log says that it is ready; at once for ``""``."""
        return self._launch(module.rpartition(".")[2], (module, *arguments), ready)

    def run(self, *arguments: str, seconds: float = DEADLINE_SECONDS, code: int = 0) -> str:
        """Run ``weir`` to its end, which must be with this exit code and in time, and return what it wrote."""
        stdout, stderr = self._new_file("run.out"), self._new_file("run.err")
        done = self._fork(("weir", *arguments), stdout, stderr)
        assert done.wait(seconds) == code, stderr.read_text()
        return stdout.read_text()

    def change(self, settings: Settings) -> None:
        """Give other settings to the children started from now on."""
        self._given = settings

    def _launch(self, name: str, arguments: tuple[str, ...], ready: str) -> Child:
        log_file = self._new_file(f"{name}.log")
        child = Child(log_file.stem, self._fork(arguments, log_file, log_file), log_file)
        self._running.append(child)
        self.await_true(lambda: ready in log_of(child), f"{name} saying {ready}", START_SECONDS)
        return child

    def _fork(self, arguments: tuple[str, ...], stdout: Path, stderr: Path) -> Fork | Program:
        return self._child(arguments, child_environment(environment_of(self._given)), stdout, stderr)

    def _new_file(self, name: str) -> Path:
        self._started += 1
        self._log_dir.mkdir(parents=True, exist_ok=True)
        file = self._log_dir / f"{self._started}-{name}"
        file.touch()
        return file

    def end(self, child: Child) -> None:
        """Ask a child to end and wait for it; it must end well."""
        child.process.terminate()
        assert child.process.wait(30) == 0, tail(child)
        self._running.remove(child)

    def await_killed(self, child: Child) -> None:
        """Wait until a child that kills itself is gone."""
        assert child.process.wait(DEADLINE_SECONDS) == -9, tail(child)
        self._running.remove(child)

    def await_refused(self, child: Child) -> None:
        """Wait until a child that is running has refused to go on."""
        try:
            assert child.process.wait(DEADLINE_SECONDS) == 2, tail(child)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{child.name} did not refuse within {DEADLINE_SECONDS} s\n{tail(child)}") from error
        self._running.remove(child)

    def await_true(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Ask again until it holds; fails at once when a child has died."""
        deadline, pauses = time.monotonic() + seconds, Pauses()
        while not holds(condition):
            self._check()
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen within {seconds} s\n{self._tails()}")
            pauses.sleep()

    def stop(self) -> None:
        """End every child that still runs: ask, wait a bounded time, then kill."""
        for child in reversed(self._running):
            child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self._running):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._running.clear()

    def _check(self) -> None:
        for child in self._running:
            if child.process.poll() not in (None, 0):
                raise WeirError(f"{child.name} ended with exit code {child.process.returncode}:\n{tail(child)}")

    def _tails(self) -> str:
        return "\n".join(f"--- {child.name}\n{tail(child)}" for child in self._running)


def tail(child: Child) -> str:
    """Return the last lines that a child has said."""
    return "\n".join(log_of(child).splitlines()[-_LOG_TAIL_LINES:])


def log_of(child: Child) -> str:
    """Return all that a child has said."""
    return child.log_file.read_text(errors="replace")
