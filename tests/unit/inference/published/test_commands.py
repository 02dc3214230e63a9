from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from weir.inference.core.rules import RuleSet
from weir.inference.published import cli
from weir.inference.published.act import NONE
from weir.inference.published.content import Standing
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
        self.why = "a try"

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


def test_what_is_refused_when_it_is_tried_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(FILE)
    published = Recorder()

    def refuse(*_: object, **__: object) -> str:
        raise Refused("too far")

    with pytest.raises(Refused, match="too far"):
        cli._publish(_given(file=tmp_path / "rules.yaml", try_first=refuse), published)  # type: ignore[arg-type]
    assert published.acts == []


def test_why_it_was_forced_is_in_the_act(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(FILE)
    published = Recorder()
    asked: list[str] = []

    def allow(settings: object, kind: str, content: object, before: RuleSet, *, force: str, quiet: bool) -> bool:
        assert before.digest == rules_of(payments).digest
        del settings, kind, content, quiet
        asked.append(force)
        return True

    given = _given(file=tmp_path / "rules.yaml", try_first=allow, force="agreed")
    assert cli._publish(given, published) == 0  # type: ignore[arg-type]
    assert (asked, published.acts) == (["agreed"], ["a try (forced: agreed)"])
