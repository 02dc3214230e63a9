"""Steps are done in order, each once, and the first that is not passed ends the run with what decided before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weir.training.retraining import steps
from weir.training.retraining.run_log import Run, list_runs
from weir.training.retraining.steps import Done, Retraining, run_steps

NAMES = ("labels", "train", "gates", "shadow", "canary", "promote")
FUNCTIONS = ("_check_labels", "_train", "_run_gates", "_shadow", "_canary", "_promote")


class _Killed(BaseException):
    """The process is gone."""


class _World:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.not_passed = self.killed_in = ""
        for name, function in zip(NAMES, FUNCTIONS, strict=True):
            monkeypatch.setattr(steps, function, lambda _, name=name: self._do(name))
        self.folder = folder
        Run(folder / "1", ["asked for"], "transactions").save()

    def _do(self, name: str) -> Done:
        if name == self.killed_in:
            raise _Killed
        self.done.append(name)
        return Done(name != self.not_passed, f"{name} done")

    def run(self) -> tuple[bool, Run]:
        (run,) = list_runs(self.folder)
        publisher: Any = SimpleNamespace(why="")
        given: Any = SimpleNamespace()
        return run_steps(Retraining(given, given, publisher, given, given, run, lambda _: None)), run


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _World:
    return _World(tmp_path, monkeypatch)


def test_all_steps_lead_to_a_promotion(world: _World) -> None:
    promoted, run = world.run()
    assert (promoted, run.outcome, tuple(world.done)) == (True, "promoted", NAMES)


@pytest.mark.parametrize("name", NAMES[:-1])
def test_a_step_that_is_not_passed_ends_the_run(world: _World, name: str) -> None:
    world.not_passed = name
    promoted, run = world.run()
    assert (promoted, run.outcome) == (False, f"not promoted: {name} was not passed")
    assert world.done[-1] == name


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_killed_is_continued_by_the_next_from_the_step_that_was_not_done(
    world: _World, name: str
) -> None:
    world.killed_in = name
    with pytest.raises(_Killed):
        world.run()
    world.killed_in = ""
    promoted, run = world.run()
    assert promoted
    assert tuple(world.done) == NAMES
    assert [step["step"] for step in run.steps] == list(NAMES)
