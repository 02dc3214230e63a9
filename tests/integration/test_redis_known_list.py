"""A unit's list of known ids on a real server: it grows with the position, and damage to it is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import settings_for
from tests.integration.views import open_view
from weir.infra.redis.client import Client
from weir.infra.redis.known_list import SEGMENT_BYTES, pack_part
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Position, Unit
from weir.infra.settings import Settings

pytestmark = pytest.mark.server
UNIT = Unit("t", 3)


@pytest.fixture
def view(stack: Settings) -> StateView:
    return open_view(settings_for(stack, "view"))


def test_known_ids_grow_in_segments_with_the_position_and_a_mixed_unit_stays_mixed(view: StateView) -> None:
    view.claim(UNIT, Position(0, partitions=4))
    entries = [bytes([n]) * (SEGMENT_BYTES // 2 + 1) for n in range(3)]
    for n, entry in enumerate(entries):
        view.apply(UNIT, start=n, end=n + 1, keys=[], partials=[], known=entry)
        again = view.apply(UNIT, start=n, end=n + 1, keys=[], partials=[], known=entry)
        assert again.found == "same"
    stored = [view._client.get(f"{view.prefix(UNIT)}known:{n}") for n in range(2)]
    listed = b"".join(map(pack_part, entries))
    assert b"".join(stored) == listed
    assert view.position(UNIT) == Position(3, partitions=4, known_bytes=len(listed))
    assert view.read_known(UNIT, Position(3, known_bytes=len(listed))) == entries
    view.apply(UNIT, start=3, end=4, keys=[], partials=[], is_mixed=True)
    view.apply(UNIT, start=4, end=5, keys=[], partials=[])
    found = view.position(UNIT)
    assert found is not None
    assert (found.applied, found.partitions) == (5, 0)
    list(view.sweep())
    assert view._client.pttl(f"{view.prefix(UNIT)}known:0") == -1


@pytest.mark.parametrize(
    "damage",
    [
        lambda client, key: client.delete(key),
        lambda client, key: client.append(key, b"\0"),
        lambda client, key: client.setrange(key, 14, b"x"),
        lambda client, key: client.set(key, client.get(key)[:-1]),
        lambda client, key: (client.delete(key), client.rpush(key, b"c1")),
    ],
)
def test_a_list_of_known_ids_that_is_not_what_was_written_is_none(
    view: StateView, damage: Callable[[Client, str], object]
) -> None:
    view.claim(UNIT, Position(0))
    assert view.read_known(UNIT, Position(0)) == []
    view.apply(UNIT, start=0, end=1, keys=[], partials=[], known=b"\0\2\0c1")
    now = view.position(UNIT)
    assert now is not None
    assert view.read_known(UNIT, now) == [b"\0\2\0c1"]
    damage(view._client, f"{view.prefix(UNIT)}known:0")
    assert view.read_known(UNIT, now) is None
