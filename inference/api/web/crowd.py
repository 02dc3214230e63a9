"""Who is connected, and who has to go when there are too many or one is too slow.

A connection is in one of three states: *unfinished* (a request has begun, or none yet, and the client still has to
send), *idle* (kept alive between two requests) or *answering* (a whole request, no answer yet). Only the first two wait
for the client, so only they are bounded in time, and only they are closed to make room: the one that has waited
longest first, unfinished ones before idle ones. So a client that opens connections and sends nothing through them
displaces its own, and a request that is sent whole is always read.

**Cost:** O(1) a request; a sweep looks at those whose time is up.
"""

from __future__ import annotations

from typing import Protocol


class Member(Protocol):
    """A connection, as the crowd sees it."""

    deadline: float
    """Seconds of the event loop's clock at which it has waited long enough."""

    def give_up(self, *, crowded: bool) -> None:
        """Close it: its time is up, or others need its place."""
        ...


class Crowd:
    """All connections of a process."""

    def __init__(self, *, members_max: int, spare: int) -> None:
        """Start empty.

        Args:
            members_max: beyond it, waiting connections are closed for new ones.
            spare: so many more are read, for health checks, while nobody waits.
        """
        self.members_max = members_max
        self._spare = spare
        self._answering: set[Member] = set()
        # dictionaries, for their order: who came first has waited longest
        self._unfinished: dict[Member, None] = {}
        self._idle: dict[Member, None] = {}

    def __len__(self) -> int:
        return len(self._answering) + len(self._unfinished) + len(self._idle)

    @property
    def full(self) -> bool:
        """Whether only health checks should be answered."""
        return len(self) > self.members_max

    def enter(self, member: Member) -> bool:
        """Take a new connection in, unfinished; False when there is no place and none can be made."""
        if len(self) >= self.members_max:
            oldest = next(iter(self._unfinished), None) or next(iter(self._idle), None)
            if oldest is not None:
                self.leave(oldest)
                oldest.give_up(crowded=True)
            elif len(self) >= self.members_max + self._spare:
                return False
        self._unfinished[member] = None
        return True

    def leave(self, member: Member) -> None:
        """Forget a connection, known or not."""
        self._answering.discard(member)
        self._unfinished.pop(member, None)
        self._idle.pop(member, None)

    def begin(self, member: Member) -> None:
        """Note that a client has begun to send."""
        self._idle.pop(member, None)
        self._answering.discard(member)
        self._unfinished.setdefault(member)

    def answer(self, member: Member) -> None:
        """Note that a request is whole."""
        self._unfinished.pop(member, None)
        self._idle.pop(member, None)
        self._answering.add(member)

    def rest(self, member: Member) -> None:
        """Note that a connection is idle."""
        self._unfinished.pop(member, None)
        self._answering.discard(member)
        self._idle.setdefault(member)

    def sweep(self, now: float) -> None:
        """Close every waiting connection whose time is up."""
        for member in [member for member in (*self._unfinished, *self._idle) if member.deadline <= now]:
            self.leave(member)
            member.give_up(crowded=False)
