"""Child processes of a run, started from a fork server that has everything imported, each with its steps on file."""

from __future__ import annotations

import base64
import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults.orders import Orders
from tests.pauses import Pauses

DEADLINE_SECONDS = 240.0
"""How long a run waits for anything. It judges nothing: a quiet machine needs a quarter of it, a busy one was seen to
need more than 90 s, and how long it took is in the tables."""
ANSWER_SECONDS = 3.0
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.warm"])


class NothingHappened(AssertionError):
    """The run did not get to where it was to be broken: it proves nothing."""


def await_true(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> float:
    """Ask again until it holds; return how long that took, in seconds."""
    began, pauses = time.monotonic(), Pauses()
    while not condition():
        if time.monotonic() - began > seconds:
            raise NothingHappened(f"{what} did not happen within {seconds:.0f} s")
        pauses.sleep()
    return time.monotonic() - began


def run_orders(orders: Orders) -> None:
    """Import late, in the child: the harness itself must not load the pipeline's clients before it forks."""
    from tests.faults.warm import RUN  # noqa: PLC0415

    RUN(orders)


class Program:
    """A child with an interpreter of its own, for what must be changed before anything is imported."""

    def __init__(self, orders: Orders) -> None:
        given = base64.b64encode(pickle.dumps(orders)).decode()
        self._popen = subprocess.Popen([sys.executable, "-m", "tests.faults.redeclared", given])
        self.pid = self._popen.pid
        self.terminate, self.kill = self._popen.terminate, self._popen.kill

    @property
    def exitcode(self) -> int | None:
        return self._popen.poll()

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, seconds: float | None = None) -> None:
        """Wait for its end, so long at most."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)


@dataclass
class Worker:
    """One child."""

    orders: Orders
    process: BaseProcess | Program
    stopped: bool = False

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()

    def steps(self) -> list[tuple[str, float]]:
        """What it reported: step and monotonic time."""
        path = Path(self.orders.step_log)
        lines = path.read_text().splitlines() if path.exists() else []
        return [(name, float(at)) for name, at in (line.split() for line in lines if line.count(" ") == 1)]

    def count(self, step: str) -> int:
        return sum(name == step for name, _ in self.steps())

    def await_step(self, step: str, number: int = 1, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until it has taken a step that often.

        Raises:
            NothingHappened: it did not, or it ended first.
        """

        def taken() -> bool:
            found = self.count(step) >= number
            if not found and not self.is_alive:
                raise NothingHappened(f"{self.name} ended with {self.process.exitcode} before {step}:\n{self.tail()}")
            return found

        await_true(taken, f"{self.name}: step {step} x {number}", seconds)

    def await_death(self, seconds: float = DEADLINE_SECONDS) -> float:
        """Wait until it is gone; return the monotonic time of its last step."""
        self.process.join(seconds)
        if self.is_alive:
            raise NothingHappened(f"{self.name} is still alive after {seconds:.0f} s:\n{self.tail()}")
        return self.steps()[-1][1] if self.steps() else time.monotonic()

    def await_frozen(self) -> None:
        """Wait until it has stopped itself (SIGSTOP)."""
        stat = Path(f"/proc/{self.pid}/stat")
        await_true(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", f"{self.name}: stopping itself")

    def kill(self) -> None:
        if self.is_alive:
            self.process.kill()
        self.process.join()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ask_where(self) -> None:
        """Have it write where its threads are to its log."""
        if self.is_alive:
            before = len(self.log())
            os.kill(self.pid, signal.SIGUSR1)
            with contextlib.suppress(NothingHappened):
                await_true(lambda: len(self.log()) > before, f"{self.name}: an answer", ANSWER_SECONDS)

    def stop(self) -> None:
        """End it politely."""
        if self.is_alive:
            self.resume()
            self.process.terminate()
        self.process.join(DEADLINE_SECONDS)
        if self.is_alive:
            self.kill()
            raise AssertionError(f"{self.name} did not stop when told to:\n{self.tail()}")

    @property
    def name(self) -> str:
        return f"{self.orders.role}-{self.orders.instance}"

    def log(self) -> str:
        path = Path(self.orders.log)
        return path.read_text(errors="replace") if path.exists() else ""

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log().splitlines()[-lines:])


def await_forkserver() -> None:
    """Wait until workers start in no time: the kernel may have to be compiled first, which is no fault's matter."""
    first = _CONTEXT.Process(target=_do_nothing)
    first.start()
    first.join()


def _do_nothing() -> None:
    return None


@dataclass
class Crew:
    """Every worker of one run; all are gone when it ends."""

    folder: Path
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    def start(self, role: str, **orders: Any) -> Worker:
        """Start a worker; keyword arguments as in ``Orders``."""
        number = len(self.workers)
        given = Orders(
            role=role,
            environment=self.environment | orders.pop("environment", {}),
            step_log=str(self.folder / f"{number:03d}.steps"),
            log=str(self.folder / f"{number:03d}.log"),
            **orders,
        )
        if given.redeclared:
            worker = Worker(given, Program(given))
        else:
            process = _CONTEXT.Process(target=run_orders, args=(given,), name=f"{role}-{number}")
            process.start()
            worker = Worker(given, process)
        self.workers.append(worker)
        return worker

    def count(self, step: str) -> int:
        return sum(worker.count(step) for worker in self.workers)

    def end(self) -> None:
        """Kill every process that is left."""
        for worker in self.workers:
            worker.kill()
