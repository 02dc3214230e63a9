"""An erasure in a process of its own, which kills itself after a step: ``STEP KIND ID``."""

from __future__ import annotations

import os
import signal
import sys
import time

from weir.gdpr.stores import build_person, erase
from weir.infra.settings import load_settings
from weir.schemas.streams.payments import payments


def main() -> None:
    """Erase until killed."""
    last, kind, entity_id = sys.argv[1:4]

    def on_step(name: str) -> None:
        if name == last:
            os.kill(os.getpid(), signal.SIGKILL)

    person = build_person(kind, entity_id, [payments], int(time.time() * 1_000))
    erase(load_settings(), person, why="a test", on_step=on_step)


if __name__ == "__main__":
    main()
