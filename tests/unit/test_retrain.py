"""``weir retrain``: when it does nothing, what it refuses, and how it ends."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.training.choosing.command_world import Publisher
from weir import retrain
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.project import SHIPPED
from weir.training.quality.estimate import DayQuality, Estimate, Quality
from weir.training.retraining.run_log import Run, only_run
from weir.training.search.config import Config


class _World:
    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(home=home)
        self.drift: Any = {"drifted": [], "columns": [{}]}
        self.days: tuple[DayQuality, ...] = ()
        self.ran: list[Run] = []
        self.configs: list[Config | None] = []
        self.promotes = True
        self.decides = "1"
        self.publisher = Publisher()
        monkeypatch.setenv("WEIR_HOME", str(home))
        monkeypatch.setattr(retrain, "Publisher", lambda *_, **__: self.publisher)
        monkeypatch.setattr(retrain, "look_for_drift", self._look)
        monkeypatch.setattr(retrain, "measure_quality", self._measure)
        monkeypatch.setattr(retrain, "run_steps", self._run_steps)
        folder = write_bundle(self.settings.models_dir / "tiny-1", created_time_ms=4_102_444_800_000)
        link_champion(home, folder)

    def _look(self, _: Settings, __: object, version: str) -> Any:
        assert version == self.decides  # of what decides, not of what decided before it
        if isinstance(self.drift, Exception):
            raise self.drift
        return self.drift

    def _measure(self, _: Settings, __: object, *, version: str, days: int) -> Quality:
        assert version == "1"
        if not self.days:
            raise Refused("there are no labels\nand more")
        return Quality(self.days[:days], 1, False, False, 1)

    def _run_steps(self, work: Any) -> bool:
        self.ran.append(work.run)
        self.configs.append(work.config)
        work.run.end("promoted" if self.promotes else "not promoted: gates was not passed")
        return self.promotes

    def run(self, *argv: str) -> int:
        return retrain.main(["retrain", *argv])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _World:
    return _World(tmp_path, monkeypatch)


def test_without_need_nothing_is_trained_and_no_evidence_is_written(
    world: _World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("--if-needed") == 0
    told = "drift: none of 1 columns has drifted\ndecay: cannot be told: there are no labels\nage: "
    assert capsys.readouterr().out.startswith(f"no retraining is needed\n{told}")
    world.drift = Refused("there is no archive")
    assert world.run("--if-needed", "--json") == 0
    assert json.loads(capsys.readouterr().out)["told"][0] == "drift: cannot be told: there is no archive"
    assert world.ran == []
    assert not list(world.settings.models_dir.glob("retraining/*/"))


def test_drift_is_a_need_and_the_exit_code_says_whether_it_was_promoted(
    world: _World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.drift = {"drifted": ["a"], "columns": [{}]}
    assert world.run("--if-needed") == 0
    assert "promoted; evidence: " in capsys.readouterr().out
    assert world.ran[0].why == ["drift: 1 of 1 columns drifted: a"]
    assert (world.ran[0].folder / "evidence.md").is_file()
    world.promotes = False
    world.publisher.publish("champion", [(world.settings.models_dir / "tiny-1" / "manifest.json").read_text()], "1")
    assert world.run() == 1
    assert world.ran[1].why == ["drift: 1 of 1 columns drifted: a", "asked for"]


def test_a_decay_is_a_need_with_its_numbers_on_the_page_of_evidence(world: _World) -> None:
    values = [0.7, 0.72] * 10 + [0.5, 0.52] * 5
    figures = [Estimate(value, value, value) for value in values]
    world.days = tuple(
        DayQuality(date(2026, 1, 1) + timedelta(at), 9, 3, 2, 0.9, each, each, each) for at, each in enumerate(figures)
    )
    assert world.run("--if-needed") == 0
    (run,) = world.ran
    assert [each.split(" (t ")[0] for each in run.why] == [
        f"decay: {name} 51.1% in the newest 7 mature days, 71.0% in the first 14 of the model"
        for name in ("precision", "recall")
    ]
    assert all(why in (run.folder / "evidence.md").read_text() for why in run.why)


def test_a_run_without_an_outcome_is_continued_before_anything_is_looked_at(world: _World) -> None:
    stopped = Run(world.settings.models_dir / "retraining" / "20200101T000000", ["asked for"], "transactions")
    stopped.add("labels", "fine", passed=True, at_ms=1)
    world.drift = AssertionError("nobody asks")
    assert world.run("--if-needed") == 0
    assert [run.folder for run in world.ran] == [stopped.folder]
    assert world.ran[0].steps == stopped.steps


def test_a_second_run_a_full_disk_and_a_lost_topic_are_refused_in_a_sentence(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.settings.models_dir / "retraining"
    with only_run(folder), pytest.raises(Refused, match="expected no other retraining of this stream"):
        world.run()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=12 << 20))
        with pytest.raises(Refused, match=r"expected 256 MB free in .*models, found 12; `weir clean` shows"):
            world.run()
    Run(folder / "20200101T000000", ["asked for"], "transactions", version="2").end("promoted")
    with pytest.raises(Refused, match=r"expected the model 2 on the topic transactions\.published, found none"):
        world.run()
    assert world.ran == []


def test_the_config_is_that_of_the_flag_or_of_the_project_and_none_where_flags_say_how_many_trees(
    world: _World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(SHIPPED, project / "streams", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "weir.toml").write_text('topic_prefix = ""\ndefault = "transactions"\nretrain_config = "train.yaml"\n')
    (project / "train.yaml").write_text("contenders: [xgboost]\n")
    (tmp_path / "other.yaml").write_text("contenders: [random_forest]\n")
    monkeypatch.chdir(project / "streams")
    world.promotes, world.decides = False, ""  # the project has models of its own
    for flags in ([], ["--config", str(tmp_path / "other.yaml")], ["--quick"], ["--trees", "9"]):
        world.run(*flags)
    assert [each and list(each.spaces) for each in world.configs] == [["xgboost"], ["random_forest"], None, None]
    (project / "train.yaml").write_text("contenders: [xgbost]\n")
    with pytest.raises(Refused, match=r"train.yaml:1:14: contenders: .*did you mean 'xgboost'"):
        world.run()
    (project / "train.yaml").unlink()
    with pytest.raises(Refused, match=r"train.yaml: expected a training config, found none"):
        world.run()


def test_a_config_next_to_a_number_of_trees_is_misuse(world: _World) -> None:
    with pytest.raises(SystemExit) as stopped:
        world.run("--config", "train.yaml", "--quick")
    assert stopped.value.code == 2
    assert world.ran == []
