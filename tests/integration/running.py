"""A loop of the product in a thread of the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from weir.infra.settings import Settings
from weir.streaming.service import Stopped


@contextmanager
def running(run: Callable[..., None], settings: Settings, **options: object) -> Iterator[list[BaseException]]:
    """Run a loop in a thread; what it raises is in the list, and raised at the end."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def body() -> None:
        try:
            run(settings, should_stop=stop.is_set, **options)
        except Stopped:
            pass  # told to stop while it waited: as a process it would end in order
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield failed
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]
