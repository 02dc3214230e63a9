"""Every trial makes some scores again by the model that gave them: which, what it says, and what it finds."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import weir.cli
from weir.archive.objects import hash_content
from weir.archive.whatif import past, rescoring

SAMPLED, PART_ROWS = 60, 100
Document = dict[str, Any]


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home whose decisions are many parts, of which few rows are drawn."""
    home = tmp_path / "home"
    shutil.copytree(built, home)
    (home / "rules.yaml").write_text("rules: [{name: tried, then: TAG, why: a, when: transaction_amount > 100}]\n")
    monkeypatch.setenv("WEIR_HOME", str(home))
    monkeypatch.chdir(home)
    monkeypatch.setattr(rescoring, "SAMPLED", SAMPLED)
    monkeypatch.setattr(past, "PART_ROWS", PART_ROWS)
    return home


def _try(capsys: pytest.CaptureFixture[str]) -> tuple[int, Document, Document]:
    code = weir.cli.main(["whatif", "--rules", "rules.yaml", "--json"])
    found = json.loads(capsys.readouterr().out)
    return code, found, found["reproduction"]["scores"]


def _raise_scores(home: Path, share: float) -> set[tuple[int, int]]:
    """Add next to nothing to some logged scores, so that no decision is another; return the places of all of them."""
    table = DeltaTable(str(home / "archive" / "decisions"))
    rows = table.to_pyarrow_table()
    scores = np.array(rows["score"].to_pylist(), np.float64)
    chosen = (np.random.default_rng(3).random(len(scores)) < share) & (scores > 0)
    scores[chosen] = np.nextafter(scores[chosen].astype(np.float32), np.float32(2))
    place = rows.schema.get_field_index("score")
    column = pa.array(scores, rows.schema.field(place).type, from_pandas=True)
    write_deltalake(table, rows.set_column(place, rows.schema.field(place), column), mode="overwrite")
    return {(row["partition"], row["offset"]) for row in rows.filter(pa.array(chosen)).to_pylist()}


def test_each_part_has_its_share_made_again_and_each_run_the_same(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = len(DeltaTable(str(home / "archive" / "decisions")).to_pyarrow_table())
    (code, found, scores), (_, again, _) = _try(capsys), _try(capsys)
    parts = math.ceil(rows / PART_ROWS)
    assert code == 0
    assert SAMPLED <= scores["checked"] <= SAMPLED + parts
    assert (scores["differing"], scores["unsure"]) == (0, 0)
    assert found == again
    assert f"{scores['checked']:,} scores were made again by the model that gave them: 0 differ" in found["notes"]


def test_a_score_that_was_altered_is_named_though_it_changes_no_decision(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    altered = _raise_scores(home, 1.0)
    code, found, scores = _try(capsys)
    assert code == 1
    assert 0 < scores["differing"] <= scores["checked"] < len(altered)
    named = {(each["partition"], each["offset"]) for each in found["reproduction"]["differences"]}
    assert len(named) == min(10, scores["differing"])
    assert named <= altered
    assert "scores come out otherwise" in found["faults"][0]


def test_of_few_decisions_every_score_is_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rescoring, "SAMPLED", 10_000)
    altered = _raise_scores(home, 0.2)
    code, _, scores = _try(capsys)
    assert (code, scores["differing"]) == (1, len(altered))


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("bundle", "its bundle cannot be found"),
        ("model", "in the archive as it was kept, found none"),
        ("declarations", "ask with the release"),
    ],
)
def test_a_model_that_cannot_be_asked_is_said_and_what_was_logged_is_tried_all_the_same(
    what: str, why: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (kept,) = (home / "archive/_bundles").rglob("*.json")
    manifest = json.loads(kept.read_text())
    if what == "model":
        (home / "archive/_objects" / manifest["model_sha256"]).unlink()
    else:
        kept.unlink()
    if what == "declarations":
        other = json.dumps(manifest | {"features": ["none_of_this_stream"], "reference": [None]})
        kept.with_name(f"{hash_content(other.encode())}.json").write_text(other)
    code, found, scores = _try(capsys)
    assert (code, scores["checked"], bool(found["judged"])) == (0, 0, what != "bundle")
    (note,) = [note for note in found["notes"] if note.startswith("scores of model golden 1 are not checked: ")]
    assert why in note
