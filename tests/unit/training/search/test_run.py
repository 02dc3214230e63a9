from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pyarrow as pa
import pytest

from tests.unit.training.worlds import build_world, make_sound
from weir import train
from weir.schemas.errors import WeirError
from weir.training import cli, pipeline
from weir.training.models import Deployable
from weir.training.search import run
from weir.training.search.config import parse_config

CONFIG = "contenders: [lightgbm]\ntrials: 3\nfolds: 2\nranges: {lightgbm: {trees: [5, 15]}}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    examples, labels, _ = build_world()
    monkeypatch.setattr(cli, "load_history", lambda *_, **__: (make_sound(examples), labels))
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


def test_a_search_that_continues_says_so_and_knows_the_best_of_before(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--config", str(home / "train.yaml"), "--no-track", "--out"]
    assert train.main(["train", *flags, str(home / "first")]) == 0
    first = [line for line in capsys.readouterr().err.splitlines() if line.startswith("trial ")]
    (home / "train.yaml").write_text(CONFIG.replace("trials: 3", "trials: 4"))
    assert train.main(["train", *flags, str(home / "second")]) == 0
    said = capsys.readouterr().err
    assert "continues after 3 trials of an earlier run" in said
    (newest,) = [line for line in said.splitlines() if line.startswith("trial ")]
    figures = [float(line.split()[6]) for line in (*first, newest)]
    assert ("best so far" in newest) == (figures[-1] > max(figures[:-1]))


def test_the_defaults_are_printed_as_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["train", "--defaults"]) == 0
    assert "budget_minutes: 60" in capsys.readouterr().out


@pytest.mark.parametrize("flag", [["--quick"], ["--trees", "3"]])
def test_a_config_says_how_many_trees_and_a_flag_that_says_it_too_is_misuse(flag: list[str], home: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        train.main(["train", "--config", str(home / "train.yaml"), *flag])
    assert stopped.value.code == 2


def test_a_contender_whose_graph_is_not_its_model_is_refused_in_a_sentence_and_the_next_best_is_taken(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses: set[str] = set()

    def export(model: Deployable, *given: Any) -> Any:
        if model.name in refuses:
            raise WeirError("parity: expected at most 1e-06, found 0.57; export refused")
        return pipeline.export(model, *given)

    monkeypatch.setattr(run, "export", export)
    text = "contenders: [lightgbm, logistic_regression]\ntrials: 2\nfolds: 2\nranges: {lightgbm: {trees: 9}}\n"
    (home / "train.yaml").write_text(text)
    flags = ["train", "--config", str(home / "train.yaml"), "--no-track", "--json", "--out"]
    chosen = []
    for refused in ("", "logistic regression"):
        refuses.add(refused)
        assert train.main([*flags, str(home / f"without {refused}")]) == 0
        said = capsys.readouterr()
        chosen.append(json.loads(said.out)["search"])
    assert [each["chosen"]["contender"] for each in chosen] == ["logistic_regression", "lightgbm"]
    sentence = "logistic_regression: parity: expected at most 1e-06, found 0.57; export refused"
    assert [each["refused"] for each in chosen] == [[], [sentence]]
    assert "logistic_regression: parity" in said.err
    card = next((home / "without ").glob("fraud-*/model_card.md")).read_text()
    assert "logistic regression. Largest difference" in card
    assert "Mean absolute change of the score" in card
    refuses.add("LightGBM")
    with pytest.raises(WeirError, match="expected a contender that can be exported, found none: logistic_regression: "):
        train.main([*flags, str(home / "nothing")])


def test_a_search_continues_with_more_trials_and_not_with_other_data_ranges_or_order(tmp_path: Path) -> None:
    examples, labels, _ = build_world(rows=500)
    options = pipeline.Options("fraud", 1, "made-up rows", tmp_path, 1, 1, "hash")

    def name(text: str, known: pa.Table = labels) -> str:
        return run.name_study(examples, known, options, parse_config(text, "train.yaml"))

    same = {name("trials: 3"), name("trials: 9\nbudget_minutes: 1")}
    others = [
        name("seed: 3"),
        name("folds: 5"),
        name("ranges: {lightgbm: {trees: 9}}"),
        name("contenders: [lightgbm, xgboost]"),
        name("contenders: [xgboost, lightgbm]"),
        name("trials: 3", labels.slice(1)),
    ]
    assert len(same) == 1
    assert len({*same, *others}) == 7
