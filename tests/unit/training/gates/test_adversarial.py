"""The gates read what was played from the bundles of both models, and hold it to what is in force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.bundles import write_bundle
from weir.inference.bundle import load_bundle
from weir.inference.core.thresholds import Cut, ThresholdTable
from weir.inference.published.bundles import read_folder
from weir.inference.published.gate import Gate
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.gate_bounds import GateBounds
from weir.schemas.streams.payments import payments
from weir.training.choosing.cli import build_parser
from weir.training.gates.adversarial import COMPARED, TAKEN
from weir.training.gates.run import run_gates
from weir.training.redteam.game import Budget, Played, Terms
from weir.training.redteam.record import write_record
from weir.training.redteam.tactics import TACTICS
from weir.training.redteam.view import build_document

TERMS = Terms(Budget(200, 4_000), seed=7, rules="1")


class _World:
    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home).of_stream(payments)
        self.folders = {
            name: write_bundle(self.settings.models_dir / name, version=name) for name in ("challenger", "champion")
        }

    def play(self, name: str, taken_usd: float, terms: Terms = TERMS) -> None:
        game = Played(200, 500, 2_500.0, taken_usd, TACTICS[0])
        write_record(self.folders[name], build_document(name, terms, {"bust_out": (game, game)}), "a test")

    def read_logged(self, *_: Any) -> Any:
        raise Refused("there is no archive")

    def run(self, *, thresholds: ThresholdTable | None = None, has_champion: bool = True) -> dict[str, Gate]:
        arguments = build_parser().parse_args(["check", "challenger"])
        challenger = load_bundle(self.folders["challenger"], stream=payments)
        champion = read_folder(self.folders["champion"]) if has_champion else None
        archive: Any = self
        gates = run_gates(arguments, self.settings, challenger, champion, archive, thresholds, GateBounds())
        return {gate.name: gate for gate in gates}


@pytest.fixture
def world(tmp_path: Path) -> _World:
    return _World(tmp_path)


def test_the_play_of_each_bundle_is_read_and_the_challenger_held_to_the_champion(world: _World) -> None:
    world.play("challenger", 300.0)
    world.play("champion", 200.0)
    gates = world.run()
    assert gates[TAKEN].found.startswith("1,500 USD taken per 1,000 cards")
    assert (gates[COMPARED].passed, gates[COMPARED].found) == (
        False,
        "1,500 USD per 1,000 cards, champion 1,000: 1.50 times",
    )


def test_without_a_champion_the_row_says_so_and_is_passed(world: _World) -> None:
    world.play("challenger", 300.0)
    gate = world.run(has_champion=False)[COMPARED]
    assert (gate.passed, gate.found) == (True, "does not apply: nothing decides yet, so there is no champion")


def test_a_champion_that_nobody_played_is_said_and_a_play_by_other_thresholds_is_no_play(world: _World) -> None:
    world.play("challenger", 200.0)
    gate = world.run()[COMPARED]
    assert not gate.passed
    assert gate.found.startswith("not measured: the champion: nobody has played")
    world.play("champion", 200.0)
    in_force = ThresholdTable("3", Cut(0.5, 0.9))
    assert "in force are the thresholds 3; `weir redteam --in-force" in world.run(thresholds=in_force)[COMPARED].found
    for name in world.folders:
        world.play(name, 200.0, replace(TERMS, thresholds="3"))
    assert world.run(thresholds=in_force)[COMPARED].passed
