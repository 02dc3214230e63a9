"""Has the kernel compiled before it is needed, by one process for all that start at the same time, and says so.

Compiling takes half a minute of one core, many minutes on a loaded machine, and only the first start after a change
pays. Processes that start together wait for the one that compiles and then read what it wrote.
"""

from __future__ import annotations

import fcntl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import IO, Any

from numba import config

from weir.monitoring.logs import get_logger
from weir.streaming.core import jit
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.warm_up import warm_up

Tell = Callable[..., Any]
"""Called with an event's name and its fields, as a logger is."""

CACHED_SECONDS_MAX = 3.0
"""Reading compiled code takes less; what takes longer is being compiled, and that is told."""
_COMPILED = "compiled"
_FOR_PEOPLE = {
    "compiling": "compiling the kernel, at the first start after a change only",
    "compiled": "compiled the kernel in {seconds} s",
    "waiting_for_the_compiler": "waiting for another process, which compiles the kernel",
}
log = get_logger(__name__)


def compile_kernel(kernel: Kernel, tell: Tell = log.info) -> None:
    """Return when a kernel is compiled; kernels of one shape are compiled once.

    Args:
        kernel: of the stream that is about to be computed.
        tell: as of ``compile_once``.
    """
    compile_once(partial(warm_up, kernel), _lock_path(kernel), tell)


def compile_once(run: Callable[[], None], lock: Path, tell: Tell = log.info) -> None:
    """Return when something is compiled.

    Args:
        run: compiles what is not compiled yet.
        lock: the file that one process at a time compiles under.
        tell: told ``compiling`` and ``compiled``, or ``waiting_for_the_compiler``; else nothing.
    """
    with _one_at_a_time(lock, tell), _told(tell):
        run()


def tell_on_stderr(event: str, **fields: object) -> None:
    """Tell a person, on commands that keep no log."""
    sys.stderr.write(describe(event, **fields) + "\n")


def describe(event: str, **fields: object) -> str:
    """Return what is reported in words."""
    return _FOR_PEOPLE[event].format(**fields)


def _lock_path(kernel: Kernel) -> Path:
    """Next to the compiled code, one file per shape."""
    folder = (
        getattr(config, "CACHE_DIR", "") or Path(jit.__file__).parent / "__pycache__"
    )  # where the compiler itself writes
    shape = "-".join(str(size) for size in astuple(kernel.shape))
    return Path(folder) / f"kernel-{jit.SOURCE_STAMP}-{shape}.lock"


@contextmanager
def _one_at_a_time(path: Path, tell: Tell) -> Iterator[None]:
    try:
        path.parent.mkdir(exist_ok=True)
        file = path.open("a+")
    except OSError:  # installed read-only: the compiled code then is elsewhere too, and each compiles for itself
        yield
        return
    with file:
        if not _is_compiled(file):
            _lock(file, tell)
        yield
        if not _is_compiled(file):
            file.write(_COMPILED)


def _is_compiled(file: IO[str]) -> bool:
    file.seek(0)
    return file.read() == _COMPILED


def _lock(file: IO[str], tell: Tell) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("waiting_for_the_compiler")
        fcntl.flock(file, fcntl.LOCK_EX)


@contextmanager
def _told(tell: Tell) -> Iterator[None]:
    """Tell before and after, where it is more than reading what was compiled before."""
    began, told = time.monotonic(), threading.Event()

    def say() -> None:
        told.set()
        tell("compiling")

    timer = threading.Timer(CACHED_SECONDS_MAX, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if told.is_set():
        tell("compiled", seconds=round(time.monotonic() - began, 1))
