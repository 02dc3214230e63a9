"""``weir inspect model`` in a pipe: a row is a line, and no line is wider than a figure."""

from __future__ import annotations

from io import StringIO
from typing import Any

from weir.inference.inspect import cli
from weir.monitoring.terminal import print_tables
from weir.schemas.streams.payments import payments

COLUMNS_MAX = 120
CHAMPION: dict[str, Any] = {
    "name": "lightgbm",
    "version": "20261126-093155",
    "created_time_ms": 1_790_000_000_000,
    "model_sha256": "a" * 64,
    "features": [f"card_event_count_{number}d" for number in range(200)],
    "thresholds": {"review": 0.25, "decline": 0.75},
    "training_interval_ms": [1_780_000_000_000, 1_790_000_000_000],
    "metrics": {
        "test": {
            model: {f"recall_at_{number}": number / 7 for number in range(8)}
            for model in ("lightgbm", "logistic_regression", "one_rule")
        },
        "curve": [number / 7 for number in range(50)],
    },
    "reference": [None] * 200,
}


def test_every_figure_has_a_line_of_its_own_that_fits_a_screen() -> None:
    document: dict[str, Any] = {
        "champion": CHAMPION,
        "directory": "/home/somebody/.weir/models/lightgbm-20261126-093155",
        "rules_version": "1",
        "bundles": [],
        "processes": [],
        "processes_unknown": None,
    }
    written = StringIO()
    print_tables(cli._write_model(document, payments), written)
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= COLUMNS_MAX
    (shown,) = [line for line in lines if "metrics.test.logistic_regression.recall_at_7" in line]
    assert "1.0" in shown
    assert any("metrics.curve" in line and "50 values" in line for line in lines)
    assert any("thresholds.review" in line and "0.25" in line for line in lines)
