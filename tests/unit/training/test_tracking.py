from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from weir.infra.settings import Settings
from weir.training.tracking import track_run


def test_a_run_is_recorded_with_its_figures_and_files_and_reports_to_nobody(tmp_path: Path) -> None:
    bundle = tmp_path / "fraud-1"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    folder = tmp_path / "mlruns"
    run_id = track_run(
        Settings(home=tmp_path),
        name="fraud-1",
        now_ms=1_700_000_000_000,
        parameters={"trees": 3},
        metrics={"pr_auc": 0.5},
        bundle=bundle,
    )
    with sqlite3.connect(folder / "mlflow.db") as database:
        found = database.execute("select key, value from metrics where run_uuid = ?", [run_id]).fetchall()
    database.close()
    assert found == [("pr_auc", 0.5)]
    assert list((folder / "artifacts").rglob("manifest.json"))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
