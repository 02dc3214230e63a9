"""What an attacker took is kept in the bundle, shown on its card, and held to the project's bound by the gates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.gates.test_judge import GOOD
from weir.inference.model_card import parse_card
from weir.inference.published.gate import Gate
from weir.schemas.errors import Refused
from weir.schemas.gate_bounds import GateBounds, find_bound_faults
from weir.training.gates.adversarial import Attacked, judge_attacked
from weir.training.gates.card import write_gates
from weir.training.gates.judge import Measured, judge
from weir.training.gates.leakage import Taught
from weir.training.redteam.game import Budget, Played, Terms
from weir.training.redteam.record import RECORD_FILE, Recorded, read_record, write_record
from weir.training.redteam.tactics import TACTICS
from weir.training.redteam.view import build_document

TERMS = Terms(Budget(200, 4_000), seed=7, rules="1")
GATES = [Gate("latency", True, "3.0 µs a row", "at most 20.0 µs")]


def _document(version: str = "1", **taken: float) -> dict[str, Any]:
    games = {
        name: tuple(Played(200, 500, 2_500.0, usd * share, TACTICS[0]) for share in (0.5, 1.0))
        for name, usd in taken.items()
    }
    return build_document(version, TERMS, games)  # type: ignore[arg-type]


def _gate(found: Recorded | str | None, bound: float | None = None) -> Gate:
    bounds = GateBounds() if bound is None else GateBounds(redteam_usd=bound)
    attacked = None if found is None else Attacked(found, None)
    gates = judge(Measured("no history", 1e-7, None, (3.0, None), Taught(1, 2), GOOD, attacked), (), bounds)
    (gate,) = (each for each in gates if each.name == "adversarial")
    return gate


def _compare(
    ours: Recorded | str, theirs: Recorded | str | None, bounds: GateBounds | None = None, thresholds: str = ""
) -> Gate:
    return list(judge_attacked(Attacked(ours, theirs, thresholds), bounds or GateBounds()))[1]


def test_what_was_taken_is_read_again_and_stands_on_the_card_before_the_gates(tmp_path: Path) -> None:
    (tmp_path / "model_card.md").write_text("# fraud 1\n\n## Limits\n\nSome.\n")
    write_gates(tmp_path, GATES, "0", at_seconds=0)
    for bust_out in (30_000.0, 50_000.0):  # the second play stands in the place of the first
        write_record(tmp_path, _document(bust_out=bust_out, low_and_slow=20_000.0), "`weir redteam --record`, a day")
    assert read_record(tmp_path, "1") == Recorded({"bust_out": 250_000.0, "low_and_slow": 100_000.0}, 200, TERMS)
    card = parse_card((tmp_path / "model_card.md").read_text())
    assert card.gates == tuple(GATES)
    assert card.text.startswith("# fraud 1\n\n## Limits\n\nSome.\n\n## Red team\n\n`weir redteam --record`, a day")
    assert card.text.count("| bust_out |") == 1
    assert "Model 1: money taken per 1,000 cards, with a budget of 200 cards and 4,000 USD, past its own " in card.text
    assert "thresholds and the rules 1.\n" in card.text
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
    assert list(find_bound_faults({"redteam_times": 1.1})) == []
    (fault,) = find_bound_faults({"redteam_times": -1})
    assert "redteam_times" in fault


def _taken(usd: float, terms: Terms | None = TERMS, scenario: str = "bust_out") -> Recorded:
    return Recorded({scenario: usd}, 200, terms)


def test_the_money_is_held_to_that_taken_past_the_champion() -> None:
    asked = "at most 1.1 times what is taken past the champion"
    assert _compare(_taken(110.0), _taken(100.0)) == Gate(
        "adversarial, next to the champion", True, "110 USD per 1,000 cards, champion 100: 1.10 times", asked
    )
    assert not _compare(_taken(111.0), _taken(100.0)).passed
    assert not _compare(_taken(106.0), _taken(100.0), GateBounds(redteam_times=1.05)).passed
    assert _compare(_taken(200.0), _taken(100.0), GateBounds(redteam_times=2)).passed
    assert (_compare(_taken(0.0), _taken(0.0)).passed, _compare(_taken(1.0), _taken(0.0)).passed) == (True, False)


def test_where_nothing_decides_yet_the_gate_says_that_there_is_no_champion() -> None:
    gate = _compare(_taken(1.0), None)
    assert (gate.passed, gate.found) == (True, "does not apply: nothing decides yet, so there is no champion")


@pytest.mark.parametrize(
    ("ours", "theirs", "thresholds", "why"),
    [
        (_taken(1.0), "nobody has played", "", "the champion: nobody has played"),
        (_taken(1.0), _taken(1.0, None), "", "a play does not say its seed and what decided"),
        (_taken(1.0), _taken(1.0, replace(TERMS, seed=8)), "", "the plays differ in seed, budget, scenarios"),
        (_taken(1.0), _taken(1.0, replace(TERMS, budget=Budget(200, 5_000))), "", "the plays differ in seed, budget"),
        (_taken(1.0), _taken(1.0, replace(TERMS, thresholds="3")), "", "the plays differ in seed, budget, scenarios"),
        (_taken(1.0), _taken(1.0, scenario="device_farm"), "", "the plays differ in seed, budget, scenarios"),
        (_taken(1.0), _taken(1.0), "3", "they were played by own thresholds, in force are the thresholds 3"),
    ],
)
def test_plays_that_are_not_on_the_same_terms_are_not_compared_and_not_passed(
    ours: Recorded, theirs: Recorded | str, thresholds: str, why: str
) -> None:
    gate = _compare(ours, theirs, GateBounds(redteam_times=1_000), thresholds)
    assert not gate.passed
    assert gate.found.startswith(f"not measured: {why}")


def test_nobody_has_to_play_a_model_but_where_the_project_has_a_bound() -> None:
    assert _compare("nobody has played", _taken(1.0)).passed
    assert not _compare("nobody has played", _taken(1.0), GateBounds(redteam_times=2)).passed
    assert not _compare("nobody has played", _taken(1.0), GateBounds(redteam_usd=1e6)).passed


def test_a_play_of_an_earlier_release_is_a_figure_without_terms(tmp_path: Path) -> None:
    document = {name: value for name, value in _document(bust_out=1.0).items() if name != "seed"}
    (tmp_path / RECORD_FILE).write_text(json.dumps(document))
    assert read_record(tmp_path, "1") == Recorded({"bust_out": 5.0}, 200, None)
