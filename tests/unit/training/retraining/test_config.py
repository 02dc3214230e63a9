"""A retraining by a config trains what the search chooses, of the contenders that the config names, and says so."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tests.unit.training.worlds import build_world, make_sound
from weir.inference.published import bundles
from weir.infra.mlflow_store import find_database
from weir.infra.settings import Settings
from weir.retrain import build_parser
from weir.schemas.streams.payments import payments
from weir.training.retraining import steps
from weir.training.retraining.run_log import Run, list_runs
from weir.training.retraining.steps import Done, Retraining, run_steps
from weir.training.search.config import load_config
from weir.training.tracking import BUNDLE_TAG

CONFIG = """
contenders: [logistic_regression, random_forest]
trials: 3
folds: 2
ranges: {random_forest: {trees: [5, 10]}}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Retraining:
    """A run whose gates are not passed; its labelled events are made up."""
    examples, labels, _ = build_world()
    monkeypatch.setattr(steps, "load_source", lambda *_: (make_sound(examples), labels, "a world"))
    monkeypatch.setattr(steps, "_run_gates", lambda _: Done(False, "nobody asked for more"))
    settings = Settings(home=tmp_path).of_stream(payments)
    run = Run(settings.models_dir / "retraining" / "1", ["asked for"], payments.name)
    publisher: Any = SimpleNamespace(why="")
    nothing: Any = SimpleNamespace()
    monkeypatch.setattr(bundles, "find_role", lambda *_: None)
    shown = Console(file=io.StringIO(), width=200)
    arguments = build_parser().parse_args(["--trees", "10", "--no-track"])
    return Retraining(arguments, settings, publisher, nothing, nothing, run, lambda _: None, None, shown)


def _search(work: Retraining) -> None:
    """Have the run search by a config, and record it in MLflow."""
    path = work.settings.home / "train.yaml"
    path.write_text(CONFIG)
    work.arguments.trees, work.arguments.config, work.config = None, path, load_config(path)
    work.arguments.track = True


def _train(work: Retraining) -> tuple[str, dict[str, Any]]:
    """Return what the page of evidence says of the training, and the manifest of what was trained."""
    assert not run_steps(work)
    (run,) = list_runs(work.run.folder.parent)
    step = run.find("train")
    assert step is not None
    assert step["found"] in (run.folder / "evidence.md").read_text()
    (folder,) = work.settings.models_dir.glob(f"*{run.version}")
    return step["found"], json.loads((folder / "manifest.json").read_text())


def test_the_search_of_a_config_trains_one_of_its_contenders_and_the_evidence_names_it(work: Retraining) -> None:
    _search(work)
    work.arguments.track = False
    found, manifest = _train(work)
    said = found.partition("; by train.yaml: ")[2]
    chosen = said.split(" of trial ")[0]
    assert chosen in {"logistic_regression", "random_forest"}
    assert chosen in manifest["metrics"]["test"]
    assert f"chosen by the mean PR-AUC of 2 folds among 3 trials ({chosen} " in said
    assert ", with " in said
    shown: Any = work.console.file
    assert shown.getvalue().count("trial ") == 3


def test_the_trials_are_in_mlflow_and_the_evidence_names_them_and_the_run_above_them(work: Retraining) -> None:
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - seconds to import

    _search(work)
    found, _ = _train(work)
    client = MlflowClient(tracking_uri=f"sqlite:///{find_database(work.settings.home)}")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    (above,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert found.endswith(f"; run {above.info.run_id} of MLflow")
    assert above.data.tags[BUNDLE_TAG] == work.run.content
    below = {run.info.run_name: run.data.metrics for run in runs if run is not above}
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs if run is not above} == {above.info.run_id}
    (run,) = list_runs(work.run.folder.parent)
    step = run.find("train")
    assert step is not None
    assert {each["trial"]: each["metrics"] for each in step["trials"]} == below
    assert len(below) == 3
    page = (run.folder / "evidence.md").read_text()
    for name, metrics in below.items():
        assert f"| {name} | {metrics['pr_auc']:.4f} | 2 | " in page


def test_where_mlflow_does_not_answer_the_run_continues_and_the_evidence_says_so(work: Retraining) -> None:
    mlflow = work.settings.mlflow.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    work.settings = work.settings.model_copy(update={"mlflow": mlflow})
    work.arguments.track = True
    found, _ = _train(work)
    assert "; not recorded: MLflow at http://127.0.0.1:9: expected an answer, found: " in found


def test_without_a_config_it_is_lightgbm_with_fixed_parameters(work: Retraining) -> None:
    found, manifest = _train(work)
    assert found.endswith("on its test interval; lightgbm with fixed parameters")
    assert "lightgbm" in manifest["metrics"]["test"]


def test_what_is_trained_again_says_what_taught_it(work: Retraining) -> None:
    _, manifest = _train(work)
    assert len(manifest["dataset"]["sha256"]) == 64
