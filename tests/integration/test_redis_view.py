"""The compare-and-set of the view on a real server: what it writes, what it refuses, what it says of a repeat."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.redis_client import connect
from infra.redis_session import Session
from infra.redis_view import Position, StateView, Unit
from infra.settings import Settings
from schemas.errors import Refused, Transient
from tests.conftest import settings_for

pytestmark = pytest.mark.server
UNIT = Unit("t", 3)


@pytest.fixture
def view(stack: Settings) -> StateView:
    own = settings_for(stack, "view")
    return StateView(connect(own.redis), cluster=own.cluster, group=own.processor.group, topic_ids={"t": "x", "l": "y"})


def partials_of(view: StateView, keys: list[str]) -> list[bytes]:
    return view.load_many([(UNIT, keys)])[UNIT].partials


def test_an_apply_at_the_position_writes_every_partial_and_moves_it(view: StateView) -> None:
    assert view.claim(UNIT, Position(5, since_ms=7, target=9))
    keys = [f"card:{n}" for n in range(5_000)]  # more than one MSET
    applied = view.apply(UNIT, start=5, end=12, keys=keys, partials=[key.encode() for key in keys])
    assert applied.done
    assert partials_of(view, keys) == [key.encode() for key in keys]
    assert view.position(UNIT) == Position(12, since_ms=7, target=9)


@pytest.mark.parametrize("found", [b"", b"12", b"12 0", b"12 0 0 0", b"x 0 0", b"-1 0 0", b"1.5 0 0", b"\xff\x00"])
def test_a_position_that_is_none_is_refused_with_the_mend_and_nothing_is_written(view: StateView, found: bytes) -> None:
    view._client.set(view.prefix(UNIT) + "position", found)
    asks = [
        lambda: view.position(UNIT),
        lambda: view.load_many([(UNIT, ["card:a"])]),
        lambda: view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"]),
    ]
    for ask in asks:
        with pytest.raises(Refused, match=r"t03 as three numbers.*drop-view --partition 3 --apply"):
            ask()
    view.drop(UNIT)
    assert view.position(UNIT) is None
    assert partials_of(view, ["card:a"]) == [b""]


def test_a_repeated_apply_is_success_and_changes_nothing(view: StateView) -> None:
    view.claim(UNIT, Position(0))
    view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"])
    again = view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"2"])
    assert (again.done, again.found) == (True, "same")
    assert partials_of(view, ["card:a"]) == [b"1"]


def test_an_apply_where_there_is_no_position_is_refused(view: StateView) -> None:
    refused = view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"])
    assert (refused.done, refused.found) == (False, "absent")
    assert partials_of(view, ["card:a"]) == [b""]


def test_an_apply_that_was_overtaken_between_the_look_and_the_write_is_refused(
    view: StateView, monkeypatch: pytest.MonkeyPatch
) -> None:
    view.claim(UNIT, Position(0))
    session_of = StateView._session

    @contextmanager
    def overtaken(self: StateView, key: str) -> Iterator[Session]:
        with session_of(self, key) as session:
            transact = session.transact

            def transact_after_another(*commands: bytes) -> bool:
                monkeypatch.setattr(StateView, "_session", session_of)
                assert self.apply(UNIT, start=0, end=2, keys=["card:a"], partials=[b"other"]).done
                return transact(*commands)

            session.transact = transact_after_another  # type: ignore[method-assign]
            yield session

    monkeypatch.setattr(StateView, "_session", overtaken)
    refused = view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"late"])
    assert (refused.done, refused.found) == (False, "2")
    assert partials_of(view, ["card:a"]) == [b"other"]


def test_a_connection_that_dies_at_the_write_is_not_taken_for_somebody_else(
    view: StateView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, the unit would be folded again from the log for nothing."""
    view.claim(UNIT, Position(0))
    session_of = StateView._session

    @contextmanager
    def cut_off(self: StateView, key: str) -> Iterator[Session]:
        with session_of(self, key) as session:
            transact = session.transact

            def transact_after_a_cut(*commands: bytes) -> bool:
                session._connection._sock.shutdown(socket.SHUT_RDWR)
                return transact(*commands)

            session.transact = transact_after_a_cut  # type: ignore[method-assign]
            yield session

    monkeypatch.setattr(StateView, "_session", cut_off)
    with pytest.raises(Transient):
        view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"])
    monkeypatch.setattr(StateView, "_session", session_of)
    assert view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"]).found == "ok"


def test_a_position_that_was_written_and_is_where_it_was_is_asked_again(
    view: StateView, monkeypatch: pytest.MonkeyPatch
) -> None:
    view.claim(UNIT, Position(0))
    session_of = StateView._session

    @contextmanager
    def touched(self: StateView, key: str) -> Iterator[Session]:
        with session_of(self, key) as session:
            transact = session.transact

            def transact_after_a_touch(*commands: bytes) -> bool:
                self._client.set(key, "0 0 0")
                return transact(*commands)

            session.transact = transact_after_a_touch  # type: ignore[method-assign]
            yield session

    monkeypatch.setattr(StateView, "_session", touched)
    with pytest.raises(Transient, match="is where it was"):
        view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"])
    assert partials_of(view, ["card:a"]) == [b""]


def test_a_write_that_the_server_refuses_changes_nothing(view: StateView) -> None:
    view.claim(UNIT, Position(0))
    keys = [f"card:{n}" for n in range(2_500)]
    used = view._client.info("memory")["used_memory"]
    view._client.config_set("maxmemory", used)
    try:
        with pytest.raises(Transient, match="maxmemory"):
            view.apply(UNIT, start=0, end=3, keys=keys, partials=[b"1"] * len(keys))
    finally:
        view._client.config_set("maxmemory", 0)
    assert view.position(UNIT) == Position(0)
    assert set(partials_of(view, keys)) == {b""}
    assert view.apply(UNIT, start=0, end=3, keys=keys, partials=[b"2"] * len(keys)).found == "ok"
    assert set(partials_of(view, keys)) == {b"2"}


def test_nobody_can_claim_a_unit_before_all_of_it_is_dropped(view: StateView, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild that began beside the deletion would lose what it has written already."""
    view.claim(UNIT, Position(0))
    view.apply(UNIT, start=0, end=3, keys=["card:a", "card:b"], partials=[b"1", b"2"])
    delete = view._client.delete
    claims: list[bool] = []

    def delete_beside_a_claim(key: bytes) -> object:
        claims.append(view.claim(UNIT, Position(0)))
        assert view.position(UNIT) is None
        assert view.apply(UNIT, start=3, end=4, keys=["card:a"], partials=[b"9"]).found == "absent"
        return delete(key)

    monkeypatch.setattr(view._client, "delete", delete_beside_a_claim)
    view.drop(UNIT)
    assert claims == [False, False, False]
    assert partials_of(view, ["card:a", "card:b"]) == [b"", b""]
    assert view.claim(UNIT, Position(0))


def test_a_claim_does_not_move_a_position_that_stands(view: StateView) -> None:
    assert view.claim(UNIT, Position(4))
    assert not view.claim(UNIT, Position(0))
    assert view.position(UNIT) == Position(4)


def test_the_sweep_gives_partials_a_ttl_and_positions_none(view: StateView, stack: Settings) -> None:
    view.claim(UNIT, Position(0))
    view.apply(UNIT, start=0, end=1, keys=["card:a"], partials=[b"1"])
    list(view.sweep())
    client = connect(stack.redis)
    assert client.pttl(view.prefix(UNIT) + "card:a") > 0
    assert client.pttl(view.prefix(UNIT) + "position") == -1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=12))
def test_any_interleaving_of_writers_leaves_what_the_accepted_writes_say(
    stack: Settings, steps: list[tuple[int, int]]
) -> None:
    # a key space of its own per example: Hypothesis runs some of them again
    view = StateView(connect(stack.redis), cluster=uuid.uuid4().hex, group="g", topic_ids={"t": "x", "l": "y"})
    view.claim(UNIT, Position(0))
    at, value = 0, b""
    for start, length in steps:
        end = start + length
        applied = view.apply(UNIT, start=start, end=end, keys=["card:a"], partials=[str(end).encode()])
        assert applied.done == (at in (start, end))
        if start == at and end != at:
            at, value = end, str(end).encode()
        assert view.position(UNIT) == Position(at)
        assert partials_of(view, ["card:a"]) == [value]


def test_starts_are_counted_per_unit_and_offset_and_begin_again_at_another(view: StateView) -> None:
    assert [view.note_start(UNIT, 7) for _ in range(3)] == [1, 2, 3]
    assert view.note_start(Unit("t", 4), 7) == 1
    assert view.note_start(UNIT, 9) == 1
    assert view.note_start(UNIT, 7) == 1
    assert view.position(UNIT) is None


def test_a_view_that_another_one_took_over_from_says_so_until_it_follows_again(stack: Settings) -> None:
    """Two views of one group, as of two declarations: of both together, one follows the log in each unit."""
    own = settings_for(stack, "views")
    client = connect(own.redis)
    old, new = (
        StateView(client, cluster=own.cluster, group=own.processor.group, topic_ids={"t": topic_id})
        for topic_id in ("x", "y")
    )
    other = Unit("t", 4)

    def moved_on(view: StateView) -> list[bool]:
        loaded = view.load_many([(UNIT, ["card:a"]), (other, [])])
        return [loaded[UNIT].moved_on, loaded[other].moved_on]

    assert moved_on(old) == [False, False]  # nobody has said anything yet
    old.follow(UNIT)
    assert (moved_on(old), moved_on(new)) == ([False, False], [True, False])
    new.follow(UNIT)
    assert (moved_on(old), moved_on(new)) == ([True, False], [False, False])
    old.follow(UNIT)
    assert (moved_on(old), moved_on(new)) == ([False, False], [True, False])
