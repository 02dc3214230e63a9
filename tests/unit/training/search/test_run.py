from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.unit.training.worlds import build_world
from weir import train
from weir.training import cli

CONFIG = "trials: 3\nfolds: 2\nranges: {lightgbm: {trees: [5, 15]}}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setattr(cli, "load_history", lambda *_, **__: build_world()[:2])
    (tmp_path / "train.yaml").write_text(CONFIG)
    return tmp_path


def test_a_search_ends_in_a_bundle_of_the_trial_that_is_best_by_validation(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - seconds to import

    assert train.main(["train", "--config", str(home / "train.yaml"), "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    search = document["search"]
    assert search["trials"] == 3
    assert [line.split("PR-AUC")[0].strip() for line in said.err.splitlines() if "PR-AUC" in line][:3] == [
        f"trial   {number} of 3  lightgbm" for number in (1, 2, 3)
    ]
    assert (home / "models" / "champion").resolve() == Path(document["bundle"]).resolve()
    assert document["parity_max_abs_diff"] <= 1e-6
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlruns' / 'mlflow.db'}")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == document["mlflow_run_id"]]
    assert len(below) == 3
    best = max(run.data.metrics["pr_auc"] for run in below if run.data.params["ended_early"] == "False")
    assert best == pytest.approx(search["chosen"]["pr_auc"])
    chosen = client.get_run(document["mlflow_run_id"]).data.params
    assert chosen["trees"] == str(search["chosen"]["parameters"]["trees"])


def test_a_second_run_of_the_same_config_and_data_tries_nothing_and_makes_the_same_model(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    for out in ("first", "second"):
        flags = ["--config", str(home / "train.yaml"), "--no-track", "--json", "--out", str(home / out)]
        assert train.main(["train", *flags]) == 0
        said = capsys.readouterr()
        made.append(onnx.load(str(Path(json.loads(said.out)["bundle"]) / "model.onnx")).graph)
        tried = sum("trial " in line and " of 3" in line for line in said.err.splitlines())
        assert tried == (3 if out == "first" else 0)
    assert made[0] == made[1]


def test_the_defaults_are_printed_as_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["train", "--defaults"]) == 0
    assert "budget_minutes: 60" in capsys.readouterr().out


@pytest.mark.parametrize("flag", [["--quick"], ["--trees", "3"]])
def test_a_config_says_how_many_trees_and_a_flag_that_says_it_too_is_misuse(flag: list[str], home: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        train.main(["train", "--config", str(home / "train.yaml"), *flag])
    assert stopped.value.code == 2
