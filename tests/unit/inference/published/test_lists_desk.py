"""Lists for a process that serves: shown in pages, changed entry by entry, and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.published.lists_twin import MemoryLists, build_lists
from tests.unit.inference.published.rules_twin import Tries
from weir.inference.core.lists import Note
from weir.inference.published import trials as trials_module
from weir.inference.published.gate import Trial
from weir.inference.published.lists_desk import CHANGED_MAX, SHOWN_MAX, ListsDesk
from weir.inference.published.opened import UnknownVersion
from weir.inference.published.trials import NotPassed
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused, Transient
from weir.schemas.streams.payments import payments

ADA: dict[str, Any] = {"who": "ada", "why": "a wave", "force": ""}
BEN: dict[str, Any] = {"who": "ben", "why": "back"}
NOTE = Note("chargebacks", "scheme", 1_767_268_800_123)


@pytest.fixture
def published() -> MemoryLists:
    return MemoryLists()


@pytest.fixture
def tries() -> Iterator[Tries]:
    made = Tries()
    yield made
    made.go.set()


@pytest.fixture
def desk(published: MemoryLists, tries: Tries, tmp_path: Path) -> ListsDesk:
    return build_lists(published, tmp_path, tries)


def write_file(home: Path, document: dict[str, Any]) -> None:
    path = load_settings({"WEIR_HOME": str(home)}).of_stream(payments).lists_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_before_the_first_act_the_lists_are_those_of_the_file(desk: ListsDesk, tmp_path: Path) -> None:
    assert desk.show() == {
        "version": "none", "in_force": True, "published": False, "counts": [], "entries": [], "more": False,
        "history": [],
    }  # fmt: skip
    write_file(tmp_path, {"version": "2026-01", "block": {"card": ["c2", "c1"]}})
    shown = desk.show()
    assert (shown["version"], shown["published"]) == ("2026-01", False)
    assert shown["counts"] == [{"side": "block", "entity": "card", "count": 2}]
    assert [each["entry"] for each in shown["entries"]] == ["c1", "c2"]


def test_the_first_change_publishes_what_the_file_holds_with_it(
    desk: ListsDesk, published: MemoryLists, tmp_path: Path
) -> None:
    write_file(tmp_path, {"block": {"card": ["c1"]}})
    done = desk.change("add", "block", "card", ["c2", "c1"], NOTE, **ADA)
    assert (done["action"], done["changed"], done["version"]) == ("publish", 2, published.acts[0].version)
    note = {"reason": "chargebacks", "source": "scheme", "until_ms": 1_767_268_800_123}
    assert desk.show()["entries"] == [
        {"side": "block", "entity": "card", "entry": entry, **note} for entry in ("c1", "c2")
    ]
    done = desk.change("remove", "block", "card", ["c1", "c9", "c1"], NOTE, **ADA)
    assert (done["action"], done["changed"]) == ("change", 1)
    shown = desk.show()
    assert (shown["published"], [each["entry"] for each in shown["entries"]]) == (True, ["c2"])
    assert [(each["action"], each["who"], each["state"]) for each in shown["history"]] == [
        ("change", "ada", "in force"), ("publish", "ada", ""),
    ]  # fmt: skip
    assert published.opened == 1


def test_entries_are_shown_in_order_as_far_as_they_fit(desk: ListsDesk) -> None:
    desk.change("add", "watch", "card", [f"c{number:04}" for number in range(CHANGED_MAX)], Note(), **ADA)
    desk.change("add", "allow", "merchant", ["c1", "m1"], Note(), **ADA)

    def find(**given: Any) -> list[str]:
        return [each["entry"] for each in desk.show(**given)["entries"]]

    assert find(limit=3) == ["c1", "m1", "c0000"]
    assert find(side="watch", begins="c09", limit=2) == ["c0900", "c0901"]
    assert find(entity="merchant", begins="c") == ["c1"]
    assert find(side="block") == []
    assert len(find(limit=9_999)) == SHOWN_MAX
    assert [desk.show(begins="c099", limit=limit)["more"] for limit in (9, 10)] == [True, False]
    assert [each["count"] for each in desk.show(side="block")["counts"]] == [2, CHANGED_MAX]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entries": []}, "expected 1 to 1,000 entries"),
        ({"entries": ["x"] * 1_001}, "expected 1 to 1,000 entries"),
        ({"entries": [""]}, "expected non-empty strings"),
        ({"entity": "planet"}, "expected one of"),
        ({"note": Note("x" * 201)}, "expected texts of at most"),
        ({"who": ""}, "expected 1 to"),
        ({"why": " "}, "expected 1 to"),
    ],
)
def test_what_is_wrong_publishes_nothing(
    desk: ListsDesk, published: MemoryLists, change: dict[str, Any], said: str
) -> None:
    given = {"action": "add", "side": "block", "entity": "card", "entries": ["c1"], "note": Note(), **ADA}
    with pytest.raises(Refused, match=said):
        desk.change(**(given | change))
    assert published.acts == []


def test_a_change_is_tried_next_to_what_is_in_force_and_made_by_force_alone_where_it_goes_too_far(
    desk: ListsDesk, published: MemoryLists, tries: Tries
) -> None:
    desk.change("add", "block", "card", ["c1"], Note(), **ADA)
    tries.found = Trial(failed=(("share declined", "the share declined grows by 3.000 points"),))
    change: dict[str, Any] = {"action": "add", "side": "block", "entity": "card", "entries": ["c2"], "note": Note()}
    with pytest.raises(NotPassed, match=r"grows by 3\.000 points"):
        desk.change(**change, **ADA)
    assert [act.action for act in published.acts] == ["publish"]
    done = desk.change(**change, **(ADA | {"force": "agreed"}))
    assert (done["action"], done["trial"]["failed"][0]["gate"]) == ("change", "share declined")
    assert published.acts[1].why == "a wave (forced: agreed; not passed: share declined)"
    document = '{"add":{"block":{"card":["c2"]}}}'
    assert tries.asked[1:] == [("transactions", "lists", document, published.acts[0].hash)]


def test_a_long_trial_is_found_again_and_what_others_change_meanwhile_stays(
    desk: ListsDesk, published: MemoryLists, tries: Tries, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.change("add", "block", "card", ["c1"], Note(), **ADA)
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 0.01)
    tries.go.clear()
    running = desk.change("add", "block", "card", ["c2"], Note(), **ADA)
    assert (running["version"], running["action"], running["trial"]["state"]) == (None, None, "running")
    with pytest.raises(Transient, match="another text"):
        desk.change("add", "block", "card", ["c9"], Note(), **ADA)
    published.who = published.why = "another"
    published.change({"add": {"block": {"card": ["c3", "c2"]}}})
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 60.0)
    tries.go.set()
    assert desk.change("add", "block", "card", ["c2"], Note(), **ADA)["changed"] == 0  # there already
    assert [each["entry"] for each in desk.show()["entries"]] == ["c1", "c2", "c3"]
    assert len(tries.asked) == 2


def test_an_old_version_is_shown_with_its_entries(desk: ListsDesk, tmp_path: Path) -> None:
    write_file(tmp_path, {"version": "file", "block": {"card": ["c0"]}})
    first = desk.change("add", "block", "card", ["c1"], Note(), **ADA)["version"]
    desk.change("remove", "block", "card", ["c0", "c1"], Note(), **ADA)
    shown = desk.show(version=first[:5])
    assert (shown["version"], shown["in_force"], shown["published"]) == (first, False, True)
    assert [each["entry"] for each in shown["entries"]] == ["c0", "c1"]
    shown = desk.show(version="none")
    assert (shown["version"], shown["in_force"], shown["published"]) == ("file", False, False)
    assert [each["entry"] for each in shown["entries"]] == ["c0"]
    assert desk.show()["entries"] == []
    with pytest.raises(UnknownVersion):
        desk.show(version="nothing")


def test_a_version_comes_back_by_an_act_of_its_own(desk: ListsDesk, published: MemoryLists) -> None:
    first = desk.change("add", "block", "card", ["c1"], Note(), **ADA)["version"]
    desk.change("add", "block", "card", ["c2"], Note(), **ADA)
    assert desk.roll_back(first[:5], who="ben", why="too many") == {"version": first, "action": "rollback"}
    assert [each["entry"] for each in desk.show()["entries"]] == ["c1"]
    desk.roll_back("none", who="ben", why="back")
    shown = desk.show()
    assert (shown["published"], shown["entries"], len(shown["history"])) == (False, [], 4)
    with pytest.raises(UnknownVersion):
        desk.roll_back("nothing", who="ben", why="back")
    assert len(published.acts) == 4


def test_with_kafka_away_it_says_so_and_connects_again(desk: ListsDesk, published: MemoryLists) -> None:
    desk.show()
    published.away = Transient("kafka: gone")
    asks: list[Callable[[], Any]] = [
        desk.show,
        lambda: desk.change("add", "block", "card", ["c1"], Note(), **ADA),
        lambda: desk.roll_back("none", **BEN),
    ]
    for ask in asks:
        with pytest.raises(Transient, match="gone"):
            ask()
    published.away = None
    desk.show()
    assert (published.opened, published.acts) == (4, [])
    desk.close()
    assert published.closed >= published.opened
