"""A retraining by a config, with attackers who play before its gates: on real servers, from no model to a promotion.

decides    nothing ------- by config ---------------------------------------
retrain    1: played alone, promoted     2: played next to it, and not passed: no decision is archived
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import weir.cli
from tests.conftest import environment_of
from weir import redteam, retrain
from weir.generators.attack import SHAPES
from weir.infra.settings import Settings
from weir.schemas.gate_bounds import GateBounds
from weir.training.gates.adversarial import COMPARED, TAKEN

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]

CARDS = 60
CONFIG = """
contenders: [lightgbm]
trials: 2
folds: 2
ranges: {lightgbm: {trees: [20, 30]}}
"""
BOUNDS = GateBounds(redteam_usd=1e9, redteam_times=10.0, missing_points=20.0)


@pytest.fixture
def settings(deployment: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment with a history and an archive, in which nothing decides; attackers play one scenario."""
    archive = deployment.archive.model_copy(update={"root": str(tmp_path / "archive")})
    found = deployment.model_copy(update={"home": tmp_path, "archive": archive})
    for name, value in environment_of(found).items():
        monkeypatch.setenv(name, value)
    write_config(tmp_path, monkeypatch)
    assert weir.cli.main(f"generate --to parquet --out {found.history_dir} --cards 800 --days 90".split()) == 0
    return found


def write_config(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a small config, and have the project ask for attackers, who play one scenario with few cards."""
    monkeypatch.setattr(redteam, "CARDS", CARDS)
    monkeypatch.setattr(redteam, "SHAPES", {"bust_out": SHAPES["bust_out"]})
    monkeypatch.setattr(retrain, "load_gate_bounds", lambda _: BOUNDS)
    path = home / "train.yaml"
    path.write_text(CONFIG)
    return path


def _retrain(settings: Settings, capsys: pytest.CaptureFixture[str], *flags: str, code: int) -> Any:
    """Return the evidence of a run."""
    capsys.readouterr()
    found = weir.cli.main(["retrain", "--config", str(settings.home / "train.yaml"), "--json", *flags])
    said = capsys.readouterr()
    assert found == code, _failed(json.loads(said.out))
    return json.loads(said.out)


def _find(run: Any, step: str) -> Any:
    return next(each for each in run["steps"] if each["step"] == step)


def _gates(run: Any) -> dict[str, str]:
    return {each["gate"]: each["found"] for each in _find(run, "gates")["gates"]}


def _failed(run: Any) -> set[str]:
    return {each["gate"] for each in _find(run, "gates")["gates"] if not each["passed"]}


def _play(capsys: pytest.CaptureFixture[str], *flags: str) -> Any:
    capsys.readouterr()
    assert weir.cli.main(["redteam", "--cards", str(CARDS), "--scenario", "bust_out", "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_config_is_searched_played_judged_and_promoted_and_the_next_is_held_to_it(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _retrain(settings, capsys, code=0)
    assert first["outcome"] == "promoted"
    trained = _find(first, "train")
    assert "; by train.yaml: " in trained["found"]
    assert " of MLflow" in trained["found"]
    assert [each["trial"] for each in trained["trials"]] == ["trial-1-lightgbm", "trial-2-lightgbm"]
    assert f"USD taken per 1,000 cards, of {CARDS} (bust_out " in _gates(first)[TAKEN]
    assert (settings.models_dir / f"fraud-{first['version']}" / "redteam.json").is_file()
    assert _gates(first)[COMPARED] == "does not apply: nothing decides yet, so there is no champion"

    second = _retrain(settings, capsys, "--no-track", code=1)
    assert second["outcome"] == "not promoted: gates was not passed"
    assert _failed(second) == {"reproduction"}  # nobody archived what the first one decided
    assert second["champion"] == first["content"]
    assert "trials" in _find(second, "train")  # of the first run: the search had tried them all
    assert _gates(second)[COMPARED].endswith(": 1.00 times")  # the same data and the same search

    played = _play(capsys, "--in-force")
    assert (played["model_version"], played["thresholds"]) == (first["version"], "")
    taken = played["scenarios"]["bust_out"]["adaptive"]["per_thousand_cards_usd"]
    assert f"(bust_out {taken:,.0f})" in _gates(first)[TAKEN]
    strict = settings.home / "thresholds.json"
    strict.write_text('{"review": 0.0, "decline": 1.0}')
    assert weir.cli.main(["thresholds", "publish", str(strict), "--why", "a test"]) == 0
    stopped = _play(capsys, "--in-force")
    assert stopped["model_version"] == first["version"]
    assert stopped["thresholds"]
    assert stopped["scenarios"]["bust_out"]["adaptive"]["taken_usd"] == 0
