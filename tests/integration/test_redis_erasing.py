"""Erasing on a real server: what goes, what stays, and who is refused afterwards."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.conftest import settings_for
from tests.integration.views import open_view
from weir.infra.redis.client import Client
from weir.infra.redis.erasing import each_value, each_window_id, erase_values, erase_windows
from weir.infra.redis.kept_answers import KeptAnswers, Request
from weir.infra.redis.known_list import pack_part, read_parts
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Position, Unit
from weir.infra.settings import Settings
from weir.streaming.state.queries import encode_known

pytestmark = pytest.mark.server
UNIT, OTHER_UNIT, KINDS = Unit("t", 0), Unit("t", 1), ["card", "device"]
WHO, NEAR = "card-of-[who]:asks*", "card-of-[who]:asks*2"


@pytest.fixture
def own(stack: Settings) -> Settings:
    return settings_for(stack, "erasing")


def fill(view: StateView) -> None:
    """Two units; the first knows both ids of a card, and a device that is called as the one that is erased."""
    ids = {UNIT: [WHO, NEAR], OTHER_UNIT: [NEAR]}
    for unit, cards in ids.items():
        view.claim(unit, Position(0))
        keys = [*(f"card:{each}" for each in cards), f"device:{WHO}"]
        known = encode_known(KINDS, "card", cards)
        assert view.apply(unit, start=0, end=3, keys=keys, partials=[b"1"] * len(keys), known=known).done


def test_a_partial_goes_from_every_view_and_a_write_that_was_folded_with_it_is_refused(
    client: Client, own: Settings
) -> None:
    view, older = open_view(own, client), open_view(own, client, "of-other-declarations")
    fill(view)
    fill(older)
    before = {key: client.get(key) for key in client.scan_iter(match=view.prefix(UNIT)[:-4] + "*")}
    assert ("card", WHO) in set(each_window_id(client, view.group_prefix))
    assert erase_windows(client, view.group_prefix, "card", WHO) == 2
    assert ("card", WHO) not in set(each_window_id(client, view.group_prefix))
    assert {("card", NEAR), ("device", WHO)} <= set(each_window_id(client, view.group_prefix))
    (known,) = [value for key, value in each_value(client, view.prefix(UNIT) + "known:") if key]
    assert read_parts(known) == [encode_known(KINDS, "card", ["\0" * len(WHO), NEAR])]
    assert view.position(UNIT) == Position(3, known_bytes=len(known), erasures=1)
    assert view.position(OTHER_UNIT) == Position(3, known_bytes=len(pack_part(encode_known(KINDS, "card", [NEAR]))))
    assert before  # the prefix is right
    late = view.apply(UNIT, start=3, end=5, keys=[f"card:{WHO}"], partials=[b"2"])
    assert (late.done, late.found) == (False, "3")
    assert ("card", WHO) not in set(each_window_id(client, view.group_prefix))
    assert view.apply(UNIT, start=3, end=5, keys=[f"card:{WHO}"], partials=[b"new"], erasures=1).done
    assert view.position(UNIT) == Position(5, known_bytes=len(known), erasures=1)


def test_erasing_again_finds_nothing_and_moves_nothing(client: Client, own: Settings) -> None:
    view = open_view(own, client)
    fill(view)
    assert erase_windows(client, view.group_prefix, "card", WHO) == 1
    found = view.position(UNIT)
    assert erase_windows(client, view.group_prefix, "card", WHO) == 0
    assert view.position(UNIT) == found


def test_a_unit_that_is_being_deleted_loses_the_partial_and_is_deleted_on(client: Client, own: Settings) -> None:
    view = open_view(own, client)
    fill(view)
    steps: Any = view.drop(UNIT)
    client.set(view.prefix(UNIT) + "position", b"dropping another")
    assert erase_windows(client, view.group_prefix, "card", WHO) == 1
    assert view.position(UNIT) is None
    steps.close()
    sum(view.drop(UNIT))
    assert set(each_window_id(client, view.group_prefix)) == {("card", NEAR), ("device", WHO)}


def test_kept_answers_that_name_an_id_go_and_others_stay(client: Client, own: Settings) -> None:
    answers = KeptAnswers(client, space=own.cluster, bytes_max=1_000_000)
    for name, text in (("a", WHO), ("b", NEAR)):
        request = Request("owner", name, b"f" * 32, b"t" * 16)
        answers.begin(request)
        answers.finish(request, orjson.dumps({"card_id": text}))
    prefix = f"weir:{own.cluster}:answer:"
    assert erase_values(client, prefix, lambda value: orjson.dumps(WHO) in value) == 1
    (left,) = [value for _, value in each_value(client, prefix)]
    assert orjson.dumps(NEAR) in left
