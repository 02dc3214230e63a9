"""The view's compare-and-set on a real server, through any order of writes, lost replies, repeats and losses.

The model is a dictionary and a number. What it holds the view to: a write that says it is done is in, whole; one that
says anything else, or nothing, changed nothing, unless its reply was lost, and then asking again tells.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from weir.infra.redis.client import Client, connect
from weir.infra.redis.session import Session
from weir.infra.redis.state_view import Applied, StateView
from weir.infra.redis.unit import Position, Unit
from weir.infra.settings import Settings
from weir.schemas.errors import Transient

pytestmark = pytest.mark.server
UNIT, OTHER = Unit("t", 3), Unit("t", 4)
KEYS = ["card:a", "card:b", "device:a"]
CHOSEN = st.sets(st.sampled_from(KEYS), min_size=1)


class View(StateView):
    """One whose connection can be made to die while a write is sent, or while its reply is awaited."""

    broken = ""

    @contextmanager
    def _session(self, key: str) -> Iterator[Session]:
        with super()._session(key) as session:
            if self.broken:
                transact = session.transact
                session.transact = lambda *commands: self._transact(session, transact, commands)  # type: ignore[method-assign]
            yield session

    def _transact(self, session: Session, transact: Callable[..., bool], commands: tuple[bytes, ...]) -> bool:
        if self.broken == "before":
            session._connection._sock.shutdown(socket.SHUT_RDWR)
            return transact(*commands)
        transact(*commands)
        raise ConnectionError("the reply was lost")


@contextmanager
def broken(view: View, where: str) -> Iterator[None]:
    view.broken = where
    try:
        yield
    finally:
        view.broken = ""


class Writers(RuleBasedStateMachine):
    """Writers of one unit, and what the unit should hold."""

    redis: Client

    def __init__(self) -> None:
        super().__init__()
        cluster = uuid.uuid4().hex  # a key space of its own: Hypothesis runs some examples again
        self.view = View(self.redis, cluster=cluster, group="g", topic_ids={"t": "x", "l": "y"}, declarations_hash="h")
        self.position: Position | None = None
        self.partials: dict[str, bytes] = {}
        self.writes = 0
        assert self.view.claim(OTHER, Position(7))

    @rule(claimed=st.builds(Position, st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)))
    def claim(self, claimed: Position) -> None:
        assert self.view.claim(UNIT, claimed) == (self.position is None)
        self.position = self.position or claimed

    def write(self, start: int, size: int, keys: set[str]) -> tuple[Applied, dict[str, bytes]]:
        self.writes += 1
        partials = {key: f"{self.writes} {key}".encode() for key in sorted(keys)}
        return (
            self.view.apply(UNIT, start=start, end=start + size, keys=list(partials), partials=list(partials.values())),
            partials,
        )

    def keep(self, end: int, partials: dict[str, bytes]) -> None:
        assert self.position is not None
        self.position = Position(end, self.position.since_ms, self.position.target)
        self.partials |= partials

    @rule(off=st.integers(-3, 3), size=st.integers(1, 3), keys=CHOSEN)
    def apply(self, off: int, size: int, keys: set[str]) -> None:
        """From where the unit is, from before it (a repeat, or somebody late), or from beyond it."""
        start = (self.position.applied if self.position else 0) + off
        applied, partials = self.write(start, size, keys)
        if self.position is None:
            assert applied == Applied(False, "absent")
        elif start == self.position.applied:
            assert applied == Applied(True, "ok")
            self.keep(start + size, partials)
        elif start + size == self.position.applied:
            assert applied == Applied(True, "same")
        else:
            assert applied == Applied(False, str(self.position.applied))

    @rule(size=st.integers(1, 3), keys=CHOSEN, where=st.sampled_from(["before", "after"]))
    def apply_without_an_answer(self, size: int, keys: set[str], where: str) -> None:
        """The connection dies: nobody knows whether the write is in; asked again, the view does."""
        if self.position is None:
            return
        start, before = self.position.applied, self.writes
        with broken(self.view, where), pytest.raises(Transient):
            self.write(start, size, keys)
        partials = {key: f"{before + 1} {key}".encode() for key in sorted(keys)}
        again = self.view.apply(
            UNIT, start=start, end=start + size, keys=list(partials), partials=list(partials.values())
        )
        assert again == Applied(True, "ok" if where == "before" else "same")
        self.keep(start + size, partials)

    @rule()
    def drop(self) -> None:
        list(self.view.drop(UNIT))
        self.position, self.partials = None, {}

    @rule()
    def sweep(self) -> None:
        assert sum(self.view.sweep()) >= len(self.partials)

    @invariant()
    def the_unit_holds_what_the_accepted_writes_say(self) -> None:
        loaded = self.view.load_many([(UNIT, KEYS), (OTHER, KEYS)])
        assert loaded[UNIT].position == self.position
        assert loaded[UNIT].partials == [self.partials.get(key, b"") for key in KEYS]
        assert loaded[OTHER].position == Position(7)
        assert loaded[OTHER].partials == [b""] * len(KEYS)


def test_whatever_is_lost_or_repeated_the_unit_holds_what_the_accepted_writes_say(stack: Settings) -> None:
    client = connect(stack.redis)
    machine = type("OnThisServer", (Writers,), {"redis": client})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
    )
    client.close()
