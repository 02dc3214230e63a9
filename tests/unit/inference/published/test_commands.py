from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from tests.unit.inference.published.lists_twin import MemoryLists
from tests.unit.inference.published.rules_twin import MemoryPublished
from weir.inference.core.rules import RuleSet
from weir.inference.published import cli
from weir.inference.published.act import NONE
from weir.inference.published.content import Standing
from weir.inference.published.gate import Trial
from weir.inference.published.proposals.settling import NotSettled
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import Refused
from weir.schemas.rules_text import write_rules
from weir.schemas.streams.payments import payments

FILE = """\
rules:
  - name: night
    why: nobody buys at night
    when: transaction_amount > 100
    then: REVIEW
    mode: shadow
"""


class Nobody:
    """A publisher of a stream for which nothing is published yet."""

    standing = Standing()
    log = SimpleNamespace(find=lambda _, version: {"none": NONE}[version], version=lambda _, content: content)

    def publish(self, kind: str, texts: list[str], version: str) -> SimpleNamespace:
        del texts
        return SimpleNamespace(kind=kind, version=version, action="publish", who="me", why="a try")


class Recorder(Nobody):
    """Publishes to a list."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.who, self.why = "ada", "a try"

    def publish(self, kind: str, texts: list[str], version: str) -> SimpleNamespace:
        self.acts.append(self.why)
        return super().publish(kind, texts, version)


def _given(**more: object) -> Any:
    given = {"kind": "rules", "json": False, "force": "", "try_first": None, "settings": Settings().of_stream(payments)}
    return SimpleNamespace(**(given | more))


def test_a_first_file_is_shown_against_the_declared_rules_that_it_replaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.yaml").write_text(FILE)
    assert cli._publish(_given(file=tmp_path / "rules.yaml"), Nobody()) == 0  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    gone = [line.removeprefix("-- name: ") for line in lines if line.startswith("-- name: ")]
    assert "--- declared" in lines
    assert gone == [rule.name for rule in payments.rules]


def test_declared_rules_are_shown_as_a_file_that_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._show(_given(version=""), Nobody()) == 0  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    assert shown.startswith("# nothing is published: the stream's declared rules are in force\n")
    assert read_rules(shown, payments, "shown").digest == rules_of(payments).digest
    assert write_rules(()) == ""


def _fail(_: object, __: str, ___: object, before: RuleSet, *, quiet: bool) -> Trial:
    assert before.digest == rules_of(payments).digest
    del quiet
    return Trial(failed=(("share declined", "the share declined grows by 2 points, more than 0.5"),))


def test_what_does_not_pass_a_gate_is_not_published_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(FILE)
    published = Recorder()
    with pytest.raises(
        Refused, match=r"grows by 2 points, more than 0\.5\nrules: nothing was published; .* --force WHY"
    ):
        cli._publish(_given(file=tmp_path / "rules.yaml", try_first=_fail), published)  # type: ignore[arg-type]
    assert published.acts == []


def test_why_it_was_forced_is_in_the_act_with_what_was_not_passed(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(FILE)
    published = Recorder()
    given = _given(file=tmp_path / "rules.yaml", try_first=_fail, force="agreed")
    assert cli._publish(given, published) == 0  # type: ignore[arg-type]
    assert published.acts == ["a try (forced: agreed; not passed: share declined)"]


def test_a_force_without_need_records_nothing(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(FILE)
    published = Recorder()
    given = _given(file=tmp_path / "rules.yaml", try_first=lambda *_, **__: Trial(), force="to be sure")
    assert cli._publish(given, published) == 0  # type: ignore[arg-type]
    assert published.acts == ["a try"]


@pytest.mark.parametrize("kind", ["rules", "lists"])
def test_what_needs_two_people_is_proposed_listed_and_approved_or_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: Literal["rules", "lists"]
) -> None:
    asked = {"WEIR_HOME": str(tmp_path), "WEIR_PUBLISHING__FOUR_EYES": '["rules", "allow"]'}
    of = partial(_given, kind=kind, settings=load_settings(asked).of_stream(payments))
    published: Any = MemoryPublished() if kind == "rules" else MemoryLists()

    def propose(number: int) -> str:
        published.who, published.why = "ada", "a wave"
        if kind == "rules":
            (tmp_path / "rules.yaml").write_text(FILE.replace("100", str(number)))
            cli._publish(of(file=tmp_path / "rules.yaml"), published)
        else:
            note = {"reason": "a partner", "source": "", "until": 0}
            cli._add(of(list="allow", entity="merchant", entry=[f"shop-{number}"], **note), published)
        said = capsys.readouterr().out
        assert f"with `weir {kind} approve ID --why WHY`" in " ".join(said.split())
        return str(published.log.proposals.list(kind)[0].proposal.id)

    first, second = propose(1), propose(2)
    assert published.acts == []
    cli._list_proposals(of(proposal=""), published)
    assert capsys.readouterr().out.count("waiting") == 2
    cli._list_proposals(of(proposal=first[:8]), published)
    assert {"rules": "+    when: transaction_amount > 1", "lists": "+ allow merchant shop-1 (a partner)"}[
        kind
    ] in capsys.readouterr().out
    with pytest.raises(NotSettled, match="another person"):
        cli._approve(of(proposal=first), published)
    published.who, published.why = "ben", "agreed"
    cli._approve(of(proposal=first[:8]), published)
    cli._reject(of(proposal=second), published)
    assert "is rejected" in capsys.readouterr().out
    assert [(act.who, act.id) for act in published.acts] == [("ben", first)]
    cli._list_proposals(of(proposal="", json=True), published)
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["state"], each["settled_by"]) for each in shown] == [("rejected", "ben"), ("approved", "ben")]


def test_lists_that_are_published_whole_wait_if_an_allow_list_grows(tmp_path: Path) -> None:
    asked = {"WEIR_HOME": str(tmp_path), "WEIR_PUBLISHING__FOUR_EYES": '["allow"]'}
    published: Any = MemoryLists()
    published.who, published.why = "ada", "the list of May"
    given = _given(kind="lists", settings=load_settings(asked).of_stream(payments), file=tmp_path / "may.json")
    given.file.write_text('{"allow": {"merchant": ["shop-1"]}}')
    cli._publish_lists(given, published)
    assert published.acts == []
    assert len(published.log.proposals.list("lists")) == 1
    given.file.write_text('{"block": {"merchant": ["shop-2"]}}')
    cli._publish_lists(given, published)
    assert [act.action for act in published.acts] == ["publish"]
