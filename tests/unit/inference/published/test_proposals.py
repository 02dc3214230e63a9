"""Proposals: whatever is done in whatever order, nothing is in force that another person did not approve."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.inference.published.acts import UNTIL_MS, build_act, build_proposal, build_rejection, log_act
from tests.unit.inference.published.lists_twin import MemoryLists, build_lists
from tests.unit.inference.published.rules_twin import GOOD, OTHER, MemoryPublished, Tries, build_rules
from weir.inference.core.lists import Lists, Note
from weir.inference.published import diff
from weir.inference.published.act import Act, parse_act
from weir.inference.published.desk import RulesDesk
from weir.inference.published.gate import Trial
from weir.inference.published.lists_desk import ListsDesk
from weir.inference.published.log import PublishedLog
from weir.inference.published.proposals.difference import list_proposals
from weir.inference.published.proposals.record import Proposal, parse_record
from weir.inference.published.proposals.settling import NotSettled, needs_two, propose
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments

ADA: dict[str, Any] = {"who": "ada", "why": "a wave", "force": ""}
BEN: dict[str, Any] = {"who": "ben", "why": "looks right"}
SHOP: dict[str, Any] = {"side": "allow", "entity": "merchant", "entries": ["shop-1"], "note": Note()}


@pytest.fixture
def published() -> MemoryPublished:
    return MemoryPublished()


@pytest.fixture
def rules(published: MemoryPublished) -> Iterator[RulesDesk]:
    tries = Tries()
    yield build_rules(published, tries, '["rules"]')
    tries.go.set()


@pytest.fixture
def changed() -> MemoryLists:
    return MemoryLists()


@pytest.fixture
def lists(changed: MemoryLists, tmp_path: Path) -> ListsDesk:
    return build_lists(changed, tmp_path, None, '["allow"]')


@given(st.lists(st.tuples(st.sampled_from(["propose", "approve", "reject", "again"]), st.integers(0, 3)), max_size=12))
def test_of_approving_and_rejecting_the_first_counts(steps: list[tuple[str, int]]) -> None:
    log, proposals = PublishedLog(), [build_proposal(f"rules: [] # {number}") for number in range(4)]
    stands: dict[str, str] = {}
    for step, number in steps:
        proposal = proposals[number]
        stood = stands.get(proposal.id)
        if step in {"propose", "again"}:
            log.proposals.take(proposal, 1)
            stands.setdefault(proposal.id, "waiting")
        elif step == "approve" and stood is not None:
            act = build_act("rules", proposal.text, id=proposal.id, after=log.newest_id("rules"))
            if stood == "rejected":
                with pytest.raises(Refused, match="nobody rejected"):
                    log.take(log_act(act))
            else:
                assert log.take(log_act(act)) is (stood == "waiting")
                stands[proposal.id] = "approved"
        elif step == "reject":
            if stood is None:
                with pytest.raises(Refused, match="that were proposed"):
                    log.proposals.take(build_rejection(proposal), 2)
            else:
                log.proposals.take(build_rejection(proposal), 2)
                stands[proposal.id] = "rejected" if stood == "waiting" else stood
    found = {each.proposal.id: log.proposals.state(each, UNTIL_MS - 1) for each in log.proposals.list("rules")}
    assert found == stands
    assert {each.act.id for each in log.history("rules")} == {name for name, how in stands.items() if how == "approved"}
    ended = {log.proposals.state(each, UNTIL_MS) for each in log.proposals.list("rules")}
    assert "waiting" not in ended


def test_of_two_that_are_approved_next_to_the_same_rules_the_first_counts() -> None:
    log, proposals = PublishedLog(), [build_proposal(f"rules: [] # {number}") for number in range(2)]
    for proposal in proposals:
        log.proposals.take(proposal, 1)
    first, second = (build_act("rules", each.text, id=each.id) for each in proposals)  # neither knows the other
    log.take(log_act(first))
    with pytest.raises(Refused, match="somebody else was quicker"):
        log.take(log_act(second, 1))
    assert log.newest_id("rules") == first.id
    assert log.proposals.state(log.proposals.list("rules")[0], 0) == "waiting"


def test_a_process_of_before_passes_a_proposal_by_and_this_one_reads_it_back() -> None:
    proposal = build_proposal()
    for record in (proposal, build_rejection(proposal)):
        assert parse_record(record.encode()) == record
        with pytest.raises(Refused, match="expected an act of format 1"):
            parse_act(record.encode())
    with pytest.raises(Refused, match="expected a proposal of format 1"):
        parse_record(proposal.encode().replace(b'"rules: []"', b'"rules: [1]"'))
    with pytest.raises(Refused, match="expected an act"):
        parse_record(b"garbage")


def test_what_is_proposed_is_in_force_once_another_person_approves_it(
    rules: RulesDesk, published: MemoryPublished
) -> None:
    done = rules.publish(GOOD, **ADA)
    assert (done["action"], published.acts) == ("propose", [])
    (shown,) = rules.proposals.show()["proposals"]
    assert (shown["id"], shown["state"], shown["who"], shown["why"]) == (done["proposal"], "waiting", "ada", "a wave")
    assert "+  - name: night" in shown["diff"]
    assert shown["trial"]["figures"] == {"judged": 7, "flips": {}}
    for who in ("ada", " Ada ", "\uff21da"):  # a wide letter looks like another one
        with pytest.raises(NotSettled, match="another person than ada") as own:
            rules.proposals.approve(done["proposal"], who=who, why="me")
        assert own.value.cause == "own_proposal"
    assert published.acts == []
    approved = rules.proposals.approve(done["proposal"][:8], **BEN)
    (act,) = published.acts
    assert (approved["version"], act.text, act.id) == (done["version"], GOOD, done["proposal"])
    assert (act.who, act.why) == ("ben", "a wave (proposed by ada; approved: looks right)")
    (shown,) = rules.proposals.show()["proposals"]
    assert (shown["state"], shown["settled_by"], shown["diff"]) == ("approved", "ben", [])
    with pytest.raises(NotSettled, match=r"found \w+ approved") as closed:
        rules.proposals.reject(done["proposal"], **BEN)
    assert closed.value.cause == "proposal_closed"


def test_what_is_rejected_is_not_approved_later_and_its_author_may_reject_it(
    rules: RulesDesk, published: MemoryPublished
) -> None:
    first, second = (rules.publish(text, **ADA)["proposal"] for text in (GOOD, OTHER))
    assert rules.proposals.reject(first, **BEN)["action"] == "reject"
    rules.proposals.reject(second, who="ada", why="a slip")
    for proposal in (first, second):
        with pytest.raises(NotSettled, match="rejected"):
            rules.proposals.approve(proposal, **BEN)
    assert published.acts == []
    assert [(each["settled_by"], each["settled_why"]) for each in rules.proposals.show()["proposals"]] == [
        ("ada", "a slip"), ("ben", "looks right"),
    ]  # fmt: skip


def test_rules_that_were_proposed_next_to_others_have_to_be_proposed_again(
    rules: RulesDesk, published: MemoryPublished
) -> None:
    first, second = (rules.publish(text, **ADA)["proposal"] for text in (GOOD, OTHER))
    rules.proposals.approve(first, **BEN)
    assert [each["state"] for each in rules.proposals.show()["proposals"]] == ["outdated", "approved"]
    with pytest.raises(NotSettled, match="propose it once more") as outdated:
        rules.proposals.approve(second, **BEN)
    assert outdated.value.cause == "proposal_outdated"
    rules.roll_back("none", **BEN)  # of one person, at once
    rules.proposals.approve(second, **BEN)
    assert published.acts[-1].text == OTHER


def test_who_was_quicker_is_said(rules: RulesDesk, published: MemoryPublished, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (rules.publish(text, **ADA)["proposal"] for text in (GOOD, OTHER))
    put = published.put

    def put_second(proposal: Proposal) -> Act:
        published.who = "cleo"
        return put(proposal).model_copy(update={"who": "ben"})  # what is in the log is by another one

    monkeypatch.setattr(published, "put", put_second)
    with pytest.raises(NotSettled, match="approved") as closed:
        rules.proposals.approve(first, **BEN)
    assert closed.value.cause == "proposal_closed"
    rules.roll_back("none", **BEN)

    def put_third(proposal: Proposal) -> Act:
        published.publish("rules", [GOOD])
        raise Refused(f"{proposal.kind}: somebody else was quicker")

    monkeypatch.setattr(published, "put", put_third)
    with pytest.raises(NotSettled, match="propose it once more") as outdated:
        rules.proposals.approve(second, **BEN)
    assert outdated.value.cause == "proposal_outdated"


def test_a_proposal_ends(rules: RulesDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = rules.publish(GOOD, **ADA)["proposal"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7 * 86_400 + 1)
    with pytest.raises(NotSettled, match="expired"):
        rules.proposals.approve(proposal, **BEN)
    assert rules.proposals.show()["proposals"][0]["state"] == "expired"


@pytest.mark.parametrize("named", ["", "abc", "0" * 32, "../rules"])
def test_a_proposal_that_there_is_not_is_told(rules: RulesDesk, named: str) -> None:
    rules.publish(GOOD, **ADA)
    with pytest.raises(NotSettled) as unknown:
        rules.proposals.approve(named, **BEN)
    assert unknown.value.cause == "unknown_proposal"


@pytest.mark.parametrize("said", [{"who": ""}, {"why": " "}, {"why": "x" * 501}])
def test_who_approves_and_why_have_to_be_said(rules: RulesDesk, said: dict[str, str]) -> None:
    proposal = rules.publish(GOOD, **ADA)["proposal"]
    for settle in (rules.proposals.approve, rules.proposals.reject):
        with pytest.raises(Refused, match="expected 1 to"):
            settle(proposal, **(BEN | said))


def test_the_longest_reasons_fit_into_one_act(rules: RulesDesk, published: MemoryPublished) -> None:
    proposal = rules.publish(GOOD, who="a" * 100, why="w" * 1_000, force="")["proposal"]
    rules.proposals.approve(proposal, who="b" * 100, why="y" * 500)
    assert len(published.acts[0].why) == 1_000
    assert published.acts[0].why.endswith("y" * 500 + ")")


def test_what_goes_too_far_is_proposed_by_force_alone(published: MemoryPublished) -> None:
    tries = Tries()
    tries.found = Trial(failed=(("share declined", "grows by 3 points"),))
    desk = build_rules(published, tries, '["rules"]')
    desk.publish(GOOD, **(ADA | {"force": "agreed"}))
    (shown,) = desk.proposals.show()["proposals"]
    assert (shown["why"], shown["trial"]["failed"][0]["found"]) == (
        "a wave (forced: agreed; not passed: share declined)", "grows by 3 points",
    )  # fmt: skip


def test_an_entry_of_an_allow_list_waits_and_all_else_is_done_at_once(lists: ListsDesk, changed: MemoryLists) -> None:
    block: dict[str, Any] = {"side": "block", "entity": "card", "entries": ["c1"], "note": Note()}
    assert lists.change("add", **block, **ADA)["action"] == "publish"
    proposed = lists.change("add", **SHOP, **ADA)
    assert (proposed["action"], proposed["changed"], len(changed.acts)) == ("propose", 1, 1)
    assert lists.show("allow")["entries"] == []
    assert lists.proposals.show()["proposals"][0]["diff"] == ["+ allow merchant shop-1"]
    lists.change("add", **(block | {"entries": ["c2"]}), **ADA)  # others block all day
    lists.proposals.approve(proposed["proposal"], **BEN)
    assert [each["entry"] for each in lists.show("allow")["entries"]] == ["shop-1"]
    assert [each["entry"] for each in lists.show("block")["entries"]] == ["c1", "c2"]
    assert lists.change("add", **SHOP, **ADA)["action"] == "change"  # it is there
    assert lists.change("remove", **SHOP, **ADA)["action"] == "change"


def test_each_change_of_lists_waits_where_all_lists_need_two(changed: MemoryLists, tmp_path: Path) -> None:
    desk = build_lists(changed, tmp_path, None, '["lists"]')
    assert desk.change("add", **(SHOP | {"side": "block"}), **ADA)["action"] == "propose"
    assert changed.acts == []


def test_of_lists_that_are_published_whole_each_entry_that_differs_is_shown(changed: MemoryLists) -> None:
    settings = Settings().of_stream(payments)
    changed.who, changed.why = "ada", "the list of May"
    changed.publish("lists", ['{"allow": {"merchant": ["m1", {"entry": "m2", "reason": "old"}]}}'])
    text = '{"allow": {"merchant": [{"entry": "m2", "reason": "new", "until": "2026-12-31T00:00:00Z"}, "m3"]}}'
    propose(settings, changed, "lists", [text])  # type: ignore[arg-type]  # a twin
    (shown,) = list_proposals(settings, changed, "lists", 0, proposals_max=9)  # type: ignore[arg-type]
    assert shown["diff"] == [
        "- allow merchant m1",
        "- allow merchant m2 (old)",
        "+ allow merchant m2 (new; until 2026-12-31T00:00:00+00:00)",
        "+ allow merchant m3",
    ]


def test_what_is_too_long_to_show_is_said(lists: ListsDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff, "DIFF_LINES_MAX", 2)
    lists.change("add", **(SHOP | {"entries": ["s1", "s2", "s3", "s4"]}), **ADA)
    (shown,) = lists.proposals.show()["proposals"]
    assert shown["diff"] == ["+ allow merchant s1", "+ allow merchant s2", "and 2 lines more, which are not shown"]


def test_an_entry_that_was_blocked_meanwhile_is_looked_at_again(lists: ListsDesk, changed: MemoryLists) -> None:
    proposed = lists.change("add", **SHOP, **ADA)["proposal"]
    lists.change("add", **(SHOP | {"side": "block"}), **ADA)
    assert lists.proposals.show()["proposals"][0]["state"] == "outdated"
    with pytest.raises(NotSettled, match="found other lists"):
        lists.proposals.approve(proposed, **BEN)
    assert [act.action for act in changed.acts] == ["publish"]


def test_an_entry_whose_end_is_another_one_meanwhile_is_looked_at_again(lists: ListsDesk) -> None:
    watched = SHOP | {"side": "watch", "note": Note("a look", until_ms=UNTIL_MS)}
    lists.change("add", **watched, **ADA)
    proposed = lists.change("add", **SHOP, **ADA)["proposal"]
    lists.change("add", **(watched | {"note": Note("a look", until_ms=UNTIL_MS + 1)}), **ADA)
    with pytest.raises(NotSettled, match="found other lists"):
        lists.proposals.approve(proposed, **BEN)


def test_the_first_allowance_publishes_the_lists_file_with_it(
    lists: ListsDesk, changed: MemoryLists, tmp_path: Path
) -> None:
    (tmp_path / "lists.json").write_text('{"block": {"card": ["c0"]}}')
    proposed = lists.change("add", **SHOP, **ADA)["proposal"]
    lists.proposals.approve(proposed, **BEN)
    assert (changed.acts[0].action, changed.acts[0].id) == ("publish", proposed)
    assert [each["entry"] for each in lists.show()["entries"]] == ["shop-1", "c0"]


@pytest.mark.parametrize(
    ("before", "after", "adds"),
    [
        ({}, {"shop-1": 0}, True),
        ({"shop-1": 0}, {"shop-1": 0}, False),
        ({"shop-1": 0}, {}, False),
        ({"shop-1": 5}, {"shop-1": 5}, False),
        ({"shop-1": 5}, {"shop-1": 6}, True),
        ({"shop-1": 5}, {"shop-1": 0}, True),
        ({"shop-1": 0}, {"shop-1": 5}, False),
    ],
)
def test_an_allow_list_is_added_to_by_an_entry_or_by_a_later_end(
    before: dict[str, int], after: dict[str, int], adds: bool
) -> None:
    def build(ends: dict[str, int]) -> Lists:
        notes = {entry: Note(until_ms=end) for entry, end in ends.items() if end}
        return Lists(allow={"merchant": frozenset(ends)}, notes={("allow", "merchant"): notes})

    asked = load_settings({"WEIR_PUBLISHING__FOUR_EYES": '["allow"]'})
    assert needs_two(asked, build(before), build(after)) is adds
    assert not needs_two(Settings(), build(before), build(after))
