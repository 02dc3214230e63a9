"""Evidence for one decision, from an archive alone: what was recorded, what is computed now, and the proof of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from deltalake import DeltaTable

from tests.golden.decided import LISTS
from tests.golden.records import decode, parse_schema
from tests.golden.shipped import bundle_folder
from tests.unit.archive.decided import NEWEST, topics
from tests.unit.archive.test_prove import SCRIPT
from weir.archive.evidence.case import collect, describe
from weir.archive.evidence.show import build_tables
from weir.archive.in_force.given import Given
from weir.archive.place import Place
from weir.infra.settings import Settings
from weir.monitoring.terminal import print_tables
from weir.schemas.errors import Refused, WeirError
from weir.schemas.streams.payments import payments

Document = dict[str, Any]


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "home"))


def _decisions() -> list[Document]:
    schema = parse_schema(NEWEST["decisions"])
    return [decode(each.entry.value or b"", schema) for each in topics()["decisions"]]


def _answer(home: Path, event_id: str, given: Given | None = None) -> Document:
    settings, root = Settings(home=home), Place(str(home / "archive"))
    return describe(settings, root, collect(settings, root, event_id), given or Given())


def _of_each_kind() -> list[str]:
    """An id for each outcome and for each that decided."""
    found: dict[tuple[str, str], str] = {}
    for decision in _decisions():
        found.setdefault((decision["decision"], decision["decided_by"]), decision["transaction_id"])
    assert len(found) >= 4
    return list(found.values())


def test_a_decision_of_each_kind_is_made_again_bit_for_bit(built: Path) -> None:
    recorded = {each["transaction_id"]: each for each in _decisions()}
    for event_id in _of_each_kind():
        decision = _answer(built, event_id)["decision"]
        assert decision["is_same"] is True, decision["differences"]
        assert decision["differences"] == {}
        assert decision["recorded"]["score"] == recorded[event_id]["score"]
        assert decision["computed"] == decision["recorded"]


def test_an_answer_names_what_was_in_force_and_every_record(built: Path) -> None:
    event_id = _of_each_kind()[0]
    answer = _answer(built, event_id)
    manifest = json.loads((bundle_folder() / "manifest.json").read_bytes())
    in_force = answer["decision"]["in_force"]
    assert in_force["model"]["sha256"] == manifest["model_sha256"]
    assert in_force["thresholds"] == manifest["thresholds"]
    assert in_force["lists_version"] == LISTS["version"]
    assert [each["topic"] for each in answer["coordinates"]][:3] == ["transactions", "features", "decisions"]
    assert answer["event"]["record"][payments.id] == event_id
    assert list(answer["features"]["vector"]) == list(payments.feature_names)


def _ids(home: Path, topic: str) -> set[str]:
    rows = DeltaTable(str(home / "archive" / topic)).to_pyarrow_table(columns=["id"])
    return set(rows["id"].drop_null().to_pylist())


def test_a_label_that_came_is_shown(built: Path) -> None:
    event_id = min(_ids(built, "labels") & _ids(built, "decisions"))
    found = _answer(built, event_id)
    assert found["label"]["record"]["transaction_id"] == event_id
    assert "labels" in {each["topic"] for each in found["coordinates"]}


def test_the_script_checks_the_proof_of_an_answer(built: Path, tmp_path: Path) -> None:
    answer = _answer(built, _of_each_kind()[0])
    (tmp_path / "proof.json").write_text(json.dumps(answer))
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(tmp_path / "proof.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as it was sealed") == len(answer["coordinates"]) >= 3


def test_an_event_that_is_a_dead_letter_is_shown_with_its_reason(built: Path) -> None:
    refused = sorted(_ids(built, "transactions") - _ids(built, "decisions"))
    answers = [_answer(built, event_id) for event_id in refused]
    assert len(answers) > 2
    assert all(answer["decision"] is None for answer in answers)
    assert all("expected" in answer["dead_letters"][0]["message"] for answer in answers)


def test_lists_of_another_version_are_not_used_and_the_fix_is_named(home: Path) -> None:
    (home / "lists.json").write_bytes(orjson.dumps(LISTS | {"version": "another"}))
    decision = _answer(home, _of_each_kind()[0])["decision"]
    assert decision["is_same"] is None
    assert decision["note"] == (
        "expected lists golden, by which it was decided, in the archive, found none; run `weir archive` where "
        "transactions.published still is, give the file of then with --lists, or put the lists file of then at "
        f"{home / 'lists.json'}, and ask again"
    )


def test_lists_rules_and_thresholds_of_then_are_taken_from_files(home: Path, tmp_path: Path) -> None:
    (home / "lists.json").rename(tmp_path / "lists.json")
    event_id = _of_each_kind()[0]
    decision = _answer(home, event_id)["decision"]
    assert decision["is_same"] is None
    assert "with --lists" in decision["note"]
    assert _answer(home, event_id, Given(lists=tmp_path / "lists.json"))["decision"]["is_same"] is True
    (tmp_path / "thresholds.json").write_text(text := '{"decline": 0.0, "review": 0.0}')
    approved = next(each for each in _decisions() if (each["decision"], each["decided_by"]) == ("APPROVE", "model"))[
        "transaction_id"
    ]
    given = Given(lists=tmp_path / "lists.json", thresholds=tmp_path / "thresholds.json")
    decision = _answer(home, approved, given)["decision"]
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    assert decision["computed"]["rules_version"] == f"{decision['recorded']['rules_version']}+thresholds-{version}"
    assert decision["computed"]["decision"] == "DECLINE"


def test_a_file_of_rules_with_a_fault_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("rules: [{name: 1}]")
    with pytest.raises(Refused, match=r"rules\.yaml"):
        _answer(home, _of_each_kind()[0], Given(rules=tmp_path / "rules.yaml"))


def test_other_thresholds_show_what_was_recorded_and_what_is_computed(home: Path) -> None:
    shutil.rmtree(home / "archive" / "_bundles")
    other = Path(shutil.copytree(bundle_folder(), home / "models" / "other"))
    manifest = json.loads((other / "manifest.json").read_bytes())
    (other / "manifest.json").write_text(json.dumps(manifest | {"thresholds": {"review": 0.0, "decline": 0.0}}))
    event_id = next(
        each["transaction_id"]
        for each in _decisions()
        if each["decision"] == "APPROVE" and each["decided_by"] == "model"
    )
    decision = _answer(home, event_id)["decision"]
    assert decision["is_same"] is False
    assert decision["differences"]["decision"] == {"recorded": "APPROVE", "computed": "DECLINE"}
    assert "score" not in decision["differences"]


def test_of_two_bundles_of_one_name_the_one_that_decided_is_found(home: Path) -> None:
    other = Path(shutil.copytree(bundle_folder(), home / "models" / "other"))
    manifest = json.loads((other / "manifest.json").read_bytes())
    (other / "manifest.json").write_text(json.dumps(manifest | {"thresholds": {"review": 0.0, "decline": 0.0}}))
    assert _answer(home, _of_each_kind()[0])["decision"]["is_same"] is True


def test_a_bundle_that_is_gone_is_said_with_the_fix(home: Path) -> None:
    shutil.rmtree(home / "archive" / "_bundles")
    decision = _answer(home, _of_each_kind()[0])["decision"]
    assert decision["is_same"] is None
    assert decision["recorded"]["score"] is not None
    assert "found none; put its folder into" in decision["note"]


def test_a_model_whose_bytes_were_changed_is_not_decided_by(home: Path) -> None:
    (model,) = (home / "archive" / "_objects").iterdir()
    model.write_bytes(model.read_bytes() + b"\0")
    decision = _answer(home, _of_each_kind()[0])["decision"]
    assert decision["is_same"] is None
    assert "found other bytes" in decision["note"]


def test_an_id_of_which_there_is_nothing_is_said(built: Path) -> None:
    with pytest.raises(WeirError, match="unknown or erased, or not archived yet"):
        _answer(built, "no such id")


def test_an_answer_reads_as_tables(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event_id = _of_each_kind()[0]
    print_tables(build_tables(_answer(built, event_id), payments))
    shown = capsys.readouterr().out
    assert "equal, bit for bit" in shown
    assert event_id in shown
    assert "3 of 3 records in seals up to" in shown
