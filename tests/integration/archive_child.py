"""An archiver in a process of its own, which kills itself at a step, given as ``step:n``."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter

from weir.archive.run import Task, find_root, run_archiver
from weir.infra.settings import load_settings
from weir.monitoring.logs import configure
from weir.schemas.streams.payments import payments


def main() -> None:
    """Archive until caught up, or until killed at a step."""
    step, _, number = sys.argv[1].partition(":")
    seen: Counter[str] = Counter()

    def on_step(name: str) -> None:
        seen[name] += 1
        if name == step and seen[name] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    configure("info", "json", "archive")
    settings = load_settings()
    task = Task([payments], find_root(settings), until_caught_up=True)
    run_archiver(settings, task, should_stop=lambda: False, on_step=on_step)


if __name__ == "__main__":
    main()
