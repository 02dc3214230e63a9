"""What the commands print, for people and for machines; nothing of it acts on a terminal."""

from __future__ import annotations

import json

import pytest

from tests.unit.inference.published.acts import build_act, log_act
from weir.inference.core.lists import parse_lists
from weir.inference.published.view import show_act, show_diff, show_history, show_lists, show_lists_change, show_text
from weir.schemas.streams.payments import payments

ENTITIES = tuple(payments.id_field_of)
HOSTILE = "\x1b[31mred\u202e"


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    return shown.splitlines()


def test_the_history_says_what_is_in_force_and_why_others_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = build_act("rules", "a"), build_act("rules", "b", why=HOSTILE)
    broken, back = build_act("rules", "c"), build_act("rules", None, hash=first.hash)
    acts = [log_act(act, place) for place, act in enumerate((first, second, broken, back))]
    show_history(acts, first.hash, {broken.id: "expected rules"}, as_json=True)
    shown = [json.loads(line) for line in _lines(capsys)]
    assert [row["state"] for row in shown] == ["", "", "expected rules", "in force"]
    assert [row["version"] for row in shown] == [first.version, second.version, broken.version, first.version]
    assert shown[0]["at"] == "2025-10-09T08:53:20Z"
    show_history(acts, first.hash, {}, as_json=False)
    assert len([line for line in _lines(capsys) if "│" in line]) >= len(acts)


def test_a_change_of_lists_is_counted_by_list_and_entity(capsys: pytest.CaptureFixture[str]) -> None:
    before = parse_lists({"block": {"card": ["a", "b"]}, "watch": {"ip": ["x"]}}, ENTITIES)
    after = parse_lists({"block": {"card": ["b", "c", "d"]}, "allow": {"device": ["y"]}}, ENTITIES)
    show_lists_change(before, after, as_json=True)
    (document,) = [json.loads(line) for line in _lines(capsys)]
    told = [tuple(row.values()) for row in document["lists"]]
    assert told == [("allow", "device", 1, 1, 0), ("block", "card", 3, 2, 1), ("watch", "ip", 0, 0, 1)]


def test_lists_as_json_can_be_published_again_and_for_people_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"entry": HOSTILE, "reason": "seen", "until": "2026-01-01T00:00:00+00:00"}
    lists = parse_lists({"block": {"card": ["a", "b", entry]}}, ENTITIES)
    show_lists(lists, limit=50, as_json=True)
    assert parse_lists(json.loads(capsys.readouterr().out), ENTITIES) == lists
    show_lists(lists, limit=1, as_json=False)
    cards = [line for line in _lines(capsys) if "card" in line]
    assert len(cards) == 2, "a count, and one entry"


def test_texts_and_what_differs_between_them_are_shown_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_text("rules", "v", f"one\n{HOSTILE}", as_json=False)
    assert _lines(capsys)[0] == "one"
    show_diff("one\ntwo\n", f"one\n{HOSTILE}\n", ("before", "after"), as_json=False)
    assert _lines(capsys)[3:5] == [" one", "-two"]


@pytest.mark.parametrize(("action", "said"), [("publish", "published"), ("rollback", "rolled back")])
def test_an_act_is_said_with_its_version(action: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    act = build_act("rules", "a") if action == "publish" else build_act("rules", None, hash="none")
    show_act(act, as_json=False)
    assert _lines(capsys)[0].startswith(f"rules {act.version} {said}: ")
