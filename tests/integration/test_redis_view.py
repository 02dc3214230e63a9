"""The compare-and-set of the view on a real server: what it writes, what it refuses, what it says of a repeat."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import settings_for
from tests.integration.views import open_view
from tests.payments import DECLARATIONS_HASH
from weir.infra.redis.client import connect
from weir.infra.redis.loaded import UNREADABLE, Loaded
from weir.infra.redis.other_views import abandon_other_views
from weir.infra.redis.session import Session
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Position, Unit, UnreadablePosition, format_position
from weir.infra.settings import Settings
from weir.schemas.errors import Transient

pytestmark = pytest.mark.server
UNIT = Unit("t", 3)


@pytest.fixture
def view(stack: Settings) -> StateView:
    return open_view(settings_for(stack, "view"))


def partials_of(view: StateView, keys: list[str]) -> list[bytes]:
    return view.load_many([(UNIT, keys)])[UNIT].partials


def test_an_apply_at_the_position_writes_every_partial_and_moves_it(view: StateView) -> None:
    assert view.claim(UNIT, Position(5, since_ms=7, target=9))
    keys = [f"card:{n}" for n in range(5_000)]  # more than one MSET
    applied = view.apply(UNIT, start=5, end=12, keys=keys, partials=[key.encode() for key in keys])
    assert applied.done
    assert partials_of(view, keys) == [key.encode() for key in keys]
    assert view.position(UNIT) == Position(12, since_ms=7, target=9)


def _sound(text: bytes) -> bytes:
    return format_position(Position(*map(int, text.split())), UNIT)


@pytest.mark.parametrize(
    "found",
    [
        b"", b"12", b"12 0 0", b"12 0 0 0 0", b"12 0 0 0 0 00000000", b"x 0 0", b"1.5 0 0", b"\xff\x00",
        _sound(b"12")[:-1], _sound(b"12") + b" ", b"9" + _sound(b"12"), _sound(b"12").replace(b"12", b"13"),
        format_position(Position(12), Unit("t", 4)),
    ],
)  # fmt: skip
def test_a_position_that_is_none_makes_the_unit_suspect_and_nothing_is_written(view: StateView, found: bytes) -> None:
    view._client.set(view.prefix(UNIT) + "position", found)
    with pytest.raises(UnreadablePosition, match="position of unit t03 with its check"):
        view.position(UNIT)
    loaded = view.load_many([(UNIT, ["card:a"])])[UNIT]
    assert (loaded.position, "not written by us" in loaded.suspect) == (None, True)
    assert not view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"]).done
    list(view.drop(UNIT))
    assert view.look(UNIT) == Loaded(None, [])
    assert partials_of(view, ["card:a"]) == [b""]


@pytest.mark.parametrize("make", ["rpush", "sadd", "xadd", "hset", "zadd"])
def test_a_value_of_another_type_is_told_from_an_absent_one(view: StateView, make: str) -> None:
    view.claim(UNIT, Position(0))
    view.apply(UNIT, start=0, end=1, keys=["card:a"], partials=[b"1"])
    _make_other_type(view, make, "card:b")
    assert partials_of(view, ["card:a", "card:b", "card:c"]) == [b"1", b"", b""]
    asked = [(UNIT, ["card:b", "card:c"]), (Unit("t", 4), ["card:b"]), (Unit("t", 5), [])]
    assert view.find_other_types(asked) == {UNIT: ["card:b"]}
    loaded = view.load_checked([(UNIT, ["card:a", "card:b", "card:c", "card:b"]), (Unit("t", 4), ["card:b"])], {UNIT})
    assert (loaded[UNIT].partials, loaded[UNIT].other_types) == ([b"1", b"", b"", b""], ["card:b", "card:b"])
    assert view.load_checked([(UNIT, ["card:b"])], set())[UNIT].other_types == ()
    _make_other_type(view, make, "position")
    assert view.look(UNIT).position is None
    assert not view.claim(UNIT, Position(0))
    assert view.find_other_types([(UNIT, ["position"])]) == {UNIT: ["position"]}
    _make_other_type(view, make, "card:a")
    list(view.drop(UNIT))
    assert view.claim(UNIT, Position(0))


def _make_other_type(view: StateView, make: str, key: str) -> None:
    arguments: dict[str, list[object]] = {
        "rpush": ["x"], "sadd": ["x"], "xadd": [{"x": "y"}], "hset": ["x", "y"], "zadd": [{"x": 1}]
    }  # fmt: skip
    view._client.delete(view.prefix(UNIT) + key)
    getattr(view._client, make)(view.prefix(UNIT) + key, *arguments[make])


def test_an_empty_value_is_not_an_absent_one(view: StateView) -> None:
    view._client.set(view.prefix(UNIT) + "card:a", b"")
    assert partials_of(view, ["card:a", "card:b"]) == [UNREADABLE, b""]


def test_a_suspect_unit_says_so_to_everybody_until_it_is_dropped(view: StateView) -> None:
    view.claim(UNIT, Position(4))
    view.suspect(UNIT, "the value of card:a is wrong")
    assert view.look(UNIT) == Loaded(None, [], suspect="the value of card:a is wrong")
    assert view.look(Unit("t", 4)) == Loaded(None, [])
    list(view.drop(UNIT))
    assert view.look(UNIT) == Loaded(None, [])


def test_of_two_that_drop_a_unit_the_one_that_began_last_goes_on(view: StateView) -> None:
    """The first one's late deletions must not hit what is written after the second is done."""
    view.claim(UNIT, Position(0))
    keys = [f"card:{n}" for n in range(3_000)]
    view.apply(UNIT, start=0, end=3, keys=keys, partials=[b"1"] * len(keys))
    first = view.drop(UNIT)
    next(first)
    list(view.drop(UNIT))
    assert view.claim(UNIT, Position(0))
    view.apply(UNIT, start=0, end=3, keys=keys, partials=[b"2"] * len(keys))
    with pytest.raises(Transient, match="dropped by another process too"):
        list(first)
    assert partials_of(view, keys) == [b"2"] * len(keys)
    assert view.position(UNIT) == Position(3)


def test_a_drop_that_was_broken_off_is_seen_and_begun_again(view: StateView) -> None:
    view.claim(UNIT, Position(0))
    keys = [f"card:{n}" for n in range(3_000)]
    view.apply(UNIT, start=0, end=3, keys=keys, partials=[b"1"] * len(keys))
    broken_off = view.drop(UNIT)
    next(broken_off)
    assert view.look(UNIT) == Loaded(None, [], dropping=True)
    assert not view.claim(UNIT, Position(0))
    list(view.drop(UNIT))
    assert set(partials_of(view, keys)) == {b""}
    assert view.claim(UNIT, Position(0))


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
                self._client.set(key, format_position(Position(0), UNIT))
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
    """A rebuild that began next to the deletion would lose what it has written already."""
    view.claim(UNIT, Position(0))
    view.apply(UNIT, start=0, end=3, keys=["card:a", "card:b"], partials=[b"1", b"2"])
    delete = view._delete
    claims: list[bool] = []

    def delete_next_to_a_claim(unit: Unit, keys: Sequence[bytes], mine: bytes) -> None:
        claims.append(view.claim(UNIT, Position(0)))
        assert view.position(UNIT) is None
        assert view.apply(UNIT, start=3, end=4, keys=["card:a"], partials=[b"9"]).found == "absent"
        delete(unit, keys, mine)

    monkeypatch.setattr(view, "_delete", delete_next_to_a_claim)
    list(view.drop(UNIT))
    assert claims
    assert not any(claims)
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
    view = StateView(
        connect(stack.redis),
        cluster=uuid.uuid4().hex,
        group="g",
        topic_ids={"t": "x", "l": "y"},
        declarations_hash=DECLARATIONS_HASH,
    )
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


def two_views(stack: Settings) -> tuple[StateView, StateView]:
    """Two views of one group, as of two declarations."""
    own = settings_for(stack, "views")
    client = connect(own.redis)
    old, new = (
        StateView(
            client,
            cluster=own.cluster,
            group=own.processor.group,
            topic_ids={"t": topic_id},
            declarations_hash=DECLARATIONS_HASH,
        )
        for topic_id in ("x", "y")
    )
    return old, new


def test_a_view_that_another_one_took_over_from_says_so_until_it_follows_again(stack: Settings) -> None:
    """Of both together, one follows the log in each unit."""
    old, new = two_views(stack)
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


def test_a_view_that_is_dropped_leaves_the_other_and_its_mark(stack: Settings) -> None:
    old, new = two_views(stack)
    for view in (old, new):
        view.claim(UNIT, Position(0))
        view.apply(UNIT, start=0, end=1, keys=["card:a"], partials=[b"one"])
    new.suspect(UNIT, "lost")
    assert sum(old.drop(UNIT)) > 0
    assert old.load_many([(UNIT, ["card:a"])])[UNIT] == Loaded(None, [b""])
    assert (new.look(UNIT).suspect, new.load_many([(UNIT, ["card:a"])])[UNIT].partials) == ("lost", [b"one"])
    sum(new.drop(UNIT))
    assert new.look(UNIT) == Loaded(None, [])


def test_after_a_loss_units_of_other_views_are_deleted_before_anybody_uses_them(stack: Settings) -> None:
    old, new = two_views(stack)
    other = Unit("t", 4)
    for view, unit in ((old, UNIT), (new, UNIT), (new, other)):
        view.claim(unit, Position(0))
    assert abandon_other_views(connect(stack.redis), old.group_prefix, [old.prefix(UNIT), old.prefix(other)]) == 2
    assert old.look(UNIT).position == Position(0)
    for unit in (UNIT, other):
        assert new.look(unit).dropping
        assert not new.claim(unit, Position(0))
        assert not new.apply(unit, start=0, end=1, keys=["card:a"], partials=[b"one"]).done
