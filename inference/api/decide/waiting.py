"""Requests that wait for a decision, and how what is read off the log finds them.

A request is entered before its event is published, because the decision may be read before the broker's answer to the
publishing is. What is read is matched in three steps, the cheap one first:

1. by the record's Kafka key, before its value is decoded: ``WaitingRequests.keys``;
2. by the event's id;
3. by the event's coordinate in its topic. It alone says that a decision is about *this* event, and not about an earlier
   one of the same id. What comes before the coordinate is known is kept until then.

A dead letter carries the coordinate too. For ``duplicate`` the decision of an earlier event of the same id is the
answer; it may have been read here (``first_decision``), or it is in the decision index.

Bounded in number and bytes. Events that nobody waits for any more are looked out for a while longer, as evidence of how
far the stream is behind (``inference/api/decide/backlog.py``). Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, KeysView
from dataclasses import dataclass, field
from typing import Any

from weir.inference.api.decide.backlog import Backlog
from weir.schemas.stream import Stream
from weir.streaming.dlq.letter import DeadLetter

Record = dict[str, Any]
"""A decision as it is decoded."""
At = tuple[int, int]
"""Partition and offset of an event in its topic."""

KEPT_MAX = 8
"""Records of one id that are kept for a request: the first decision and its own, and some to spare."""
OVERHEAD_BYTES = 4_096
"""What a request that waits takes besides its event: a connection's buffers, a task, its headers. A rough figure."""
LATE_MAX = 256
LATE_SECONDS = 60.0
"""So many events, for so long, are looked out for after their requests were answered."""


class TooManyWaiting(Exception):
    """The bound on waiting requests is reached; nothing was published."""


class Places:
    """How many requests wait in a process, of all its streams, and what they take; both are bounded."""

    def __init__(self, *, number_max: int, bytes_max: int) -> None:
        """Start empty."""
        self._number_max = number_max
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._number = self._bytes = 0

    def take(self, size_bytes: int) -> None:
        """Take a place.

        Raises:
            TooManyWaiting: in number, or in bytes.
        """
        with self._lock:
            if self._number >= self._number_max or self._bytes + size_bytes > self._bytes_max:
                raise TooManyWaiting
            self._number += 1
            self._bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Give a place back."""
        with self._lock:
            self._number -= 1
            self._bytes -= size_bytes


@dataclass(eq=False)
class WaitingRequest:
    """One event for whose decision somebody waits.

    Attributes:
        key: of the event's record.
        event_id: the event's own id.
        size_bytes: what it counts against the bound.
        wake: called, from any thread, when ``outcome`` or ``decisions`` changed.
        at: where the event is; ``None`` until the broker has said.
        published_s: when that was.
        decisions: of this id, whichever event they are about.
        letters: of this key, until ``at`` is known.
        outcome: the decision or dead letter of this event.
    """

    key: bytes
    event_id: str
    size_bytes: int
    wake: Callable[[], None]
    at: At | None = None
    published_s: float = 0.0
    decisions: list[Record] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    outcome: Record | DeadLetter | None = None

    def settle(self) -> bool:
        """Look for the outcome among what was read; return whether it is known."""
        if self.at is not None and self.outcome is None:
            own: list[Record | DeadLetter] = [each for each in self.decisions if source_of(each) == self.at]
            own += [each for each in self.letters if _source_of_letter(each) == self.at]
            self.outcome = own[0] if own else None
        return self.outcome is not None


def source_of(decision: Record) -> At:
    """Return where the event is that a decision is about."""
    return decision["source_partition"], decision["source_offset"]


def _source_of_letter(letter: DeadLetter) -> At | None:
    return None if letter.source is None else (letter.source.partition, letter.source.offset)


class WaitingRequests:
    """All requests of one stream that wait in this process.

    Attributes:
        number: how many wait.
    """

    def __init__(self, stream: Stream, places: Places, *, events_topic: str, clock: Callable[[], float]) -> None:
        """Start empty.

        Args:
            stream: whose decisions are waited for.
            places: of the process.
            events_topic: where its events are published.
            clock: seconds.
        """
        self._id_field = stream.id
        self._horizon_ms = stream.duplicate_horizon_ms
        self._key_field = stream.key.field
        self._topic = events_topic
        self._places = places
        self._clock = clock
        self._lock = threading.Lock()
        self._by_key: dict[bytes, list[WaitingRequest]] = {}
        self._late: OrderedDict[WaitingRequest, float] = OrderedDict()
        self._backlog = Backlog()
        self.number = 0

    @property
    def keys(self) -> KeysView[bytes]:
        """The keys that are looked out for; asked for each record that is read, without the lock."""
        return self._by_key.keys()

    def enter(self, key: bytes, event_id: str, size_bytes: int, wake: Callable[[], None]) -> WaitingRequest:
        """Take a request in, before its event is published.

        Raises:
            TooManyWaiting: in number, or in bytes.
        """
        request = WaitingRequest(key, event_id, size_bytes + OVERHEAD_BYTES, wake)
        self._places.take(request.size_bytes)
        with self._lock:
            self.number += 1
            self._by_key.setdefault(key, []).append(request)
            self._drop_expired()
        return request

    def note_published(self, request: WaitingRequest, at: At) -> None:
        """Note where the event is."""
        with self._lock:
            request.at, request.published_s = at, self._clock()
            self._backlog.add(at[0], request, request.published_s)
            self._settle(request)
            request.letters.clear()

    def leave(self, request: WaitingRequest) -> None:
        """Take a request out that is answered; its event is looked out for a while if its outcome is not known."""
        self._places.give_back(request.size_bytes)
        with self._lock:
            self.number -= 1
            if request.at is not None and request.outcome is None and len(self._late) < LATE_MAX:
                request.wake = _wake_nobody
                self._late[request] = self._clock() + LATE_SECONDS
            else:
                self._remove(request)

    def see_decision(self, decision: Record) -> None:
        """Hand over a decision whose key is looked out for."""
        key = str(decision[self._key_field]).encode()
        with self._lock:
            for request in list(self._by_key.get(key, ())):
                if request.event_id == decision[self._id_field] and len(request.decisions) < KEPT_MAX:
                    request.decisions.append(decision)
                    self._settle(request)
                    request.wake()

    def see_letter(self, key: bytes, letter: DeadLetter) -> None:
        """Hand over a dead letter whose key is looked out for."""
        if letter.source is None or letter.source.topic != self._topic:
            return
        with self._lock:
            for request in list(self._by_key.get(key, ())):
                if request.at in {None, _source_of_letter(letter)}:
                    request.letters = [*request.letters[1 - KEPT_MAX :], letter]
                    self._settle(request)
                    request.wake()

    def first_decision(self, request: WaitingRequest, letter: DeadLetter) -> Record | None:
        """Return the decision that a repeat is a repeat of, if it was read here."""
        return next((each for each in list(request.decisions) if self.is_first(request, letter, each)), None)

    def is_own(self, request: WaitingRequest, decision: Record) -> bool:
        """Whether a decision is about the very event of a request."""
        return self._is_of(request, decision) and source_of(decision) == request.at

    def is_first(self, request: WaitingRequest, letter: DeadLetter, decision: Record) -> bool:
        """Whether a decision is the one of which a ``duplicate`` letter says that it exists.

        Within the stream's horizon only one event of a key and id is counted, so its time tells it from older ones.
        """
        if letter.failed_ms is None or not self._is_of(request, decision):
            return False
        return 0 <= letter.failed_ms - int(decision["ingest_time_ms"]) < self._horizon_ms

    def _is_of(self, request: WaitingRequest, decision: Record) -> bool:
        """Whether key and id are those of a request: the same id of another key is another event."""
        key, event_id = decision[self._key_field], decision[self._id_field]
        return str(key).encode() == request.key and str(event_id) == request.event_id

    def behind_seconds(self, partition: int) -> float:
        """Return how old the oldest event is that went through here and is not decided."""
        with self._lock:
            self._drop_expired()
            return self._backlog.behind_seconds(partition, self._clock())

    def settled_seconds(self, partition: int) -> float:
        """Return how long ago an outcome of an event that went through here was read; infinite where none was."""
        with self._lock:
            return self._backlog.settled_seconds(partition, self._clock())

    def _settle(self, request: WaitingRequest) -> None:
        if request.settle() and request.at is not None:
            self._backlog.settle(request.at[0], request.published_s, self._clock())
            if request in self._late:
                self._remove(request)

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._late and next(iter(self._late.values())) <= now:
            self._remove(next(iter(self._late)))

    def _remove(self, request: WaitingRequest) -> None:
        self._late.pop(request, None)
        others = [each for each in self._by_key.get(request.key, ()) if each is not request]
        if others:
            self._by_key[request.key] = others
        else:
            self._by_key.pop(request.key, None)
        if request.at is not None:
            self._backlog.forget(request.at[0], request)


def _wake_nobody() -> None:
    """Stand in for a client that has its answer."""
