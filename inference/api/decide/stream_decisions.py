"""Publishes an event and waits, bounded, for what the stream records about it. Nothing here decides.

1. *Enter*: check and encode the event, take a place among the waiting; refused here, nothing was published.
2. *Publish*: to the topic of the events, with every replica's answer. The event's coordinate is known then.
3. *Wait* for the decision or the dead letter of this coordinate, unless it is plain that it will not come in time.
4. *Repeat*: a ``duplicate`` letter says that the stream has decided this event before. That decision is the answer: it
   was read here, or the decision index has it.

What the answer is made of is in the log or in the index that follows it, never in this process: any number of processes
answer alike, and one that dies loses nothing but its connections.

Delivery: at least once. A client that had no answer asks again with the same event; the stream decides it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson
from fastapi.concurrency import run_in_threadpool

from weir.inference.api.decide.event import EventEncoder
from weir.inference.api.decide.sender import NotPublished, OnAnswer
from weir.inference.api.decide.waiting import Record, WaitingRequest, WaitingRequests
from weir.inference.api.ports import Published
from weir.schemas.errors import Damaged, Transient
from weir.streaming.dlq.letter import DeadLetter

DUPLICATE = "duplicate"
INDEX_SECONDS = 0.05
"""Between two looks for a first decision in the index, which follows the log by some milliseconds."""
WAKE_SECONDS_MAX = 1.0
"""A reader that had stopped for want of requests is waited for this long."""
LOOK_SECONDS = 5.0
"""The health watch looks about so often."""
BEHIND_SECONDS_MIN = 1.0
"""A stream that is behind by less may still answer in time, however short the wait is."""

Why = Literal["asked", "timeout", "behind", "not_reading"]


@dataclass(frozen=True)
class Decided:
    """The stream's own decision as JSON bytes; ``repeated`` when an earlier event of this id got it."""

    body: bytes
    repeated: bool


@dataclass(frozen=True)
class DeadLettered:
    """The stream refused the event."""

    letter: DeadLetter


@dataclass(frozen=True)
class Pending:
    """The event is in the log, and its outcome is not known yet."""

    why: Why
    published: Published
    stand_in: dict[str, Any] | None


Outcome = Decided | DeadLettered | Pending
StandIn = Callable[[], Awaitable["dict[str, Any] | None"]]


class Sender(Protocol):
    """The part of ``inference.api.decide.sender.EventSender`` that is used."""

    def send(self, key: bytes, value: bytes, on_answer: OnAnswer) -> None:
        """Hand an event to the broker; ``on_answer`` is called once, in any thread."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class Listener(Protocol):
    """The part of ``inference.api.decide.listener.DecisionListener`` that is used."""

    def want(self) -> bool:
        """Say that a decision is wanted; return whether it would be read if it were made from now on."""
        ...

    def wait_until_reading(self, seconds: float) -> bool:
        """Wait for a reader that is beginning again; blocks."""
        ...

    def describe(self) -> str:
        """Say how reading stands."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class StreamDecisions:
    """Asks one stream for decisions."""

    def __init__(
        self,
        encoder: EventEncoder,
        waiting: WaitingRequests,
        listener: Listener,
        sender: Sender,
        *,
        read_entry: Callable[[str], bytes | None],
        lag_seconds: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        """Bind to ports.

        Args:
            encoder: of the stream's events.
            waiting: who waits, with its bounds.
            listener: what reads decisions and dead letters.
            sender: what publishes.
            read_entry: looks a decision up by the event's id; raises ``Transient`` or ``Damaged``.
            lag_seconds: how far the stream is behind in a partition of its events, as the health watch sees it.
        """
        self._encoder = encoder
        self._waiting = waiting
        self._listener = listener
        self._sender = sender
        self._read_entry = read_entry
        self._lag_seconds = lag_seconds

    @property
    def number(self) -> int:
        """How many requests wait."""
        return self._waiting.number

    def describe(self) -> str:
        """Say how reading decisions stands, for ``/readyz``."""
        return self._listener.describe()

    def close(self) -> None:
        """Disconnect, when nobody waits any more."""
        self._listener.close()
        self._sender.close()

    async def decide(
        self, event: dict[str, Any], *, now_ms: int, wait_seconds: float, stand_in: StandIn | None = None
    ) -> Outcome:
        """Publish an event and return its outcome, or what is known of it when the wait is over.

        Args:
            event: a value per field of the contract, from ``parse_event``.
            now_ms: UTC epoch ms.
            wait_seconds: for the decision, from now on; 0 publishes and answers.
            stand_in: makes what stands in for a decision that is late.

        Raises:
            BadRequest: a value is wrong; nothing was published.
            TooManyWaiting: nothing was published.
            NotPublished: the broker did not confirm the event.
            Transient: the registry is unreachable; nothing was published.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        if not self._encoder.is_ready:
            await run_in_threadpool(self._encoder.prepare)
        record = self._encoder.encode(event, now_ms=now_ms)
        changed = asyncio.Event()
        size = len(record.key) + len(record.value)
        request = self._waiting.enter(record.key, record.event_id, size, lambda: _call_soon(loop, changed.set))
        try:
            # before the event is published: after it, the stream may have counted the event already
            made = await stand_in() if stand_in is not None else None
            reads = wait_seconds > 0 and await self._is_listening()
            published = await self._publish(record.key, record.value)
            self._waiting.note_published(request, (published.partition, published.offset))
            why: Why = "asked" if wait_seconds <= 0 else "timeout" if reads else "not_reading"
            if why == "timeout" and self._is_behind(published.partition, wait_seconds):
                why = "behind"
            found = await self._find(request, changed, deadline if why == "timeout" else 0.0)
            return found or Pending(why, published, made)
        finally:
            self._waiting.leave(request)

    async def _is_listening(self) -> bool:
        if self._listener.want():
            return True
        return await run_in_threadpool(self._listener.wait_until_reading, WAKE_SECONDS_MAX) and self._listener.want()

    def _is_behind(self, partition: int, wait_seconds: float) -> bool:
        limit_seconds = max(wait_seconds, BEHIND_SECONDS_MIN)
        if self._waiting.behind_seconds(partition) > limit_seconds:
            return True
        # what was decided since the last look is the newer news
        is_news = self._waiting.settled_seconds(partition) > LOOK_SECONDS
        return is_news and self._lag_seconds(partition) > limit_seconds

    async def _publish(self, key: bytes, value: bytes) -> Published:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Published | NotPublished] = loop.create_future()
        self._sender.send(key, value, lambda found: _call_soon(loop, lambda: _resolve(answer, found)))
        found = await answer
        if isinstance(found, NotPublished):
            raise found
        return found

    async def _find(
        self, request: WaitingRequest, changed: asyncio.Event, deadline: float
    ) -> Decided | DeadLettered | None:
        while request.outcome is None and await _wait(changed, deadline):
            pass
        outcome = request.outcome
        if isinstance(outcome, DeadLetter):
            if outcome.reason != DUPLICATE:
                return DeadLettered(outcome)
            return await self._find_first(request, outcome, changed, deadline)
        if outcome is not None:
            return Decided(orjson.dumps(outcome), repeated=False)
        # a reader that began again may have missed it
        entry = self._look_up(request, lambda found: self._waiting.is_own(request, found)) if deadline else None
        return Decided(entry, repeated=False) if entry else None

    async def _find_first(
        self, request: WaitingRequest, letter: DeadLetter, changed: asyncio.Event, deadline: float
    ) -> Decided | None:
        """Return the decision that a repeat is a repeat of; the index may be some milliseconds behind."""
        loop = asyncio.get_running_loop()
        while True:
            if first := self._waiting.first_decision(request, letter):
                return Decided(orjson.dumps(first), repeated=True)
            entry = self._look_up(request, lambda found: self._waiting.is_first(request, letter, found))
            if entry is not None:
                return Decided(entry, repeated=True)
            if loop.time() >= deadline:
                return None
            await _wait(changed, min(deadline, loop.time() + INDEX_SECONDS))

    def _look_up(self, request: WaitingRequest, fits: Callable[[Record], bool]) -> bytes | None:
        """Return the entry of the event's id if it is the one that is meant: ids are those of one key, entries not."""
        try:
            entry = self._read_entry(request.event_id)
            return entry if entry is not None and fits(orjson.loads(entry)) else None
        except (Transient, Damaged, KeyError):  # of another stream, an entry lacks our fields
            return None


async def _wait(changed: asyncio.Event, deadline: float) -> bool:
    """Wait for a change until the deadline; return whether there was one."""
    try:
        async with asyncio.timeout_at(deadline):
            await changed.wait()
    except TimeoutError:
        return False
    changed.clear()
    return True


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(call)


def _resolve(answer: asyncio.Future[Published | NotPublished], found: Published | NotPublished) -> None:
    if not answer.done():
        answer.set_result(found)
