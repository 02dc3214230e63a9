"""The product's own processes, as a user runs them: started by their verbs, watched, ended by id."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import environment_of
from tests.integration.decided import holds
from weir.infra.children import Child, Children, child_environment, tail
from weir.infra.settings import Settings

DEADLINE_SECONDS = 90.0
START_SECONDS = 150.0
"""Until a process is ready: the first one of a new copy compiles the kernel, which takes minutes on busy cores."""
_ASK_EVERY_SECONDS = 0.02


class Services:
    """Child processes of one deployment; what a wait gives up on is told with the end of their logs."""

    def __init__(self, settings: Settings, log_dir: Path) -> None:
        self.settings = settings
        self._children = Children(log_dir, environment_of(settings))
        self._started = 0

    def start(self, verb: str, *arguments: str, ready: str = '"event": "started"') -> Child:
        """Start ``weir <verb>`` and wait until its log says that it is ready."""
        return self._launch(verb, ["-m", "weir", verb, *arguments], ready)

    def start_module(self, module: str, *arguments: str, ready: str = '"event": "started"') -> Child:
        """Start a test's own entry point and wait until its log says that it is ready; at once for ``""``."""
        return self._launch(module.rpartition(".")[2], ["-m", module, *arguments], ready)

    def run(self, *arguments: str, seconds: float = DEADLINE_SECONDS) -> str:
        """Run ``weir`` to its end, which must be good and in time, and return what it wrote."""
        done = subprocess.run(
            [sys.executable, "-m", "weir", *arguments],
            env=child_environment(self._children.environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def change(self, settings: Settings) -> None:
        """Give other settings to the children started from now on."""
        self._children.environment = environment_of(settings)

    def _launch(self, name: str, command: list[str], ready: str) -> Child:
        self._started += 1
        child = self._children.start(f"{name}-{self._started}", [sys.executable, *command])
        self.await_true(lambda: ready in log_of(child), f"{name} saying {ready}", START_SECONDS)
        return child

    def end(self, child: Child) -> None:
        """Ask a child to end and wait for it; it must end well."""
        child.process.terminate()
        assert child.process.wait(30) == 0, tail(child)
        self._children.running.remove(child)

    def await_killed(self, child: Child) -> None:
        """Wait until a child that kills itself is gone."""
        assert child.process.wait(DEADLINE_SECONDS) == -9, tail(child)
        self._children.running.remove(child)

    def await_refused(self, child: Child) -> None:
        """Wait until a child that is running has refused to go on."""
        assert child.process.wait(DEADLINE_SECONDS) == 2, tail(child)
        self._children.running.remove(child)

    def await_true(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Ask again until it holds; fails at once when a child has died."""
        deadline = time.monotonic() + seconds
        while not holds(condition):
            self._children.check()
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen within {seconds} s\n{self._tails()}")
            time.sleep(_ASK_EVERY_SECONDS)

    def stop(self) -> None:
        """End every child that still runs."""
        self._children.stop()

    def _tails(self) -> str:
        return "\n".join(f"--- {child.name}\n{tail(child)}" for child in self._children.running)


def log_of(child: Child) -> str:
    """Return all that a child has said."""
    return child.log_file.read_text(errors="replace")
