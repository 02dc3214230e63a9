"""What the commands print and write, and how they end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weir.benchmark
from weir.benchmark import Done, main
from weir.schemas.streams.payments import payments
from weir.training.benchmarks import page
from weir.training.benchmarks.handbook import ours, published
from weir.training.benchmarks.handbook.equality import Difference
from weir.training.benchmarks.handbook.frauds import PUBLISHED
from weir.training.benchmarks.handbook.metrics import Figures
from weir.training.benchmarks.handbook.run import Chosen, Outcome
from weir.training.benchmarks.handbook.tables import build_page

GOOD, BAD = Figures(0.88, 0.71, 0.31), Figures(0.88, 0.85, 0.31)


def _outcome(found: Figures) -> Outcome:
    none = Figures(0.01, 0.02, 0.003)
    folds = {published.XGBOOST: Chosen("50 trees", Figures(0.87, 0.69, 0.3), none)}
    own = ours.Outcome(43, {"a": (GOOD, none), "b": (BAD, none)}, "b", {"b": ours.Judged(found, none)})
    differences = [Difference("customer_event_count_1d", "CUSTOMER_ID_NB_TX_1D", 10, 9, 10, 0.0, 1.0)]
    single = {published.LOGISTIC: GOOD, published.LIGHTGBM: GOOD}
    return Outcome(PUBLISHED, differences, single, folds, folds, own)


def test_each_table_has_ours_next_to_what_is_published() -> None:
    text = build_page(_outcome(GOOD))
    assert "1,754,155 payments, 14,681 of them fraud" in text
    assert "| `customer_event_count_1d` | `CUSTOMER_ID_NB_TX_1D` | 9 (90.00%) | 10 | 0 | 1 |" in text
    assert "| logistic regression | 0.880 | 0.710 | 0.310 | 0.871 | 0.606 | 0.291 |" in text
    assert "| LightGBM | 0.880 | 0.710 | 0.310 |  |  |  |" in text
    assert "| XGBoost (50 trees) | 0.870 ± 0.010 | 0.690 ± 0.020 | 0.300 ± 0.003 | 0.869 | 0.687 | 0.303 |" in text
    assert "| **b** | 0.880 ± 0.010 | 0.850" in text
    assert "| b | 0.880 ± 0.010 | 0.710" in text


@pytest.mark.parametrize(("found", "code"), [(GOOD, 0), (BAD, 1)])
def test_a_command_writes_its_section_and_fails_on_a_figure_that_cannot_be_true(
    found: Figures, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Done("The title", build_page(_outcome(found)), _outcome(found).ours.find_faults())
    monkeypatch.setattr(weir.benchmark, "_run_handbook", lambda *_: done)
    assert main(["benchmark", "handbook", "--write", str(tmp_path)]) == code
    written = (tmp_path / page.NAME).read_text()
    assert written.startswith("# How well models learn\n")
    assert "## The title\n\n`weir benchmark handbook`, 20" in written
    assert written.endswith(done.body)
    told = capsys.readouterr()
    assert told.out == done.body
    assert ("a leak: expected average_precision <= 0.8, found 0.8500" in told.err) == (code == 1)


def test_a_section_that_is_written_again_leaves_the_others(tmp_path: Path) -> None:
    for title, body in (("a", "first\n"), ("b", "second\n"), ("a", "third\n")):
        page.write_section(tmp_path, title, "about", body)
    assert (tmp_path / page.NAME).read_text().split("## ")[1:] == ["a\n\nabout\n\nthird\n\n", "b\n\nabout\n\nsecond\n"]


@pytest.mark.parametrize("words", [[], ["handbok"], ["simulator", "--cards", "3"], ["handbook", "--days", "4"]])
def test_a_benchmark_that_is_misused_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", *words])
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_the_simulators_command_runs_whole_on_a_small_world(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "simulator", "--cards", "400", "--days", "75"]) == 0
    told = capsys.readouterr().out
    assert "### By scenario" in told
    recalls = [
        line for line in told.splitlines() if line.startswith(f"| and label risk ({len(payments.feature_names)})")
    ]
    assert len(recalls) == 1
    assert np.isfinite(float(recalls[0].split("|")[2]))
