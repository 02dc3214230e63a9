"""Rules for a process that serves: nothing is published that has a fault, goes too far, or was not tried to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.inference.published.rules_twin import BAD, GOOD, OTHER, MemoryPublished, Tries, build_rules
from weir.inference.published import trials as trials_module
from weir.inference.published.desk import HasFaults, RulesDesk
from weir.inference.published.gate import Trial
from weir.inference.published.opened import UnknownVersion
from weir.inference.published.trials import NotPassed
from weir.inference.rule_sets import read_rules, rules_of
from weir.schemas.errors import Refused, Transient
from weir.schemas.rules_text import write_rules
from weir.schemas.streams.payments import payments

ADA: dict[str, Any] = {"who": "ada", "why": "a wave", "force": ""}
VERSION = read_rules(GOOD, payments, "rules").version


@pytest.fixture
def published() -> MemoryPublished:
    return MemoryPublished()


@pytest.fixture
def tries() -> Iterator[Tries]:
    made = Tries()
    yield made
    made.go.set()


@pytest.fixture
def desk(published: MemoryPublished, tries: Tries) -> RulesDesk:
    return build_rules(published, tries)


def test_before_the_first_act_the_declared_rules_are_shown_as_a_text(desk: RulesDesk) -> None:
    shown = desk.show()
    assert (shown["version"], shown["published"], shown["history"]) == ("declared", False, [])
    assert shown["text"] == write_rules(rules_of(payments).rules)
    assert [each["name"] for each in shown["rules"]] == [rule.name for rule in payments.rules]


def test_a_check_names_each_fault_with_its_line_and_column(desk: RulesDesk, tries: Tries) -> None:
    found = desk.check(BAD, tries=True)
    assert [(each["line"], each["column"] > 0) for each in found["faults"]] == [(4, True), (5, True)]
    assert "transaction_amount" in found["faults"][0]["fault"]
    assert (found["version"], tries.asked) == (None, [])


def test_a_check_publishes_nothing_and_shows_what_differs(published: MemoryPublished, desk: RulesDesk) -> None:
    found = desk.check(GOOD, tries=False)
    assert (found["version"], found["trial"], published.acts) == (VERSION, None, [])
    assert found["diff"][:2] == ["--- declared", f"+++ {VERSION}"]
    assert "+  - name: night" in found["diff"]


def test_what_passes_is_published_with_who_and_why(published: MemoryPublished, desk: RulesDesk, tries: Tries) -> None:
    done = desk.publish(GOOD, **ADA)
    assert (done["version"], done["trial"]["figures"]) == (VERSION, {"judged": 7, "flips": {}})
    assert tries.asked == [("transactions", "rules", GOOD, write_rules(rules_of(payments).rules))]
    shown = desk.show()
    assert (shown["version"], shown["in_force"], shown["text"]) == (VERSION, True, GOOD)
    assert [(each["who"], each["why"], each["state"]) for each in shown["history"]] == [("ada", "a wave", "in force")]
    assert published.opened == 1


def test_what_goes_too_far_is_published_by_force_alone_and_the_history_says_so(
    published: MemoryPublished, desk: RulesDesk, tries: Tries
) -> None:
    tries.found = Trial(failed=(("share declined", "the share declined grows by 3.000 points, more than 0.5"),))
    with pytest.raises(NotPassed, match=r"grows by 3\.000"):
        desk.publish(GOOD, **ADA)
    assert published.acts == []
    desk.publish(GOOD, **(ADA | {"force": "agreed"}))
    assert published.acts[0].why == "a wave (forced: agreed; not passed: share declined)"
    assert len(tries.asked) == 1  # of the same text next to the same rules


def test_a_text_with_faults_is_neither_tried_nor_published(
    published: MemoryPublished, desk: RulesDesk, tries: Tries
) -> None:
    with pytest.raises(HasFaults):
        desk.publish(BAD, **ADA)
    assert (published.acts, tries.asked) == ([], [])


@pytest.mark.parametrize("given", [{"who": ""}, {"why": " "}, {"why": "x" * 1_001}])
def test_who_and_why_have_to_be_said(desk: RulesDesk, published: MemoryPublished, given: dict[str, str]) -> None:
    with pytest.raises(Refused, match="expected 1 to"):
        desk.publish(GOOD, **(ADA | given))
    assert published.acts == []


def test_a_long_trial_is_found_again_and_another_waits(
    desk: RulesDesk, published: MemoryPublished, tries: Tries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 0.01)
    tries.go.clear()
    assert desk.publish(GOOD, **ADA)["trial"]["state"] == "running"
    assert desk.check(GOOD, tries=True)["trial"]["state"] == "running"
    with pytest.raises(Transient, match="another text"):
        desk.publish(OTHER, **ADA)
    assert published.acts == []
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 60.0)
    tries.go.set()
    assert desk.publish(GOOD, **ADA)["version"] == VERSION
    assert len(tries.asked) == 1


def test_a_trial_that_breaks_off_passes_nothing(desk: RulesDesk, published: MemoryPublished, tries: Tries) -> None:
    tries.error = Transient("no answer within 600 s")
    with pytest.raises(NotPassed, match="no answer within 600 s"):
        desk.publish(GOOD, **ADA)
    assert published.acts == []


def test_what_was_tried_long_ago_or_next_to_others_is_tried_again(published: MemoryPublished, tries: Tries) -> None:
    now = [0.0]
    desk = build_rules(published, tries, monotonic=lambda: now[0])
    desk.check(GOOD, tries=True)
    now[0] = 700.0
    desk.check(GOOD, tries=True)
    assert len(tries.asked) == 2
    published.who = published.why = "another"
    published.publish("rules", [OTHER], "other")
    desk.publish(GOOD, **ADA)
    assert [asked[3] for asked in tries.asked][-1] == OTHER


def test_without_an_archive_what_has_no_fault_is_published_and_the_note_says_so(published: MemoryPublished) -> None:
    done = build_rules(published, None).publish(GOOD, **ADA)
    assert done["trial"]["note"] == "this installation has no archive"
    assert len(published.acts) == 1


def test_a_version_comes_back_by_an_act_of_its_own(published: MemoryPublished, desk: RulesDesk) -> None:
    first, second = (desk.publish(text, **ADA)["version"] for text in (GOOD, OTHER))
    assert desk.show(first)["text"] == GOOD
    assert desk.show(first)["in_force"] is False
    assert desk.roll_back(first[:5], who="ben", why="too many")["version"] == first
    assert desk.show()["text"] == GOOD
    desk.roll_back("none", who="ben", why="back")
    shown = desk.show()
    assert (shown["version"], len(shown["history"])) == ("declared", 4)
    assert [each.action for each in published.acts] == ["publish", "publish", "rollback", "rollback"]
    with pytest.raises(UnknownVersion):
        desk.roll_back("nothing", who="ben", why="back")
    assert second in str(shown["history"])


def test_with_kafka_away_it_says_so_and_connects_again(published: MemoryPublished, desk: RulesDesk) -> None:
    desk.show()
    published.away = Transient("kafka: gone")
    asks: list[Callable[[], Any]] = [
        desk.show,
        lambda: desk.publish(GOOD, **ADA),
        lambda: desk.roll_back("none", who="a", why="b"),
    ]
    for ask in asks:
        with pytest.raises(Transient, match="gone"):
            ask()
    published.away = None
    desk.show()
    assert published.closed >= 1
