"""Who will buy: the shipped stream of visits, trained as any other, against what a simulator's truth allows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weir.generators.cli import main as generate
from weir.generators.population import build_population
from weir.generators.visits.history import draw_visits, measure
from weir.inference.champion import Champion
from weir.infra.settings import Settings
from weir.schemas.durations import DAY_MS
from weir.schemas.streams.sessions import sessions
from weir.train import main as train

pytestmark = [pytest.mark.verify, pytest.mark.timeout(600)]
CUSTOMERS, DAYS, END_MS = 2_000, 60, 1_790_000_000_000


def test_a_propensity_model_finds_buyers_better_than_popularity_and_no_better_than_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    settings = Settings(home=tmp_path).of_stream(sessions)
    world = ["--cards", str(CUSTOMERS), "--days", str(DAYS), "--end-ms", str(END_MS), "--seed", "7"]
    assert (
        generate(["generate", "--stream", "sessions", "--to", "parquet", "--out", str(settings.history_dir), *world])
        == 0
    )
    capsys.readouterr()
    assert train(["train", "--stream", "sessions", "--maturity-days", "2", "--no-track", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = document["test"]["lightgbm"]["pr_auc"]
    steps = draw_visits(build_population(7, CUSTOMERS), END_MS - DAYS * DAY_MS, END_MS)
    begin_ms, end_ms = document["intervals_ms"]["test"]
    truth = measure(steps.take((steps.time_ms >= begin_ms) & (steps.time_ms < end_ms)))
    assert document["counts"]["test"]["known"] == truth.steps
    assert found >= 1.5 * truth.popularity
    assert found >= 1.5 * truth.base_rate
    assert found <= truth.ceiling
    bundle = Champion(settings).bundle
    assert (bundle.manifest.name, bundle.names) == ("sessions", sessions.feature_names)
