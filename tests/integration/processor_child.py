"""A processor as a child process that kills itself at a numbered step or writes slowly to Redis.

``python -m tests.integration.processor_child STEP OCCURRENCE SLOW_SECONDS [run]``; occurrence 0 never kills, and with
``run`` it decides its rows, too. The step ``believing`` makes it one that believes every committed offset, as releases
did that compared none with the outputs; ``looking`` one that looks at its units in Redis many times a second, for tests
that spoil them again and again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import weir.streaming.state.catch_up
import weir.streaming.state.folded
from weir.inference.run import run_fused
from weir.infra.redis.state_view import Applied, StateView
from weir.infra.settings import load_settings
from weir.monitoring.logs import configure
from weir.streaming.cli import run_processor

CHUNK_RECORDS = 5
"""Of a catch-up: the few records that a test leaves to it are several chunks, as those of a rebuild are."""
LOOK_EVERY_SECONDS = 0.1
"""Of a processor that is ``looking``."""


def main(step: str, occurrence: int, slow_seconds: float, verb: str = "process") -> None:
    """Run until SIGTERM, or kill -9 at the given occurrence of the step."""
    configure("info", "json", "processor-0")
    seen = 0

    def on_step(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    weir.streaming.state.catch_up.CHUNK_RECORDS = CHUNK_RECORDS
    if step == "believing":
        vars(weir.streaming.state.catch_up)["check_offsets"] = lambda *_, **__: None
    if step == "looking":
        weir.streaming.state.folded.LOOK_EVERY_SECONDS = LOOK_EVERY_SECONDS
    if slow_seconds:
        _slow_down(slow_seconds)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run = run_fused if verb == "run" else run_processor
    run(load_settings(), instance=0, should_stop=stop.is_set, on_step=on_step)


def _slow_down(seconds: float) -> None:
    """Let every write arrive late, so that the next batch is computed while the one before is in flight."""
    apply = StateView.apply

    def apply_late(view: StateView, *given: Any, **named: Any) -> Applied:
        time.sleep(seconds)
        return apply(view, *given, **named)

    StateView.apply = apply_late  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:])
