"""Asks again while a partition changes its leader.

A partition that was created, or whose broker went, a moment ago has no leader for some tenths of a second. librdkafka
looks again on its own when it fetches or produces; a single question about offsets it answers with the error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_MOVING = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})

Answer = TypeVar("Answer")


def ask_leader(ask: Callable[[], Answer], patience_seconds: float = PATIENCE_SECONDS) -> Answer:
    """Return what ``ask`` returns; it is called again while the leader that it needs is not there.

    Raises:
        KafkaException: any other error, at once; or there was no leader for ``patience_seconds``.
    """
    until = time.monotonic() + patience_seconds
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _MOVING or time.monotonic() > until:
                raise
        time.sleep(_PAUSE_SECONDS)
