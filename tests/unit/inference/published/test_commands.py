from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from weir.inference.core.rules import RuleSet
from weir.inference.published import cli
from weir.inference.published.act import NONE
from weir.inference.published.content import Standing
from weir.inference.published.gate import Gate
from weir.inference.rule_sets import read_rules, rules_of
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


def _given(**more: object) -> SimpleNamespace:
    given = {"kind": "rules", "json": False, "force": "", "try_first": None} | more
    return SimpleNamespace(settings=SimpleNamespace(stream=payments), **given)


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


def _fail(_: object, __: str, ___: object, before: RuleSet, *, quiet: bool) -> list[Gate]:
    assert before.digest == rules_of(payments).digest
    del quiet
    return [Gate("share declined", False, "the share declined grows by 2 points, more than 0.5", "at most 0.5")]


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
    given = _given(file=tmp_path / "rules.yaml", try_first=lambda *_, **__: [], force="to be sure")
    assert cli._publish(given, published) == 0  # type: ignore[arg-type]
    assert published.acts == ["a try"]
