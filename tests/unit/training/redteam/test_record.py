"""What an attacker took is kept in the bundle, shown on its card, and held to the project's bound by the gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.gates.test_judge import GOOD
from weir.inference.model_card import parse_card
from weir.inference.published.gate import Gate
from weir.schemas.errors import Refused
from weir.schemas.gate_bounds import GateBounds, find_bound_faults
from weir.training.gates.card import write_gates
from weir.training.gates.judge import Measured, judge
from weir.training.gates.leakage import Taught
from weir.training.redteam.game import Budget, Played
from weir.training.redteam.record import RECORD_FILE, Recorded, read_record, write_record
from weir.training.redteam.tactics import TACTICS
from weir.training.redteam.view import build_document

GATES = [Gate("latency", True, "3.0 µs a row", "at most 20.0 µs")]


def _document(version: str = "1", **taken: float) -> dict[str, Any]:
    games = {
        name: tuple(Played(200, 500, 2_500.0, usd * share, TACTICS[0]) for share in (0.5, 1.0))
        for name, usd in taken.items()
    }
    return build_document(version, Budget(200, 4_000), games)  # type: ignore[arg-type]


def _gate(found: Recorded | str | None, bound: float | None = None) -> Gate:
    bounds = GateBounds() if bound is None else GateBounds(redteam_usd=bound)
    gates = judge(Measured("no history", 1e-7, None, (3.0, None), Taught(1, 2), GOOD, found), (), bounds)
    (gate,) = (each for each in gates if each.name == "adversarial")
    return gate


def test_what_was_taken_is_read_again_and_stands_on_the_card_before_the_gates(tmp_path: Path) -> None:
    (tmp_path / "model_card.md").write_text("# fraud 1\n\n## Limits\n\nSome.\n")
    write_gates(tmp_path, GATES, "0", at_seconds=0)
    for bust_out in (30_000.0, 50_000.0):  # the second play stands in the place of the first
        write_record(tmp_path, _document(bust_out=bust_out, low_and_slow=20_000.0), "`weir redteam --record`, a day")
    assert read_record(tmp_path, "1") == Recorded({"bust_out": 250_000.0, "low_and_slow": 100_000.0}, 200)
    card = parse_card((tmp_path / "model_card.md").read_text())
    assert card.gates == tuple(GATES)
    assert card.text.startswith("# fraud 1\n\n## Limits\n\nSome.\n\n## Red team\n\n`weir redteam --record`, a day")
    assert card.text.count("| bust_out |") == 1
    assert "Model 1: money taken per 1,000 cards, with a budget of 200 cards and 4,000 USD." in card.text
    assert "| bust_out | 125,000 | 250,000 | 2.0 |" in card.text
    write_gates(tmp_path, GATES, "0", at_seconds=0)
    assert parse_card((tmp_path / "model_card.md").read_text()).text == card.text


def test_a_bundle_without_a_card_gets_one(tmp_path: Path) -> None:
    write_record(tmp_path, _document(bust_out=1.0), "about")
    assert (tmp_path / "model_card.md").read_text().startswith("## Red team\n\nabout\n")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "nobody has played"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ({"scenarios": {}}, "cannot be read"),
        ({"model_version": "0"}, "is of 0"),
        ({"scenarios": {"bust_out": {"adaptive": {"per_thousand_cards_usd": -1}}}}, "cannot be read"),
    ],
)
def test_a_play_that_is_not_of_the_model_is_no_figure_of_it(content: Any, found: str, tmp_path: Path) -> None:
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(_document(bust_out=1.0) | content)
        (tmp_path / RECORD_FILE).write_text(text)
    with pytest.raises(Refused, match=found) as refused:
        read_record(tmp_path, "1")
    assert "`weir redteam --bundle FOLDER --record`" in str(refused.value)


def test_the_gate_shows_every_scenario_and_holds_the_mean_to_the_bound_of_the_project() -> None:
    taken = Recorded({"bust_out": 250_000.0, "low_and_slow": 100_000.0}, 200)
    said = "175,000 USD taken per 1,000 cards, of 200 (bust_out 250,000, low_and_slow 100,000)"
    assert _gate(taken) == Gate("adversarial", True, said, "no bound: redteam_usd in [gates] sets one")
    assert _gate(taken, 175_000) == Gate("adversarial", True, said, "at most 175,000 USD")
    assert not _gate(taken, 174_999).passed


def test_a_model_that_nobody_played_against_is_not_passed_where_there_is_a_bound() -> None:
    assert (_gate("nobody has played").passed, _gate("nobody has played", 1e6).passed) == (True, False)
    assert _gate("nobody has played", 1e6).found == "not measured: nobody has played"
    gate = _gate(None, 1.0)
    assert (gate.passed, gate.found) == (True, "does not apply: attacks are made for the card payments alone")


def test_the_bound_is_a_number_of_the_table_of_gates() -> None:
    assert list(find_bound_faults({"redteam_usd": 300_000})) == []
    (fault,) = find_bound_faults({"redteam_usd": "much"})
    assert "redteam_usd" in fault
