"""What thresholds do: the figures are those that plain Python counts, of the archive and of any scores."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.archive.decided import build_archive
from weir.archive.place import Place
from weir.archive.whatif.curve import worker
from weir.archive.whatif.curve.figures import GRID, CurveTally
from weir.archive.whatif.curve.measure import CurveReader
from weir.archive.whatif.labels import FRAUD, GOOD, UNKNOWN
from weir.archive.whatif.past import Part, Past
from weir.inference.api.models.document import THRESHOLDS
from weir.infra.settings import load_settings
from weir.schemas.durations import DAY_MS
from weir.schemas.streams.payments import payments

Row = dict[str, Any]
CUTS = (0.375, 0.625)
_SCORE = st.one_of(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]), st.floats(0, 1, width=32))
_EVENT = st.tuples(_SCORE, st.sampled_from([UNKNOWN, GOOD, FRAUD]), st.sampled_from([0.0, 5.0, 1e6, math.nan]))


def count(events: list[tuple[float, int, float]], threshold: float) -> Row:
    """Return what a threshold does, event by event."""
    stakes = [0.0 if math.isnan(stake) else stake for _, _, stake in events]
    over = [np.float32(score) >= np.float32(threshold) for score, _, _ in events]
    frauds = [(each, stake) for each, (_, verdict, _), stake in zip(over, events, stakes, strict=True) if verdict == 1]
    goods = [(each, stake) for each, (_, verdict, _), stake in zip(over, events, stakes, strict=True) if verdict == 0]
    return {
        "flagged": sum(over),
        "fraud_caught": sum(each for each, _ in frauds),
        "fraud_let_through": sum(not each for each, _ in frauds),
        "good_flagged": sum(each for each, _ in goods),
        "money_caught": sum(stake for each, stake in frauds if each),
        "money_let_through": sum(stake for each, stake in frauds if not each),
        "money_of_good": sum(stake for each, stake in goods if each),
    }


def shares(counts: Row, events: int) -> Row:
    def divide(part: int, whole: int) -> float:
        return part / whole if whole else math.nan

    good, fraud = counts["good"], counts["fraud_caught"] + counts["fraud_let_through"]
    return {
        "flagged_share": divide(counts["flagged"], events),
        "precision": divide(counts["fraud_caught"], counts["fraud_caught"] + counts["good_flagged"]),
        "recall": divide(counts["fraud_caught"], fraud),
        "false_positive_rate": divide(counts["good_flagged"], good),
    }


@settings(deadline=None)
@given(
    st.lists(_EVENT, max_size=40),
    st.lists(st.one_of(st.sampled_from(GRID), st.floats(0, 1)), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_each_threshold_does_what_a_look_at_each_event_says(
    events: list[tuple[float, int, float]], thresholds: list[float], parts: int
) -> None:
    tally = CurveTally(thresholds)
    for part in (events[place::parts] for place in range(parts)):
        scores, verdicts, stakes = ([each[place] for each in part] for place in range(3))
        tally.add(np.array(scores, np.float32), np.array(verdicts, np.int8), np.array(stakes, np.float64))
    points = tally.points()
    assert [each.threshold for each in points] == sorted(each.threshold for each in points)
    assert {np.float32(each) for each in thresholds} == {np.float32(each.threshold) for each in points}
    for point in points:
        wanted = count(events, point.threshold)
        wanted |= shares(wanted | {"good": sum(verdict == GOOD for _, verdict, _ in events)}, len(events))
        found = {name: getattr(point, name) for name in wanted}
        assert found == pytest.approx(wanted, nan_ok=True)
    assert (tally.events, tally.known, tally.frauds) == (
        len(events), sum(verdict >= 0 for _, verdict, _ in events), sum(verdict == FRAUD for _, verdict, _ in events),
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    build_archive(home)
    return home


def read(home: Path, topic: str) -> list[Row]:
    rows: list[Row] = DeltaTable(str(home / "archive" / topic)).to_pyarrow_table().to_pylist()
    return rows


def find_verdicts(home: Path) -> dict[tuple[str, str], bool | None]:
    """Return the newest label of each event; of two of one time a withdrawal, then fraud, counts."""
    rank = {False: 0, True: 1, None: 2}
    labels = [label for label in read(home, "labels") if label["id"] is not None]
    labels.sort(key=lambda each: (each["label_time_ms"] or 0, rank[each["is_fraud"]]))
    return {(label["card_id"], label["id"]): label["is_fraud"] for label in labels}


def ask(home: Path, monkeypatch: pytest.MonkeyPatch, version: str = "1", days: int = 366) -> Row:
    monkeypatch.setenv("WEIR_HOME", str(home))
    monkeypatch.chdir(home)
    found: Row = json.loads(worker.answer(payments.name, "golden", version, CUTS, days) or b"null")
    return found


def test_the_figures_are_those_of_the_logged_scores_and_their_labels(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ask(home, monkeypatch)
    rows = {(row["source_partition"], row["source_offset"]): row for row in read(home, "features")}
    verdicts = find_verdicts(home)
    events, unscored, young = [], 0, 0
    decisions = read(home, "decisions")
    newest_ms = max(each["append_ms"] for each in (*decisions, *read(home, "labels")))
    for each in decisions:
        if each["ingest_time_ms"] > newest_ms - payments.label_hold_ms:
            young += each["score"] is not None
            continue
        row = rows[each["source_partition"], each["source_offset"]]
        verdict = {True: FRAUD, False: GOOD, None: UNKNOWN}[verdicts.get((each["card_id"], each["id"]))]
        unscored += each["score"] is None
        if each["score"] is not None:
            amount = row["transaction_amount"]
            events.append((each["score"], verdict, math.nan if amount is None else abs(amount)))
    assert (found["events"], found["decided"], found["shadow"], found["unscored"], found["young"]) == (
        len(events), len(events), 0, unscored, young,
    )  # fmt: skip
    assert found["known"] == sum(verdict >= 0 for _, verdict, _ in events) > 20
    assert (found["has_money"], found["is_cut_short"]) == (True, False)
    assert set(found) - {"has_money"} == set(THRESHOLDS["required"]) - {
        "name", "version", "thresholds", "currency", "note",
    }  # fmt: skip
    assert set(found["points"][0]) == set(THRESHOLDS["properties"]["points"]["items"]["required"])
    assert {*CUTS} <= {point["threshold"] for point in found["points"]}
    for point in found["points"]:
        wanted = count(events, point["threshold"])
        assert {name: point[name] for name in wanted} == pytest.approx(wanted)
    assert found["points"][0]["fraud_caught"] > 0
    assert found["points"][-1]["precision"] is None or found["points"][-1]["flagged"] > 0


def test_a_model_that_scored_nothing_has_no_figures(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(home, monkeypatch, version="other")
    assert (found["events"], found["known"], found["points"]) == (0, 0, [])


def test_without_an_archive_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(tmp_path, monkeypatch) is None


def test_where_time_is_up_the_days_that_were_read_have_to_do(home: Path) -> None:
    settings = load_settings({"WEIR_HOME": str(home)}).of_stream(payments)
    past = Past(Place(str(home / "archive")), payments, settings.topics.of(payments))
    found = CurveReader(past, itertools.count(step=60).__next__).measure("golden", "1", CUTS, 366)
    assert (found.tally.events, found.first_ms, found.is_cut_short) == (0, found.end_ms, True)


class _Past:
    """Two days of a few decisions instead of an archive."""

    stream, labels = payments, None
    newest_ms, newest_decision_ms, oldest_decision_ms = 10**13, 3 * DAY_MS - 1, DAY_MS + 5

    def __init__(self, rows: list[Row]) -> None:
        self.rows, self.asked = rows, list[tuple[int, int]]()

    def parts(self, since_ms: int, until_ms: int, *, more: tuple[str, ...]) -> Iterator[Part]:
        self.asked.append((since_ms, until_ms))
        rows = [row for row in self.rows if since_ms <= row["ms"] < until_ms]
        plain: Row = {"card_id": "c", "id_hash": 1, "ingest_time_ms": 0, "score": 0.2}
        plain |= {"model_name": "m", "model_version": "1"}
        if rows:
            names = [*plain, *more]
            table = pa.table({name: [(plain | row).get(name) for row in rows] for name in names})
            yield Part(date(1970, 1, 1), table, (0, 0))


def test_scores_of_a_shadow_count_for_it_alone_and_days_are_read_from_the_newest_on() -> None:
    as_shadow = {"shadow_score": 0.8, "shadow_model_name": "m", "shadow_model_version": "2"}
    past = _Past([{"ms": DAY_MS + 5}, {"ms": 2 * DAY_MS, **as_shadow}, {"ms": 3 * DAY_MS - 1, "score": None}])
    reader = CurveReader(cast(Past, past), lambda: 0.0)

    def measure(version: str) -> tuple[int, int, int, int]:
        found = reader.measure("m", version, (0.5,), 9)
        (point,) = [each for each in found.tally.points() if each.threshold == 0.5]
        return found.decided, found.shadow, found.unscored, point.flagged

    assert measure("1") == (2, 0, 1, 0)
    assert measure("2") == (0, 1, 0, 1)
    assert measure("3") == (0, 0, 0, 0)
    assert past.asked[:2] == [(2 * DAY_MS, 3 * DAY_MS), (DAY_MS + 5, 2 * DAY_MS)]
