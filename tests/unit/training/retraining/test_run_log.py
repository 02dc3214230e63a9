"""The evidence of a run outlives the run, and one run at a time holds the lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weir.inference.published.gate import Gate
from weir.schemas.errors import Refused
from weir.training.retraining.run_log import Run, list_runs, only_run
from weir.training.tracking import Trial

HOLD = """
import sys, time
from pathlib import Path
from weir.training.retraining.run_log import only_run
with only_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_each_step_is_on_the_page_and_in_the_json_as_soon_as_it_is_done(tmp_path: Path) -> None:
    run = Run(tmp_path / "20260101T000000", ["drift: one column drifted"], "transactions")
    run.save()
    gate = Gate("PR-AUC", False, "-0.2 over champion", "not below | beyond noise")
    run.add("gates", "0 of 1 passed", passed=False, at_ms=1_700_000_000_000, gates=(gate,))
    page = (run.folder / "evidence.md").read_text()
    assert "# Retraining of transactions, 20260101T000000" in page
    assert "Outcome: it runs, or was stopped." in page
    assert "- drift: one column drifted" in page
    assert "### gates: not passed" in page
    assert r"| PR-AUC | FAIL | -0.2 over champion | not below \| beyond noise |" in page
    run.end("not promoted: gates was not passed")
    document = json.loads((run.folder / "evidence.json").read_text())
    assert document["outcome"] == "not promoted: gates was not passed"
    (again,) = list_runs(tmp_path)
    assert again == run
    assert again.find("gates") == run.steps[0]
    assert again.find("shadow") is None


def test_the_trials_of_a_search_are_a_table_of_their_names(tmp_path: Path) -> None:
    run = Run(tmp_path / "20260101T000000", ["asked for"], "transactions")
    given = [("trial-1-lightgbm", "lightgbm", False, [0.5, 0.7]), ("trial-2-xgboost", "xgboost", True, [0.25])]
    trials = [
        Trial(
            name,
            {"contender": contender, "ended_early": early, "trees": 80},
            {"pr_auc": sum(folds) / len(folds)} | {f"pr_auc_fold_{at}": each for at, each in enumerate(folds, 1)},
        )
        for name, contender, early, folds in given
    ]
    run.add("train", "fraud-1", passed=True, at_ms=1_700_000_000_000, trials=trials)
    page = (run.folder / "evidence.md").read_text()
    assert (
        "| trial-1-lightgbm | 0.6000 | 2 | trees 80 |\n| trial-2-xgboost | 0.2500 | 1, ended early | trees 80 |" in page
    )
    (again,) = list_runs(tmp_path)
    again.save()
    assert (run.folder / "evidence.md").read_text() == page


def test_evidence_that_cannot_be_read_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evidence.json").write_text('{"why": []')
    with pytest.raises(Refused, match=r"run/evidence\.json: expected the evidence of a retraining, found none"):
        list_runs(tmp_path)


def test_a_second_run_is_refused_until_the_first_is_gone_however_it_went(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Refused, match="expected no other retraining of this stream, found one that runs"):
            only_run(tmp_path).__enter__()
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    with only_run(tmp_path):
        pass
