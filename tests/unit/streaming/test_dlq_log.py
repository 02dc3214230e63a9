from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from weir.schemas.errors import Transient
from weir.streaming.dlq import log as dlq_log
from weir.streaming.dlq.log import DoneLog, Settlement

DONE = "transactions.dlq.done"
ORIGIN = "transactions-0-7"


class Entry:
    """A record of the log of what was done."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return f"transactions.dlq-0-{self._offset} {ORIGIN}".encode()

    def value(self) -> bytes:
        return Settlement("replayed", self._offset + 1, ORIGIN, ORIGIN, "unknown_schema_id", 1).encode()


class HistoryThatBreaksOff:
    """Hands out one record a chunk; the brokers go away once, before the chunk at ``broken_at``."""

    def __init__(self, *, broken_at: int) -> None:
        self._broken_at: int | None = broken_at

    def read(self, where: tuple[str, int], start: int, end: int, *, chunk: int) -> Iterator[list[Entry]]:
        del where, chunk
        for offset in range(max(0, start), end):
            if offset == self._broken_at:
                self._broken_at = None
                raise Transient("kafka: away")
            yield [Entry(offset)]


@pytest.mark.parametrize("broken_at", [0, 1, 2])
def test_a_replay_that_was_read_before_the_brokers_went_away_is_not_counted_again_after(
    monkeypatch: pytest.MonkeyPatch, broken_at: int
) -> None:
    """The automatic replayer reads on with the log it has: counted twice, a letter would be parked too early."""
    monkeypatch.setattr(dlq_log, "end_offsets", lambda *_: {0: 3})
    settings = SimpleNamespace(kafka=None, topics=SimpleNamespace(dlq_done=DONE))
    log = DoneLog(cast("Any", settings), cast("Any", HistoryThatBreaksOff(broken_at=broken_at)))
    with pytest.raises(Transient):
        log.refresh()
    log.refresh()
    log.refresh()
    letter = SimpleNamespace(replay_count=0, origin=ORIGIN, source=None)
    assert log.attempts(cast("Any", letter)) == 3
