"""Visits of simulated customers: the people of the payments, a truth that is hard to guess, a ceiling that is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.generators.worlds import END_MS, events, population
from weir.generators.cli import main
from weir.generators.events import compute_transactions
from weir.generators.seeds import rng_for
from weir.generators.visits.history import _APART_MS, average_precision, draw_visits, measure
from weir.generators.visits.journeys import CART, CHECKOUT, STEPS_MAX
from weir.generators.visits.live import Visits
from weir.generators.visits.steps import Steps, compute_clicks, compute_purchases, compute_sessions
from weir.schemas.durations import DAY_MS
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.project import load_shipped
from weir.schemas.records.validation import validate_events, validate_labels
from weir.schemas.streams.sessions import sessions

DAYS = 30


def steps(days: int = DAYS) -> Steps:
    return draw_visits(population(), END_MS - days * DAY_MS, END_MS)


def test_customers_and_their_devices_are_those_of_the_payments() -> None:
    clicks, payments = compute_clicks(steps(), population()), compute_transactions(events(), population())
    paying = dict(zip(payments["customer_id"].to_pylist(), payments["card_id"].to_pylist(), strict=True))
    assert set(clicks["customer_id"].to_pylist()) <= set(population().customer_names.to_pylist())
    assert len(set(clicks["customer_id"].to_pylist()) & set(paying)) > 500
    owned = {(row["customer_id"], row["device_id"]) for row in payments.to_pylist() if row["device_id"]}
    seen = [(row["customer_id"], row["device_id"]) for row in clicks.to_pylist()]
    assert sum(pair in owned for pair in seen) / len(seen) > 0.5


@pytest.mark.parametrize("name", ["clicks", "sessions"])
def test_every_event_and_label_is_sound_and_has_an_id_of_its_own(name: str) -> None:
    stream, compute = load_shipped(name).stream, compute_clicks if name == "clicks" else compute_sessions
    batch = compute(steps(), population())
    keys = [key.encode() for key in batch["customer_id"].to_pylist()]
    now = np.full(batch.num_rows, END_MS)
    assert validate_events(stream, batch, keys=keys, append_time_ms=now, placeholders=BUILT_IN) == []
    assert len(set(batch["click_id"].to_pylist())) == batch.num_rows
    labels = compute_purchases(steps(), population())
    later = now + 2 * DAY_MS
    assert validate_labels(sessions, labels, keys=keys, append_time_ms=later, placeholders=BUILT_IN) == []
    assert labels["click_id"].equals(batch["click_id"])


def test_a_longer_past_contains_a_shorter_one_and_another_seed_is_another_world() -> None:
    longer, shorter = steps(), steps(10)
    assert compute_clicks(longer.take(slice(-len(shorter), None)), population()).equals(
        compute_clicks(shorter, population())
    )
    other = draw_visits(population(12), END_MS - 10 * DAY_MS, END_MS)
    assert not compute_clicks(other, population(12)).equals(compute_clicks(shorter, population()))


def test_visits_of_a_customer_are_apart_and_end() -> None:
    found = steps()
    order = np.lexsort((found.time_ms, found.customer))
    same = found.customer[order][1:] == found.customer[order][:-1]
    new = found.visit[order][1:] != found.visit[order][:-1]
    gaps = np.diff(found.time_ms[order])
    assert gaps[same & new].min() >= _APART_MS
    assert gaps[same & ~new].max() < _APART_MS
    assert found.step.max() <= STEPS_MAX


def test_the_chance_that_is_drawn_with_is_right_at_every_level() -> None:
    found = steps(60)
    first = found.take(found.step == 1)
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.0)):
        within = (first.buys >= low) & (first.buys < high)
        expected, spread = first.buys[within].mean(), 4 * np.sqrt(0.25 / within.sum())
        assert first.bought[within].mean() == pytest.approx(expected, abs=spread)


def test_the_ceiling_is_above_what_any_page_says_and_that_above_knowing_nothing() -> None:
    found = steps(60)
    figures = measure(found)
    carts = average_precision(found.bought, found.carts + 3.0 * (found.kind == CHECKOUT))
    assert figures.ceiling > 1.3 * carts > 1.3 * 1.5 * figures.base_rate
    assert figures.ceiling > 1.5 * figures.popularity
    assert figures.ceiling < 0.9, "a simulator whose truth can be read off measures no model"


def test_no_single_page_gives_a_purchase_away() -> None:
    found = steps(60)
    for kind in (CART, CHECKOUT):
        share = found.bought[found.kind == kind].mean()
        assert 0.05 < share < 0.75


def naive_average_precision(truth: list[bool], scores: list[float]) -> float:
    total, found = 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [is_true for is_true, score in zip(truth, scores, strict=True) if score >= threshold]
        total += (sum(chosen) - found) / sum(truth) * sum(chosen) / len(chosen)
        found = sum(chosen)
    return total


def test_average_precision_is_what_it_is_by_hand() -> None:
    rng = rng_for(3)
    for _ in range(50):
        truth, scores = rng.random(40) < 0.3, rng.integers(0, 10, 40) / 10
        truth[0] = True
        expected = naive_average_precision(truth.tolist(), scores.tolist())
        assert average_precision(truth, scores) == pytest.approx(expected)


def test_live_moments_are_filled_once_each_by_visits_in_their_order() -> None:
    times = [END_MS + block * 5_000 + np.arange(0, 5_000, 10) for block in range(12)]
    one, other = Visits(population(), END_MS), Visits(population(), END_MS)
    blocks = [one.fill(block) for block in times]
    assert all(np.array_equal(block.time_ms, moments) for block, moments in zip(blocks, times, strict=True))
    again = [other.fill(moments) for moments in times]
    assert all(np.array_equal(block.visit, same.visit) for block, same in zip(blocks, again, strict=True))
    visit, step = np.concatenate([b.visit for b in blocks]), np.concatenate([b.step for b in blocks])
    for each in np.unique(visit):
        assert step[visit == each].tolist() == list(range(1, (visit == each).sum() + 1))
    assert (step > 3).mean() > 0.1, "visits continue, and are not all begun"


@pytest.mark.parametrize(
    ("stream", "files"), [("clicks", {"clicks", "truth"}), ("sessions", {"sessions", "labels", "truth"})]
)
def test_a_history_is_written_with_its_truth_and_its_ceiling(
    stream: str, files: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--to", "parquet", "--out", "h", "--days", "5", "--cards", "300", "--end-ms", str(END_MS), "--json"]
    assert main(["generate", "--stream", stream, *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {path.stem for path in (tmp_path / "h").iterdir()} == files
    rows = pq.read_metadata(tmp_path / "h" / f"{stream}.parquet").num_rows
    assert rows == summary["steps"] == pq.read_metadata(tmp_path / "h" / "truth.parquet").num_rows > 500
    assert summary["base_rate"] < summary["ceiling"] < 1
    assert "bought" not in pq.read_schema(tmp_path / "h" / f"{stream}.parquet").names
