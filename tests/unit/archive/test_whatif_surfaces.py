"""What-if gives the answer that the stream gives: both decide the same rows, one from columns and one from records."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

import weir.cli
from tests.golden.decided import LISTS, build_reader
from tests.golden.shipped import bundle_folder
from tests.unit.inference.occlusion import Oracle
from tests.unit.inference.test_rule_surfaces import CONDITIONS
from weir.archive.records import Record
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.core.decisions import OUTCOMES, Judgement
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.rules import RuleSet
from weir.inference.decide import Decider
from weir.inference.rule_sets import read_rules, rules_of
from weir.schemas.streams.payments import payments

KINDS = {
    "decline": "then: DECLINE",
    "tag": "then: TAG",
    "alert": "then: ALERT",
    "shadow": "then: REVIEW, mode: shadow",
}
TEXT = "rules:\n" + "".join(
    f'  - {{name: {kind}{n}, code: R{n}, why: a, {said}, when: "{when}"}}\n'
    for kind, said in KINDS.items()
    for n, when in enumerate(CONDITIONS)
)
Row = dict[str, Any]


@dataclass(frozen=True)
class _Still:
    bundle: Bundle
    lists: Lists
    rules: RuleSet
    thresholds: None = None


def _read(home: Path, topic: str) -> list[Row]:
    found: list[Row] = DeltaTable(str(home / "archive" / topic)).to_pyarrow_table().to_pylist()
    return sorted(found, key=lambda row: (row["source_partition"], row["source_offset"]))


def _decide(home: Path, bundle: Path, rules: RuleSet) -> Judgement:
    """Decide the records of the feature rows as a scorer does, from their bytes."""
    read = build_reader().from_avro([Record("features", row) for row in _read(home, "features")])
    assert not read.unreadable
    lists = parse_lists(LISTS, list(payments.id_field_of))
    still = _Still(load_bundle(bundle, stream=payments), lists, rules)
    return Decider(still, payments).decide(read.batch).judgement


def _change(home: Path, name: str, change: Callable[[pa.Table], Any]) -> None:
    """Write a column of the archived decisions as something else."""
    table = DeltaTable(str(home / "archive" / "decisions"))
    read = table.to_pyarrow_table()
    place = read.schema.get_field_index(name)
    write_deltalake(table, read.set_column(place, read.schema.field(place), change(read)), mode="overwrite")


def _flips(home: Path, judged: Judgement) -> dict[str, int]:
    was = [row["decision"] for row in _read(home, "decisions")]
    now = [OUTCOMES[outcome] for outcome in judged.outcomes.tolist()]
    return dict(Counter(f"{one} → {other}" for one, other in zip(was, now, strict=True) if one != other))


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Row]:
    code = weir.cli.main(["whatif", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def home(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIR_HOME", str(built))
    monkeypatch.chdir(built)
    return built


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle that decides otherwise: the model's score counts from another threshold on."""
    folder = tmp_path_factory.mktemp("other") / "bundle"
    shutil.copytree(bundle_folder(), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"version": "other", "thresholds": {"review": 0.05, "decline": 0.3}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_rules_hold_in_a_trial_of_the_very_rows_of_which_they_hold_in_the_stream(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "surfaces.yaml").write_text(TEXT)
    code, found = _run(capsys, "--rules", "surfaces.yaml")
    judged = _decide(home, bundle_folder(), read_rules(TEXT, payments, "surfaces.yaml"))
    by_name = {rule["name"]: rule for rule in found["rules"]}
    tagged = Counter(tag for tags in judged.tags for tag in tags)
    for n in range(len(CONDITIONS)):
        hits = [by_name[f"{kind}{n}"]["hits"] for kind in KINDS]
        assert hits == [tagged[f"R{n}"]] * len(KINDS), CONDITIONS[n]
        assert tagged[f"alert:R{n}"] == tagged[f"R{n}"]
        assert by_name[f"shadow{n}"]["hits"] == judged.shadow_hits.get(f"shadow{n}", 0)
    decided = Counter(judged.decided_by)
    assert {name: rule["decides"] for name, rule in by_name.items()} == {name: decided[name] for name in by_name}
    assert (code, found["flips"]) == (0, _flips(home, judged))
    assert len(found["flips"]) > 1


def test_another_model_decides_in_a_trial_as_it_does_in_the_stream(
    home: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = _run(capsys, "--model", str(other))
    assert (code, found["flips"]) == (0, _flips(home, _decide(home, other, rules_of(payments))))
    assert found["flips"]
    rows = len(_read(home, "decisions"))
    assert found["reproduction"]["scores"] == {"checked": rows, "remembered": 0, "differing": 0, "unsure": 0}


def test_a_range_that_was_verified_is_not_scored_again_until_it_changes(
    built: Path, tmp_path: Path, other: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    rows = len(_read(tmp_path, "decisions"))
    for remembered in (0, rows):
        code, found = _run(capsys, "--model", str(other), "--verify")
        scores = {"checked": rows, "remembered": remembered, "differing": 0, "unsure": 0}
        assert (code, found["reproduction"]["scores"]) == (0, scores)
    _change(tmp_path, "score", lambda read: pc.multiply(read["score"], 1 + 1e-6))
    code, found = _run(capsys, "--model", str(other), "--verify")
    assert (code, found["reproduction"]["scores"]["remembered"]) == (1, 0)
    assert found["reproduction"]["scores"]["differing"] > 0
    assert {each["field"] for each in found["reproduction"]["differences"]} == {"score"}


def test_the_recorded_probability_and_set_are_checked_by_the_map_of_the_model_that_decided(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the scores were verified before: what is remembered is of scores."""
    home = tmp_path / "home"
    shutil.copytree(built, home)
    monkeypatch.setenv("WEIR_HOME", str(home))
    own = home / "models" / "sure"  # called as the one that decided, which the archive keeps
    shutil.copytree(bundle_folder(), own)
    worth = {
        "version": 1,
        "scores": [0, 0.4, 1],
        "probabilities": [0, 0.1, 0.8],
        "positive_from": 0.1,
        "negative_to": 0.5,
    }
    manifest = json.loads((own / "manifest.json").read_text())
    (own / "manifest.json").write_text(json.dumps(manifest | {"calibration": worth}))
    oracle = Oracle(own, payments)
    for name in ("probability", "prediction_set"):
        _change(home, name, partial(_rate, oracle, name))
    rows = len(_read(home, "decisions"))
    ask = ("--thresholds", "0.3,0.8", "--verify")
    for remembered in (0, rows):
        code, found = _run(capsys, *ask)
        scores = {"checked": rows, "remembered": remembered, "differing": 0, "unsure": 0}
        assert (code, found["reproduction"]["scores"]) == (0, scores)
    _change(home, "probability", lambda read: pc.multiply(read["probability"], 1 + 1e-6))
    _change(home, "prediction_set", lambda read: pa.array(["BOTH", *read["prediction_set"].to_pylist()[1:]]))
    code, found = _run(capsys, *ask)
    assert (code, found["reproduction"]["scores"]["remembered"]) == (1, rows)
    assert found["reproduction"]["scores"]["unsure"] == sum(row["score"] > 0 for row in _read(home, "decisions"))
    assert "probabilities or prediction sets come out otherwise" in found["faults"][0]
    assert {each["field"] for each in found["reproduction"]["differences"]} == {"probability"}


def _rate(oracle: Oracle, name: str, read: pa.Table) -> pa.Array:
    return pa.array([None if score is None else oracle.rate(score)[name] for score in read["score"].to_pylist()])
