"""A sample of decisions, made again: none differs, and one that does is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.golden.shipped import bundle_folder
from tests.unit.archive.decided import topics
from tests.unit.inference.occlusion import Oracle
from weir.archive.evidence.cli import main
from weir.archive.evidence.sample import Sampled, Sampler
from weir.archive.in_force.given import Given
from weir.archive.place import Place
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments

ALL = 1_000_000


def _sample(home: Path, count: int = ALL, *, seed: int = 0) -> Sampled:
    return Sampler(Settings(home=home), Place(str(home / "archive")), Given()).run(count, seed=seed)


def test_every_decision_is_made_again_and_none_differs(built: Path) -> None:
    found = _sample(built)
    assert found.made == len(topics()["decisions"])
    assert found.different == []
    assert not found.not_made


def test_a_sample_is_about_as_large_as_asked_and_follows_from_its_seed(built: Path) -> None:
    half = len(topics()["decisions"]) // 2
    first, again, other = _sample(built, half), _sample(built, half), _sample(built, half, seed=1)
    assert first == again
    assert 0.7 * half < first.made < 1.3 * half
    assert other.made != 0


def test_a_decision_that_differs_is_named_with_what_differs(built: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(built, tmp_path / "home"))
    shutil.rmtree(home / "archive" / "_bundles")
    other = Path(shutil.copytree(bundle_folder(), home / "models" / "other"))
    manifest = json.loads((other / "manifest.json").read_bytes())
    (other / "manifest.json").write_text(json.dumps(manifest | {"thresholds": {"review": 0.0, "decline": 0.0}}))
    found = _sample(home)
    assert 0 < len(found.different) < found.made
    assert all(each["differences"]["decision"]["computed"] == "DECLINE" for each in found.different)


def test_a_decision_without_the_probability_that_its_model_gives_is_named(built: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(built, tmp_path / "home"))
    shutil.rmtree(home / "archive" / "_bundles")
    other = Path(shutil.copytree(bundle_folder(), home / "models" / "other"))
    manifest = json.loads((other / "manifest.json").read_bytes())
    worth = {"scores": [0, 0.2, 1], "probabilities": [0, 0.1, 1], "positive_from": 0.05, "negative_to": 0.4}
    (other / "manifest.json").write_text(json.dumps(manifest | {"calibration": {"version": 1, **worth}}))
    found, oracle = _sample(home), Oracle(other, payments)
    assert found.made == len(topics()["decisions"])
    assert len(found.different) > 0.9 * found.made
    for each in found.different:
        assert set(each["differences"]) == {"probability", "prediction_set"}
        assert each["differences"]["probability"]["recorded"] is None
    decided = DeltaTable(str(home / "archive" / "decisions")).to_pyarrow_table().select(["offset", "score"]).to_pylist()
    expected = {row["offset"]: oracle.rate(row["score"]) for row in decided if row["score"] is not None}
    computed = {
        each["at"]["offset"]: {name: each["differences"][name]["computed"] for name in each["differences"]}
        for each in found.different
    }
    assert computed == expected


def test_what_cannot_be_made_again_is_counted_with_the_reason(built: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(built, tmp_path / "home"))
    shutil.rmtree(home / "archive" / "_bundles")
    found = _sample(home)
    assert found.made == 0
    (reason, count), *more = found.not_made.items()
    assert (count, more) == (len(topics()["decisions"]), [])
    assert "put its folder into" in reason


def test_the_command_says_how_many_differ(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(built))
    assert main(["evidence", "again"]) == 0
    assert capsys.readouterr().out == f"{len(topics()['decisions']):,} decisions made again, 0 differ\n"
    assert main(["evidence", "again", "--sample", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["different"] == []
