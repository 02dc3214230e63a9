"""A home and the code that works on it: commands run to their end, services started, and both ended by id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.pauses import Pauses
from tests.upgrade.release import environment_of_tree

COMMAND_SECONDS_MAX = 180.0
READY_SECONDS_MAX = 400.0
"""Until a process is ready: the first one of a tree compiles the kernel, which takes minutes on busy cores."""
_STOP_SECONDS_MAX = 60.0


class Deployment:
    """One home, worked on by the code of one tree.

    Args:
        home: ``WEIR_HOME``; what its ``.env`` says is in every child's environment, as an operator's shell has it.
        tree: whose code runs.
    """

    def __init__(self, home: Path, tree: Path) -> None:
        self.home, self.tree = home, tree
        self._services: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        self._started = 0

    @property
    def environment(self) -> dict[str, str]:
        """Everything that a child has in its environment; nothing of ours but the home's own settings."""
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("WEIR_") and n != "PYTHONPATH"}
        return inherited | read_env(self.home) | {"WEIR_HOME": str(self.home)} | environment_of_tree(self.tree)

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = self._run(arguments)
        assert done.returncode == code, f"weir {' '.join(arguments)}: exit {done.returncode}\n{done.stderr[-3_000:]}"
        return done

    def succeeds(self, *arguments: str) -> bool:
        """Run a command to its end and return whether it ended well."""
        return self._run(arguments).returncode == 0

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weir", *arguments],
            cwd=self.tree,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def run_json(self, *arguments: str) -> Any:
        """Run a command that prints JSON."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def start(self, verb: str, *arguments: str) -> Path:
        """Start a service and return its log; it may take a while until it is ready."""
        self._started += 1
        log = self.home / "logs" / f"{verb}-{self.tree.name[:8]}-{self._started}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "weir", verb, *arguments],
                cwd=self.tree,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._services[f"{verb}-{self._started}"] = process, log
        return log

    def await_ready(self) -> None:
        """Wait until every service has said that it works."""
        for name, (_, log) in self._services.items():
            self.await_true(lambda log=log: '"event": "started"' in log.read_text(), name, READY_SECONDS_MAX)  # type: ignore[misc]

    def await_true(self, condition: Callable[[], bool], what: str, seconds: float = COMMAND_SECONDS_MAX) -> None:
        """Ask again until it holds; fails at once when a service has ended."""
        deadline, pauses = time.monotonic() + seconds, Pauses()
        while not condition():
            for name, (process, log) in self._services.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}\n{log.read_text()[-3_000:]}"
            assert time.monotonic() < deadline, f"{what} did not come within {seconds} s\n{self._tails()}"
            pauses.sleep()

    def stop(self) -> None:
        """End the services, as a supervisor does; each must end well."""
        services, self._services = self._services, {}
        for process, _ in services.values():
            process.send_signal(signal.SIGTERM)
        for name, (process, log) in services.items():
            try:
                code = process.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            assert code == 0, f"{name} ended with {code}\n{log.read_text()[-3_000:]}"

    def close(self) -> None:
        """End everything of this home, whatever has happened before."""
        for process, _ in self._services.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self._services = {}
        self.run("down")

    def _tails(self) -> str:
        return "\n".join(f"--- {name}\n{log.read_text()[-1_500:]}" for name, (_, log) in self._services.items())


def read_env(home: Path) -> dict[str, str]:
    """Return what the home's ``.env`` and the addresses of its servers say."""
    found: dict[str, str] = {}
    for path in (home / "stack.env", home / ".env"):
        lines = path.read_text().splitlines() if path.exists() else []
        found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return found


def read_events(log: Path) -> list[dict[str, Any]]:
    """Return what a service has logged."""
    lines = log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]
