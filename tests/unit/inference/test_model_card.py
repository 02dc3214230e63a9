"""A model card is read as it was written: its text, and the gates with their numbers."""

from __future__ import annotations

from pathlib import Path

from weir.inference.model_card import CARD_FILE, parse_card
from weir.inference.published.gate import Gate
from weir.training.gates.card import write_gates

GATES = (
    Gate("PR-AUC", True, "0.700 against 0.690 | +0.010", "at least 0"),
    Gate("stability, \\ | missing inputs", False, "not measured:\nno history", "at most 2"),
)


def test_gates_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / CARD_FILE).write_text("# fraud 7\n\n| figure | value |\n|---|---|\n| recall | pass |\n")
    for champion, said in (("6", "against the champion 6."), ("", "while nothing decided.")):
        write_gates(tmp_path, GATES, champion, at_seconds=1_767_268_800)
        card = parse_card((tmp_path / CARD_FILE).read_text())
        assert card.text.startswith("# fraud 7")
        assert "Gates" not in card.text
        assert card.gates_run == f"Run on 2026-01-01 12:00 UTC, {said}"
        assert card.gates[0] == GATES[0]
        assert (card.gates[1].name, card.gates[1].found) == (GATES[1].name, "not measured: no history")


def test_a_card_without_gates_has_none() -> None:
    card = parse_card("# fraud 7\n\n| figure | value |\n|---|---|\n| recall | pass |\n")
    assert (card.gates, card.gates_run) == ((), "")
