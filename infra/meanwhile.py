"""Runs work in a thread next to the work of the one that starts it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def running_meanwhile(work: Callable[[threading.Event], object], name: str) -> Iterator[list[BaseException]]:
    """Run work in a thread while the block runs; what ends it early is in the list.

    Args:
        work: ends soon after the event that it is given is set.
        name: of the thread.

    >>> with running_meanwhile(lambda done: done.wait(), "example") as failed:
    ...     failed
    []
    """
    failed: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            work(done)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that started us, which raises it
            failed.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield failed
    finally:
        done.set()
        thread.join()
