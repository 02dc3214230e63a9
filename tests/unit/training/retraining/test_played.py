"""Before its gates a retraining has attackers play both models, where the gates will hold them to each other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.training.choosing.command_world import Publisher
from weir.inference.published.bundles import read_folder
from weir.infra.settings import Settings
from weir.schemas.gate_bounds import GateBounds
from weir.schemas.streams.payments import payments
from weir.training.gates import run as gating
from weir.training.redteam.record import RECORD_FILE
from weir.training.retraining import steps
from weir.training.retraining.run_log import Run
from weir.training.retraining.steps import Done, Retraining, run_steps

UNBOUND, BOUND = GateBounds(), GateBounds(redteam_times=1.2)


class _World:
    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(home=home).of_stream(payments)
        self.played: list[list[str]] = []
        self.judged: list[list[list[str]]] = []
        self.old = write_bundle(self.settings.models_dir / "old", version="old")
        self.new = read_folder(write_bundle(self.settings.models_dir / "new", version="new"))
        monkeypatch.setattr(gating, "run_gates", self._judge)
        monkeypatch.setattr(steps, "_shadow", lambda _: Done(False, "the end"))

    def _judge(self, *_: object) -> list[Any]:
        self.judged.append(list(self.played))
        return []

    def run(self, bounds: GateBounds) -> None:
        run = Run(self.settings.models_dir / "retraining" / "1", ["asked for"], payments.name)
        run.version, run.content = "new", self.new.content
        for step in ("labels", "train"):
            run.add(step, "", passed=True, at_ms=1)
        publisher, nothing = Publisher(), SimpleNamespace()
        given: Any = (nothing, self.settings, publisher, nothing, bounds, run, lambda _: None)
        work = Retraining(*given)
        work.play = lambda _, models: self.played.append([each.manifest.version for each in models])
        run_steps(work)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _World:
    return _World(tmp_path, monkeypatch)


def test_nobody_plays_where_there_is_no_bound_and_the_champion_was_not_played(world: _World) -> None:
    link_champion(world.settings.home, world.old)
    world.run(UNBOUND)
    assert (world.played, world.judged) == ([], [[]])


def test_a_bound_of_the_project_has_both_played_before_they_are_judged(world: _World) -> None:
    link_champion(world.settings.home, world.old)
    world.run(BOUND)
    assert world.judged == [[["new", "old"]]]


def test_where_the_champion_was_played_the_challenger_is_too(world: _World) -> None:
    link_champion(world.settings.home, world.old)
    (world.old / RECORD_FILE).write_text("{}")
    world.run(UNBOUND)
    assert world.judged == [[["new", "old"]]]


def test_where_nothing_decides_a_bound_has_the_challenger_alone_played(world: _World) -> None:
    world.run(BOUND)
    assert world.judged == [[["new"]]]
