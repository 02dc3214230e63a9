"""Several faults at once, each job in a process of its own with servers of its own: most of a fault is waiting."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.conftest import running_stack
from weir.infra.embedded.stack import Stack

_CONTEXT = multiprocessing.get_context("spawn")
_END_SECONDS = 60.0
RUNS_PER_STACK = 15
"""Each run leaves its topics behind, and a broker that is killed reads all of them again: after 50 runs for minutes."""

Run = Callable[[Stack, Any], Any]
"""From servers and a task to its result; it is sent to another process, as are both."""


class JobDied(RuntimeError):
    """A job's process ended with work to do; what it was to find is not known."""


def run_all(
    tasks: Sequence[Any], run: Run, *, jobs: int, waits: Callable[[Any], bool] = lambda _: False
) -> Iterator[Any]:
    """Run every task and yield the results as they come; with one job in this process.

    Args:
        tasks: in the order in which they begin.
        run: what a job does with one.
        jobs: how many at once.
        waits: whether a task waits for minutes. One more job runs those, next to the others, and then what is left.

    Raises:
        JobDied: a job's process ended before its task did.
    """
    if jobs == 1:
        with running_stack() as stack:
            for task in tasks:
                yield run(stack, task)
        return
    waiting, working = [task for task in tasks if waits(task)], [task for task in tasks if not waits(task)]
    crew: list[_Job] = []
    try:
        crew += [_start(run, waiting, working)] if waiting else []
        crew += [_start(run, working) for _ in range(min(jobs, len(working)))]
        yield from _hand_out(crew)
    finally:
        for job in crew:
            job.line.close()  # the end of its input is what ends a job
            job.process.join(_END_SECONDS)


@dataclass(frozen=True)
class _Job:
    """A process and the lists of tasks that it takes from, in turn; others may take from the same."""

    process: Any
    line: Connection
    tasks: Sequence[list[Any]]

    def begin(self) -> bool:
        """Send it its next task, where there is one."""
        for tasks in self.tasks:
            if tasks:
                self.line.send(tasks.pop(0))
                return True
        return False


def _start(run: Run, *tasks: list[Any]) -> _Job:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(theirs, run))
    process.start()
    theirs.close()
    return _Job(process, ours, tasks)


def _hand_out(crew: Sequence[_Job]) -> Iterator[Any]:
    busy = {job.line: job for job in crew if job.begin()}
    while busy:
        for ready in wait(busy):
            assert isinstance(ready, Connection)
            try:
                result = ready.recv()
            except EOFError:
                raise JobDied("a job's process ended before its task did; its log is above") from None
            if not busy[ready].begin():
                del busy[ready]
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
