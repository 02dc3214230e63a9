"""Several faults at once, each job in a process of its own with servers of its own: most of a fault is waiting."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.conftest import running_stack
from weir.infra.embedded.stack import Stack

_CONTEXT = multiprocessing.get_context("spawn")
_END_SECONDS = 60.0
RUNS_PER_STACK = 12
"""Each run leaves its topics behind, and a broker that is killed reads all of them again: after 50 runs for minutes."""

Run = Callable[[Stack, Any], Any]
"""From servers and a task to its result; it is sent to another process, as are both."""


class JobDied(RuntimeError):
    """A job's process ended with work to do; what it was to find is not known."""


def run_all(tasks: Sequence[Any], run: Run, *, jobs: int) -> Iterator[Any]:
    """Run every task and yield the results as they come; with one job in this process.

    Raises:
        JobDied: a job's process ended before its task did.
    """
    if jobs == 1:
        with running_stack() as stack:
            for task in tasks:
                yield run(stack, task)
        return
    waiting = list(tasks)
    crew = [_start(run) for _ in range(min(jobs, len(waiting)))]
    try:
        yield from _hand_out(waiting, [ours for _, ours in crew])
    finally:
        for process, ours in crew:
            ours.close()  # the end of its input is what ends a job
            process.join(_END_SECONDS)


def _start(run: Run) -> tuple[Any, Connection]:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(theirs, run))
    process.start()
    theirs.close()
    return process, ours


def _hand_out(waiting: list[Any], idle: list[Connection]) -> Iterator[Any]:
    busy: list[Connection] = []
    while waiting or busy:
        while waiting and idle:
            busy.append(idle.pop())
            busy[-1].send(waiting.pop(0))
        for ready in wait(busy):
            assert isinstance(ready, Connection)
            try:
                result = ready.recv()
            except EOFError:
                raise JobDied("a job's process ended before its task did; its log is above") from None
            busy.remove(ready)
            idle.append(ready)
            yield result


def _serve(tasks: Connection, run: Run) -> None:
    """Be a job until the other end closes."""
    task = _receive(tasks)
    while task is not None:
        with running_stack() as stack:
            for _ in range(RUNS_PER_STACK):
                if task is not None:
                    tasks.send(run(stack, task))
                    task = _receive(tasks)
    sys.stderr.flush()


def _receive(tasks: Connection) -> Any:
    """Return the next task; None when the other end has closed."""
    try:
        return tasks.recv()
    except EOFError:
        return None
