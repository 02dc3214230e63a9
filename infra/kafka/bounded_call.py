"""Calls a client function that may never return, and stops waiting after a bound.

A thread that is stuck in foreign code cannot be ended. It is left behind as a daemon, with the client it is stuck in,
so a caller that gets the ``TimeoutError`` must throw that client away.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial


def call_bounded(call: Callable[[], object], seconds_max: float) -> None:
    """Call and wait; what the call raises is raised here.

    Raises:
        TimeoutError: it has not returned in time, and may never.

    **Cost:** one thread, about 0.1 ms.

    >>> call_bounded(lambda: None, 1.0)
    """
    start_bounded(call)(seconds_max)


def start_bounded(call: Callable[[], object]) -> Callable[[float], None]:
    """Call on a thread of its own, and return what waits for it once, as ``call_bounded`` does.

    >>> wait = start_bounded(lambda: None)
    >>> wait(1.0)
    """
    answers: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def body() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, which raises it
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=body, name="bounded-call", daemon=True).start()
    return partial(_wait, answers)


def _wait(answers: queue.SimpleQueue[BaseException | None], seconds_max: float) -> None:
    try:
        error = answers.get(timeout=seconds_max)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds_max:.0f} s") from None
    if error is not None:
        raise error
