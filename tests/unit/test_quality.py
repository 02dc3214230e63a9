"""``weir quality`` on archived decisions: what it counts, what it says, and how it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.archive.decided import build_archive, topics
from tests.unit.training.quality.worlds import DAY, Simulated, simulate
from weir import quality
from weir.archive.run import find_root
from weir.archive.whatif.labels import FRAUD, Scanned, hash_events, hash_keys
from weir.archive.whatif.past import ROW
from weir.inference.api.quality.route import QUALITY, read_quality
from weir.inference.core.decisions import OUTCOMES
from weir.infra.settings import load_settings
from weir.monitoring import metrics
from weir.schemas.errors import Refused, Transient
from weir.schemas.streams.payments import payments

_DAYS = 100


@dataclass
class _Past:
    """Simulated days instead of an archive; the feature row of every hundredth decision is lost."""

    events: Simulated
    stream: Any = payments
    labels: Any = None
    newest_ms: int = _DAYS * DAY

    def parts(self, since_ms: int, until_ms: int) -> Any:
        for day in range(_DAYS):
            inside = np.flatnonzero(self.events.decided_ms // DAY == day)
            if since_ms < (day + 1) * DAY <= until_ms:
                yield _Part(day, self._rows(inside))

    def join(self, part: Any, features: Any, fields: Any) -> Any:
        del fields
        assert features == ["transaction_amount"]
        kept = part.decisions.filter(pa.array([number % 100 > 0 for number in part.decisions["id_hash"].to_pylist()]))
        stakes = self.events.stake[kept["id_hash"].to_numpy()]
        return SimpleNamespace(features=stakes.astype(np.float32)[:, np.newaxis], decisions=kept)

    def _rows(self, places: np.ndarray) -> pa.Table:
        names = {
            "card_id": self.events.card[places].astype(str),
            "decision": np.array(OUTCOMES)[self.events.outcome[places]],
            "model_version": np.where(places % 2, "one", "two"),
        }
        numbers = {"id_hash": places, "ingest_time_ms": self.events.decided_ms[places], ROW: np.arange(len(places))}
        return pa.table({name: pa.array(each.tolist()) for name, each in (names | numbers).items()})


@dataclass(frozen=True)
class _Part:
    """As ``past.Part``."""

    day: int
    decisions: pa.Table


def _scan(events: Simulated) -> Scanned:
    known = np.flatnonzero((events.label_ms >= 0) & (events.label_ms <= _DAYS * DAY))
    hashes = hash_events(hash_keys(pa.array(events.card[known].astype(str).tolist())), pa.array(known))
    return Scanned(hashes, events.label_ms[known], np.full(len(known), FRAUD, np.int8))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Simulated:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    events, _ = simulate(5, _DAYS, frauds_a_day=100)
    monkeypatch.setattr(quality, "Past", lambda *_: _Past(events))
    monkeypatch.setattr(quality, "scan_labels", lambda *_, **__: _scan(events))
    return events


@pytest.mark.usefixtures("events")
def test_it_tells_each_day_with_its_interval_as_a_table_as_json_and_as_a_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "quality.html"
    assert quality.main(["quality", "--days", "20", "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "fraud is what is labelled as such within 60.0 days of the decision" in shown
    assert "1970-04-05" in shown
    assert quality.main(["quality", "--days", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["days"]) == 20
    for day in document["days"][2:]:
        for name in ("precision", "recall", "money_lost"):
            assert 0 < day[name]["low"] < day[name]["estimate"] < day[name]["high"]
    assert document["days"][0]["recall"] is None
    kept = read_quality(load_settings().of_stream(payments).models_dir) or {}
    assert kept == document | {"currency": "USD"}
    fields = [set(QUALITY["required"]), set(QUALITY["properties"]["days"]["items"]["required"])]
    assert [set(kept), set(kept["days"][0])] == fields
    text = page.read_text()
    assert text.count("<svg") == 3
    assert text.count("<tr>") == 21
    assert "<script" not in text


def test_the_money_is_that_of_the_fraud_that_was_approved(
    events: Simulated, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quality.main(["quality", "--days", "40", "--json"]) == 0
    oldest = json.loads(capsys.readouterr().out)["days"][-1]
    of_day = (events.decided_ms // DAY == _DAYS - 40) & (events.label_ms >= 0)
    approved = of_day & (events.outcome == 0)
    assert oldest["known_fraud"] == (of_day & (events.label_ms <= _DAYS * DAY)).sum()
    assert oldest["money_lost"]["estimate"] == pytest.approx(events.stake[approved].sum(), rel=0.15)


@pytest.mark.usefixtures("events")
def test_one_model_alone_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    for flags in ([], ["--model", "one"], ["--model", "two"]):
        assert quality.main(["quality", "--json", *flags]) == 0
        counts.append(json.loads(capsys.readouterr().out)["days"][3]["decided"])
    assert counts[0] == counts[1] + counts[2]
    with pytest.raises(Refused, match="expected decisions of model three in the archive, found none"):
        quality.main(["quality", "--model", "three"])


@pytest.mark.usefixtures("events")
def test_the_metrics_have_the_days_of_four_ages() -> None:
    arguments = quality._build_parser().parse_args([])
    quality._look_and_tell(load_settings(), find_root(load_settings()), arguments)
    page = metrics.render_metrics().decode()
    assert 'weir_quality_share{bound="low",days_ago="1",figure="recall",stream="transactions"} NaN' in page
    for age in (7, 14, 30):
        assert f'weir_quality_share{{bound="low",days_ago="{age}",figure="recall",stream="transactions"}} 0.' in page
        assert f'weir_quality_lost_minor{{bound="high",days_ago="{age}",stream="transactions"}}' in page


def test_decisions_and_labels_of_a_real_archive_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_archive(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    assert quality.main(["quality", "--json", "--days", "1000"]) == 0
    days = json.loads(capsys.readouterr().out)["days"]
    assert sum(day["decided"] for day in days) > 0.5 * len(topics()["decisions"])
    assert {day["recall"] for day in days} == {None}  # too few labels to tell how late they are


def test_an_archive_that_is_unreachable_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def look(*_: object, **__: object) -> None:
        raise Transient("archive: unreachable")

    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setattr(quality, "measure_quality", look)
    with pytest.raises(Refused, match="archive: unreachable"):
        quality.main(["quality", "--from", str(tmp_path)])
