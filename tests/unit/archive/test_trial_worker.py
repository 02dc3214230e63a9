"""A trial in a child: it says what the command says, and one that takes too long passes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from weir.archive.whatif.worker import try_text
from weir.inference.published.act import NONE
from weir.inference.published.content import write_json
from weir.inference.rule_sets import rules_of
from weir.schemas.errors import Transient
from weir.schemas.rules_text import write_rules
from weir.schemas.streams.payments import payments

ALL = """\
rules:
  - {name: everything, why: a test, when: transaction_amount is not None, then: DECLINE}
"""


@pytest.fixture
def before(built: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WEIR_HOME", str(built))
    monkeypatch.setenv("WEIR_PUBLISHING__TRIAL_DAYS", "3650")
    return write_rules(rules_of(payments).rules)


def test_what_goes_too_far_is_named_and_what_changes_nothing_passes(before: str) -> None:
    strict, same = (try_text("transactions", "rules", text, before) for text in (ALL, before))
    assert [name for name, _ in strict.failed][:1] == ["share declined"]
    assert strict.figures is not None
    assert strict.figures["would_be"]["DECLINE"] > 2 * strict.figures["decided"]["DECLINE"]
    assert strict.figures["judged"] == sum(strict.figures["would_be"].values())
    assert (same.note, same.failed) == ("", ())


def test_a_change_of_lists_is_tried_next_to_those_in_force(before: str) -> None:
    del before  # the home is set
    cards = [f"card-{number}" for number in range(97)]
    wide, none = (
        try_text("transactions", "lists", write_json({"add": {"block": {"card": entries}}}), NONE)
        for entries in (cards, ["nobody"])
    )
    assert [name for name, _ in wide.failed][:1] == ["share declined"]
    assert wide.figures is not None
    assert wide.figures["would_be"]["DECLINE"] > 2 * wide.figures["decided"]["DECLINE"]
    assert (none.note, none.failed) == ("", ())


def test_a_trial_without_an_end_is_ended(before: str) -> None:
    with pytest.raises(Transient, match=r"no answer within 0\.001 s"):
        try_text("transactions", "rules", ALL, before, seconds_max=0.001)
