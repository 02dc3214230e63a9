"""A scorer as a child process that kills itself at a numbered step: ``python -m tests.integration.scorer_child``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

from weir.inference.cli import run_scorer
from weir.infra.kafka.sink import TransactionalOutput
from weir.infra.settings import load_settings
from weir.monitoring.logs import configure


def main(step: str, occurrence: int, instance: int) -> None:
    """Run until SIGTERM, or kill -9 at the given occurrence of the step (0: never)."""
    configure("info", "json", f"score-{instance}")
    seen = 0

    def on_step(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    _stop_before_commit(on_step)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_scorer(load_settings(), instance=instance, should_stop=stop.is_set, on_step=on_step)


def _stop_before_commit(on_step: Callable[[str], None]) -> None:
    """Add the step ``produced``: all outputs and offsets are with the broker, and the transaction is open."""
    commit = TransactionalOutput._commit

    def commit_after_step(output: TransactionalOutput) -> None:
        output._producer.flush(10)
        on_step("produced")
        commit(output)

    TransactionalOutput._commit = commit_after_step  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
