"""``weir monitor`` on archived decisions: what it counts, what it says, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.golden.shipped import bundle_folder
from tests.payments import DAY_MS
from tests.unit.archive.decided import build_archive, topics
from tests.unit.inference.bundles import write_bundle
from tests.unit.training.drift.worlds import NAMES, World
from weir import monitor
from weir.archive.run import find_root
from weir.archive.whatif.past import Past
from weir.inference.bundle import load_bundle
from weir.inference.model_card import DRIFT_FILE
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.schemas.errors import Refused, Transient
from weir.schemas.streams.payments import payments
from weir.training.drift.reference import Reference, build_reference

NOW_MS = 1_700_000_000_000


@dataclass
class _Past:
    """Simulated days instead of an archive: the newest is day 1 of the world, before it is day 0."""

    world: World
    version: str = "two"
    stream: Any = payments
    newest_decision_ms: int = NOW_MS - 1

    def parts(self, since_ms: int, until_ms: int) -> Iterator[Any]:
        for day in range(2):
            end_ms = NOW_MS - day * DAY_MS
            if since_ms < end_ms <= until_ms:
                yield SimpleNamespace(day=day, decisions=self._decisions(day))

    def join(self, part: Any, features: Any, fields: Any) -> Any:
        del features, fields
        values, _, _ = self._days[1 - part.day]
        return SimpleNamespace(features=values, decisions=part.decisions)

    def __post_init__(self) -> None:
        self._days = [self.world.build_day(number) for number in (0, 1)]

    def _decisions(self, day: int) -> pa.Table:
        values, scores, keys = self._days[1 - day]
        names = {"model_name": ["fraud"] * len(values), "model_version": [self.version] * len(values)}
        return pa.table({**names, "score": scores, "card_id": [str(key) for key in keys]})


@dataclass
class _Monitored:
    reference: Reference

    def run(self, *argv: str) -> int:
        return monitor.main(["monitor", *argv])


def _monitored(shift: float, monkeypatch: pytest.MonkeyPatch) -> _Monitored:
    world = World(3, shifted_from=0, shift=shift)
    reference = world.build_reference()
    past = _Past(world)
    monkeypatch.setattr(monitor, "Past", lambda *_: past)
    monkeypatch.setattr(monitor, "_load_reference", lambda *_: reference)
    return _Monitored(reference)


def test_a_shift_is_named_and_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _monitored(0.5, monkeypatch)
    assert shown.run() == 1
    table = capsys.readouterr().out
    assert f"1 of 61 columns drifted: {NAMES[30]}" in table
    assert "model two: 700 decisions of 350 keys in the day until 2023-11-14T22:13Z" in table
    assert shown.run("--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["drifted"] == [NAMES[30]]
    assert document["days"] == [{"rows": 700, "keys": 350}] * 2
    assert {each["name"] for each in document["columns"]} == {*NAMES, "score"}


def test_without_a_shift_the_exit_code_is_0_and_the_metrics_say_so_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _monitored(0.0, monkeypatch)
    assert shown.run() == 0
    assert "none of 61 columns has drifted" in capsys.readouterr().out
    monitor._look_and_tell(Settings(), find_root(Settings()), "")
    page = metrics.render_metrics().decode()
    assert 'weir_drifted_columns{stream="transactions"} 0.0' in page
    assert f'weir_drift_psi{{column="{NAMES[30]}",stream="transactions"}}' in page


def test_what_was_found_is_noted_next_to_the_card_of_the_model_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    one, two = (write_bundle(tmp_path / "models" / f"tiny-{name}", version=name) for name in ("one", "two"))
    assert _monitored(0.5, monkeypatch).run() == 1
    assert json.loads((two / DRIFT_FILE).read_text())["drifted"] == [NAMES[30]]
    assert _monitored(0.0, monkeypatch).run() == 0
    assert json.loads((two / DRIFT_FILE).read_text())["drifted"] == []
    assert sorted(path.name for path in one.iterdir()) == ["manifest.json", "model.onnx"]


def test_another_model_than_any_that_decided_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _monitored(0.0, monkeypatch)
    with pytest.raises(Refused, match="expected decisions of model three in the last 2 days"):
        shown.run("--model", "three")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    build_archive(home)
    return home


def test_a_bundle_without_histograms_says_so_in_one_sentence(home: Path) -> None:
    settings = Settings(home=home)
    with pytest.raises(Refused, match=r"expected reference histograms in the bundle .* found none: it was made before"):
        monitor.look_for_drift(settings, find_root(settings))


def test_the_decisions_of_a_day_are_counted_once_each_with_what_they_were_made_of(home: Path) -> None:
    settings, bundle = Settings(home=home), load_bundle(bundle_folder(), stream=payments)
    past = Past(find_root(settings), payments, settings.topics.of(payments))
    features, decisions = [], []
    for part in past.parts(0, past.newest_decision_ms + 1):
        joined = past.join(part, bundle.names, ())
        features.append(joined.features)
        decisions.append(joined.decisions)
    scores = pa.concat_tables(decisions)["score"].to_numpy(zero_copy_only=False).astype(np.float64)
    values = np.concatenate(features)
    reference = build_reference(values, bundle.names, scores, np.zeros(len(values), np.int64), np.arange(len(values)))
    day = monitor._count_day(past, reference, bundle.manifest.version, past.newest_decision_ms + 1)
    assert day.rows == len(values) == len(topics()["decisions"])
    for counts, column in zip(day.counts, reference.columns.values(), strict=True):
        np.testing.assert_array_equal(counts, column.found)
    assert monitor._count_day(past, reference, "another", past.newest_decision_ms + 1).rows == 0


def test_an_archive_that_is_unreachable_is_not_told_as_drift(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def look(*_: object) -> dict[str, Any]:
        raise Transient("archive: unreachable")

    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setattr(monitor, "look_for_drift", look)
    with pytest.raises(Refused, match="archive: unreachable"):
        monitor.main(["monitor", "--from", str(tmp_path)])
