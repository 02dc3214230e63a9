"""Reads a stream's decisions and dead letters as they are committed, and hands on those that somebody waits for.

One thread and one consumer per stream and process, which belong to no group: each process reads every decision. It
looks at keys alone, and decodes what is waited for; while somebody watches them live, it decodes all decisions. While
nobody asks for any, it reads nothing.

Delivery: best effort. A record that is missed (a reader that starts again) costs its request the wait, and the answer
then says where to look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from confluent_kafka import KafkaException, Message

from weir.inference.api.decide.waiting import Record, WaitingRequests
from weir.inference.api.live.feed import Feed
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused, Transient, WeirError
from weir.streaming.dlq.letter import read_dead_letter

READ_RECORDS_MAX = 2_000
READ_SECONDS = 0.1
"""How long a turn waits for a record: as soon is a stop noticed."""
BEHIND_SECONDS = 1.0
"""A reader that has had more to read than it could for so long answers for nothing that is new."""
IDLE_SECONDS = 60.0
"""Without a request for so long, reading stops; the next request waits until it is begun again."""
_RETRY_SECONDS = 1.0
log = get_logger(__name__)


class Reader(Protocol):
    """The part of ``infra.kafka.tail.Tail`` that is used."""

    def read(self, records_max: int, timeout_seconds: float) -> list[Message]:
        """Return what there is, after waiting for a first record."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class DecisionListener:
    """Listens in a thread of its own until closed."""

    def __init__(
        self,
        waiting: WaitingRequests,
        feed: Feed,
        open_reader: Callable[[], Reader],
        decode: Callable[[Sequence[bytes]], Sequence[Record]],
        *,
        stream_name: str,
        decisions_topic: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind to ports; ``start`` begins.

        Args:
            waiting: who waits.
            feed: who watches.
            open_reader: connects to decisions and dead letters, at their ends.
            decode: turns values of decisions into records; one that cannot be read is left out.
            stream_name: for metrics.
            decisions_topic: what comes of another topic is a dead letter.
            clock: seconds.
        """
        self._waiting = waiting
        self._feed = feed
        self._open_reader = open_reader
        self._decode = decode
        self._topic = decisions_topic
        self._clock = clock
        self._read_records = metrics.DECIDE_READ_RECORDS.labels(stream=stream_name)
        self._stop = threading.Event()
        self._wanted = threading.Event()
        self._reading = threading.Event()
        self._wanted_at = self._caught_up_at = clock()
        self._reason = ""
        self._thread = threading.Thread(target=self._run, name=f"decisions-{stream_name}", daemon=True)

    def start(self) -> None:
        """Begin to read, before anybody asks: the first request is as quick as any."""
        self._wanted.set()
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def want(self) -> bool:
        """Say that a decision is wanted; return whether it would be read if it were made from now on."""
        # first said, then asked: the thread that stops reading looks in the other order
        self._wanted_at = self._clock()
        self._wanted.set()
        return self._reading.is_set() and self._clock() - self._caught_up_at < BEHIND_SECONDS

    def wait_until_reading(self, seconds: float) -> bool:
        """Wait for the thread if it is beginning again, and not for one that failed; blocks."""
        return self._reading.wait(0.0 if self._reason else seconds)

    def describe(self) -> str:
        """Say how reading stands, for ``/readyz``."""
        if self._reading.is_set():
            behind = self._clock() - self._caught_up_at
            return "ok" if behind < BEHIND_SECONDS else f"the reader of decisions is {behind:.0f} s behind"
        return self._reason or "ok"

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait()
            try:
                self._listen()
            except (WeirError, KafkaException) as error:
                if str(error) != self._reason:  # told once, as a topic may be made much later
                    log.warning("decisions_not_read", error=str(error), retry_seconds=_RETRY_SECONDS)
                self._reason = str(error)
            except Exception as error:
                self._reason = f"an error of the reader: {type(error).__name__}"
                log.exception("decisions_not_read")
            self._reading.clear()
            self._stop.wait(0.0 if not self._wanted.is_set() else _RETRY_SECONDS)

    def _listen(self) -> None:
        """Read until stopped, or until nobody has asked for a while."""
        reader = self._open_reader()
        try:
            self._caught_up_at, self._reason = self._clock(), ""
            self._reading.set()
            while not self._stop.is_set() and not self._falls_idle():
                self._turn(reader)
        finally:
            self._reading.clear()
            reader.close()

    def _falls_idle(self) -> bool:
        if self._clock() - self._wanted_at < IDLE_SECONDS or self._waiting.number or self._feed.number:
            return False
        self._reading.clear()
        self._wanted.clear()
        if self._clock() - self._wanted_at < IDLE_SECONDS:  # somebody asked just now
            self._wanted.set()
            self._reading.set()
            return False
        return True

    def _turn(self, reader: Reader) -> None:
        try:
            messages = reader.read(READ_RECORDS_MAX, READ_SECONDS)
        except Transient as error:
            # the client reconnects by itself, and continues where it was
            log.info("decisions_not_read", error=str(error))
            self._stop.wait(READ_SECONDS)
            return
        if len(messages) < READ_RECORDS_MAX:
            self._caught_up_at = self._clock()
        if messages:
            self._read_records.inc(len(messages))
            self._hand_on(messages)

    def _hand_on(self, messages: Sequence[Message]) -> None:
        keys = self._waiting.keys
        watched = self._feed.number > 0
        decisions = []
        for message in messages:
            is_decision = message.topic() == self._topic
            if is_decision and (watched or message.key() in keys):
                decisions.append(message)
            elif message.key() in keys:
                self._waiting.see_letter(message.key(), read_dead_letter(message))
        if decisions:
            self._hand_on_decisions(decisions)

    def _hand_on_decisions(self, messages: Sequence[Message]) -> None:
        try:
            records = self._decode([message.value() for message in messages])
        except (Transient, Refused) as error:
            log.warning("decisions_not_decoded", error=str(error), count=len(messages))
            return
        for record in records:
            self._waiting.see_decision(record)
        self._feed.see(records)
