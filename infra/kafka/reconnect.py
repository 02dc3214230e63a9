"""Runs a loop again when its Kafka client was lost, so that brokers that went away and came back need no supervisor.

A broker that comes back may take a static member for an earlier one of its name and fence it, and a commit without an
answer can only be settled by a new producer of the same id. Both are repaired by a new start through the one recovery
path; a broker that comes and goes asks for several.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from weir.infra.kafka.clients import ClientLost
from weir.schemas.errors import Transient

CALM_SECONDS = 60.0
"""A loss after a run of this length is not the same trouble as the one before it."""
TROUBLE_SECONDS_MAX = 900.0
"""Trouble that lasts this long ends the process: its supervisor should see it."""
PAUSE_SECONDS = (0.0, 0.5, 1.0, 2.0)
"""Before the first new start, the second and so on; short, since nobody can stop the process meanwhile."""


def run_again(
    run: Callable[[], None],
    *,
    on_lost: Callable[[ClientLost | Transient], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run until it returns, with new clients each time they were lost.

    Args:
        run: connects, works until told to stop, disconnects. Its own waits for a dependency are bounded.
        on_lost: told why, before each new start.
        clock: seconds.
        sleep: waits that many seconds.

    Raises:
        ClientLost: lost again and again for too long.
        Transient: at the first start, or when brokers were unreachable for too long after a loss.
    """
    trouble_since: float | None = None
    losses = 0
    while True:
        started = clock()
        try:
            return run()
        except ClientLost as error:
            if trouble_since is None or clock() - started > CALM_SECONDS:
                trouble_since, losses = clock(), 0
            lost: ClientLost | Transient = error
        except Transient as error:
            if trouble_since is None:
                raise
            lost = error
        if clock() - trouble_since > TROUBLE_SECONDS_MAX:
            raise lost
        on_lost(lost)
        sleep(PAUSE_SECONDS[min(losses, len(PAUSE_SECONDS) - 1)])
        losses += 1
