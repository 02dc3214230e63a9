"""What is in force after any sequence of acts, broken ones and garbage among them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.inference.published.acts import build_act, log_act
from weir.inference.core.rules import RuleSet
from weir.inference.model_store import read_published
from weir.inference.published.act import (
    ACT_BYTES_MAX,
    ALIASES,
    NONE,
    Act,
    Alias,
    Kind,
    Logged,
    Parts,
    compute_hash,
    parse_act,
)
from weir.inference.published.content import ContentReader, write_json
from weir.inference.published.log import PublishedLog
from weir.inference.published.settle import NotHere, Settler
from weir.schemas.errors import Refused, Transient
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

CARDS = st.lists(st.sampled_from("abcdef"), max_size=3, unique=True)
STEPS = st.one_of(
    st.tuples(st.just("publish"), CARDS),
    st.tuples(st.just("broken"), st.integers(0, 3)),
    st.tuples(st.just("garbage"), st.binary(max_size=30)),
    st.tuples(st.just("rollback"), st.integers(-1, 30)),
    st.tuples(st.just("add"), CARDS),
    st.tuples(st.just("remove"), CARDS),
    st.tuples(st.just("stale"), CARDS),
    st.tuples(st.just("again"), st.integers(0, 30)),
    st.tuples(st.just("look"), st.none()),
    st.tuples(st.just("restart"), st.none()),
)


def read_no_rules(text: str, stream: Stream, name: str) -> RuleSet:
    """Stand for what reads the text of rules: any but one that says so is a set of none."""
    del stream, name
    if text.startswith("broken"):
        raise Refused("expected rules, found none")
    if text.startswith("bug"):
        raise RecursionError
    return RuleSet("of a text", ())


def build_settler(told: list[tuple[str, str]] | None = None, read_parts: Callable[..., Any] = lambda _: ()) -> Settler:
    """Return what keeps the payments' state, and notes the acts that it refuses."""
    notes = [] if told is None else told
    reader = ContentReader(payments, read_parts, read_no_rules, partial(read_published, payments))
    return Settler(reader.build, lambda logged, reason: notes.append((logged.act.id, reason)))


class Machine:
    """The product's state machine, and next to it a slow model: the lists in force, act by act."""

    def __init__(self) -> None:
        self.log = PublishedLog()
        self.told: list[tuple[str, str]] = []
        self.settler = build_settler(self.told)
        self.records: list[bytes] = []
        self.now: frozenset[str] | None = None
        self.now_hash = NONE
        self.contents: list[tuple[str, frozenset[str] | None]] = []
        self.newest = ""
        self.broken = 0

    def write(self, act: Act) -> None:
        """Append a record, and take it."""
        self.take(act.encode())
        self.newest = act.id

    def take(self, record: bytes) -> None:
        """Take a record as a reader does."""
        self.records.append(record)
        with contextlib.suppress(Refused):
            self.log.take(log_act(parse_act(record), len(self.records)))

    def put(self, act: Act, cards: frozenset[str] | None) -> None:
        """Write a text that is good, or with no cards a broken one."""
        self.write(act)
        self.contents.append((act.hash, cards))
        if cards is None:
            self.broken += 1
        else:
            self.now, self.now_hash = cards, act.hash

    def step(self, name: str, given: Any) -> None:
        """Do one step in both."""
        if name == "publish":
            self.put(build_act("lists", write_json({"block": {"card": given}})), frozenset(given))
        elif name == "broken":
            texts = ("{", "[]", '{"block": {"nobody": ["a"]}}', '{"block": {"card": [""]}}')
            self.put(build_act("lists", texts[given]), None)
        elif name == "garbage":
            self.take(given)
        elif name == "again" and given < len(self.records):
            self.take(self.records[given])  # what has an effect has it once
        elif name == "rollback":
            self._roll_back(given)
        elif name in {"add", "remove"} and self.now is not None:
            text = write_json({name: {"block": {"card": given}}})
            act = build_act("lists", text, action="change", parent=self.now_hash, after=self.newest)
            self.put(act, self.now | set(given) if name == "add" else self.now - set(given))
        elif name == "stale" and self.newest:
            text = write_json({"add": {"block": {"card": given}}})
            self.take(build_act("lists", text, action="change", parent=self.now_hash, after="0" * 32).encode())
        elif name == "look":
            self.settler.settle(self.log)
        elif name == "restart":
            self.settler = build_settler()

    def _roll_back(self, place: int) -> None:
        if place < 0:
            self.write(build_act("lists", None, hash=NONE))
            self.now, self.now_hash = None, NONE
        elif place < len(self.contents):
            content, cards = self.contents[place]
            self.write(build_act("lists", None, hash=content))
            if cards is not None:
                self.now, self.now_hash = cards, content
        else:
            self.take(build_act("lists", None, hash="f" * 64).encode())  # nobody published it


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_in_force_is_the_last_good_version_whatever_stands_between(steps: list[tuple[str, Any]]) -> None:
    machine = Machine()
    for name, given_ in steps:
        machine.step(name, given_)
    machine.settler.settle(machine.log)
    of_a_start = build_settler()
    of_a_start.settle(machine.log)
    for settler in (machine.settler, of_a_start):
        lists = settler.standing.lists
        assert (None if lists is None else frozenset(lists.block.get("card", ()))) == machine.now
        assert settler.standing.content("lists") == machine.now_hash
        assert lists is None or lists.version == machine.now_hash[:12]
    assert len({act for act, _ in machine.told}) == len(machine.told), "an act was refused twice"


@pytest.mark.parametrize("text", ["broken", "bug"])
def test_a_broken_version_is_refused_once_and_the_old_one_continues(text: str) -> None:
    told: list[tuple[str, str]] = []
    settler, log = build_settler(told), PublishedLog()
    log.take(log_act(build_act("rules", "rules: []")))
    assert settler.settle(log) == ["rules"]
    good = settler.standing
    log.take(log_act(broken := build_act("rules", text), 1))
    for _ in range(3):
        assert settler.settle(log) == []
    assert settler.standing is good
    assert [act for act, _ in told] == [broken.id]


def test_a_text_that_cannot_be_read_just_now_is_asked_for_again() -> None:
    answers: list[Any] = [Transient("away"), ['{"block": {"card": ["a"]}}']]

    def read_parts(_: Act) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, Transient):
            raise answer
        return list(answer)

    settler, log = build_settler(read_parts=read_parts), PublishedLog()
    log.take(log_act(build_act("lists", None, action="publish", hash="a" * 64, parts=Parts(count=1, offset=0))))
    with pytest.raises(Transient):
        settler.settle(log)
    assert settler.settle(log) == ["lists"]
    assert settler.standing.lists is not None
    assert settler.standing.lists.block["card"] == {"a"}


def test_of_two_changes_at_one_time_the_second_is_refused_and_none_is_lost() -> None:
    log = PublishedLog()
    log.take(log_act(first := build_act("lists", "{}")))
    changes = [
        build_act("lists", write_json({"add": {"block": {"card": [card]}}}), action="change", parent=first.hash,
                  after=first.id) for card in "ab"
    ]  # fmt: skip
    log.take(log_act(changes[0], 1))
    with pytest.raises(Refused, match="somebody else was quicker"):
        log.take(log_act(changes[1], 2))
    settler = build_settler()
    settler.settle(log)
    assert settler.standing.lists is not None
    assert settler.standing.lists.block["card"] == {"a"}


@pytest.mark.parametrize("kind", ALIASES)
def test_of_two_promotions_at_one_time_the_first_counts_and_a_rollback_always_does(kind: Alias) -> None:
    log = PublishedLog()
    log.take(log_act(build_act(kind, "a")))
    with pytest.raises(Refused, match="somebody else was quicker"):
        log.take(log_act(build_act(kind, "b"), 1))  # both authors knew of nothing
    assert [each.act.text for each in log.history(kind)] == ["a"]
    first = log.newest_id(kind)
    log.take(log_act(build_act(kind, "d", after=first), 3))
    with pytest.raises(Refused, match="somebody else was quicker"):
        log.take(log_act(build_act(kind, "e", after=first), 4))
    log.take(log_act(build_act(kind, None, hash=compute_hash(["a"]), after=first), 5))
    log.take(log_act(build_act(kind, "f", after="0" * 32), 6))  # after an act that no reader could read
    assert [each.act.text for each in log.history(kind)] == ["a", "d", None, "f"]


GOOD = json.loads(build_act("lists", "{}").encode())


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"id": "x"},
        {"kind": "models"},
        {"action": "run"},
        {"hash": "a" * 64},
        {"text": None},
        {"parts": {"count": 1, "offset": 0}},
        {"who": ""},
        {"label": "none"},
        {"label": "a b"},
        {"why": 5},
        {"why": "a" * 1_001},
        {"parent": "b" * 64},
        {"more": 1},
        {"text": "{ }"},
    ],
    ids=str,
)
def test_a_record_that_is_no_act_is_refused_and_not_quoted(changed: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="expected an act"):
        parse_act(json.dumps(GOOD | changed).encode())


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x80\x04\x95",
        b"null",
        b"[" * 100_000,
        b"{" + b'"a":{' * 50_000,
        b"\xff",
        b"a" * (ACT_BYTES_MAX + 1),
    ],
    ids=["null", "empty", "pickle", "json null", "deep list", "deep object", "no utf-8", "long"],
)
def test_garbage_is_refused_in_one_short_line(value: bytes | None) -> None:
    with pytest.raises(Refused) as refused:
        parse_act(value)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


def test_a_version_is_found_by_its_beginning_and_nothing_else() -> None:
    log = PublishedLog()
    log.take(log_act(act := build_act("thresholds", '{"review": 0.5, "decline": 0.9}')))
    assert log.find("thresholds", act.version[:4]) == act.hash
    assert log.find("thresholds", "none") == NONE
    for wrong in ("", act.hash[:3], "ffff", "no such"):
        with pytest.raises(Refused, match=f"expected a version of thresholds .{act.version}"):
            log.find("thresholds", wrong)
    with pytest.raises(Refused, match="none was published"):
        log.find("rules", act.version)


def test_texts_of_one_label_are_one_version_and_the_newest_is_meant() -> None:
    """As rules are that differ in a comment."""
    log = PublishedLog()
    log.take(log_act(first := build_act("rules", "a", label="1")))
    log.take(log_act(second := build_act("rules", "a  # said", label="1"), 1))
    log.take(log_act(other := build_act("rules", "b", label="12345678"), 2))
    assert log.find("rules", "1") == second.hash
    assert log.find("rules", "1234") == other.hash
    assert log.version("rules", first.hash) == log.version("rules", second.hash) == "1"
    settler = build_settler()
    settler.settle(log)
    assert settler.standing.rules is not None
    assert settler.standing.rules.version == "12345678"


def test_the_hash_of_a_text_is_that_of_its_file() -> None:
    # `printf 'ab\n' | sha256sum`
    assert compute_hash(["a", "b\n"]) == "a63d8014dba891345b30174df2b2a57efbb65b4f9f09b98f245d1b3192277ece"


def test_a_bundle_that_is_not_here_is_told_once_and_taken_over_when_it_comes() -> None:
    log, here = PublishedLog(), set[str]()
    told: list[str] = []

    def build(_: Kind, steps: Sequence[Logged]) -> str:
        if (content := steps[-1].act.hash) not in here:
            raise NotHere("expected the bundle, found none")
        return content

    settler = Settler(build, lambda _, reason: told.append(reason))
    first = log_act(build_act("champion", "one"))
    second = log_act(build_act("champion", "two", after=first.act.id), 1)
    log.take(first)
    here.add(first.act.hash)
    assert settler.settle(log) == ["champion"]
    log.take(second)
    assert [settler.settle(log) for _ in range(3)] == [[], [], []]
    assert (settler.standing.content("champion"), list(settler.refused)) == (first.act.hash, [second.act.id])
    here.add(second.act.hash)
    assert settler.settle(log) == ["champion"]
    assert (settler.standing.content("champion"), dict(settler.refused)) == (second.act.hash, {})
    assert len(told) == 1
