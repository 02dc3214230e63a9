"""Runs a loop again when its Kafka client was lost, so that brokers that went away and came back need no supervisor.

A broker that comes back may take a static member for its own ghost and fence it, and a commit that never had an answer
can only be settled by a new producer of the same id. Both are mended by a new start through the one recovery path.

A second process of the same number looks the same from inside. ``infra/place.py`` tells, so that they do not fence each
other for ever; a client that is lost again soon after its new start ends the process all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from infra.kafka import ClientLost
from schemas.errors import Transient

AGAIN_SECONDS_MIN = 60.0
"""Lost again within this time of a new start: a third one will not mend it."""
AWAY_SECONDS_MAX = 900.0
"""Brokers that stay away this long after a loss end the process: its supervisor should see it."""


def run_again(
    run: Callable[[], None],
    *,
    on_lost: Callable[[ClientLost | Transient], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run until it returns, with new clients each time they were lost.

    Args:
        run: connects, works until told to stop, disconnects. Its own waits for a dependency are bounded and not idle.
        on_lost: told why, before each new start.
        clock: seconds.

    Raises:
        ClientLost: lost again at once.
        Transient: at the first start, or after brokers were away too long.
    """
    lost_at: float | None = None
    started = clock()
    while True:
        try:
            return run()
        except ClientLost as error:
            if lost_at is not None and clock() - started < AGAIN_SECONDS_MIN:
                raise
            lost_at = clock()
            on_lost(error)
        except Transient as error:
            if lost_at is None or clock() - lost_at > AWAY_SECONDS_MAX:
                raise
            on_lost(error)
        started = clock()
