"""What ``weir schemas`` says and how it exits, on the in-memory twin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.infra.registry_contract import foreign
from weir.infra.registry import cli as schemas_cli
from weir.infra.registry.cli import main
from weir.infra.registry.memory import MemoryRegistry
from weir.schemas.contracts import TOPIC_KINDS, schema_json
from weir.schemas.errors import Refused
from weir.schemas.project import SHIPPED

SUBJECT = "transactions-value"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> MemoryRegistry:
    twin = MemoryRegistry()
    monkeypatch.setattr(schemas_cli, "Registry", lambda _: twin)
    monkeypatch.setenv("WEIR_REGISTRY__URL", "http://registry:8081")
    return twin


def test_register_then_check_is_well_and_says_each_subject(
    registry: MemoryRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weir schemas", "register"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {
        f"{kind}-value" for kind in (*TOPIC_KINDS, "weir.audit")
    }
    assert main(["weir schemas", "check"]) == 0
    assert registry.level(SUBJECT) == "FULL_TRANSITIVE"
    assert registry.level("decisions-value") == "BACKWARD"


def test_a_foreign_newest_version_is_reported_with_its_number_and_the_fix_and_exit_1(
    registry: MemoryRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register(SUBJECT, schema_json("transactions", 1))
    registry.register(SUBJECT, schema_json("transactions", 2))
    registry.register(SUBJECT, foreign("transactions", "without a field"))
    assert main(["weir schemas", "register"]) == 1
    told = capsys.readouterr()
    assert "ours reads v3" in told.err
    assert "merchant_id" in told.err
    assert f"curl -X DELETE http://registry:8081/subjects/{SUBJECT}/versions/3" in told.err
    assert f"{SUBJECT:<24} id 2" in told.out
    assert main(["weir schemas", "check"]) == 1


def test_a_writer_that_may_leave_out_anything_is_no_problem_for_it_is_read_record_by_record(
    registry: MemoryRegistry,
) -> None:
    assert main(["weir schemas", "register"]) == 0
    registry.require_level(SUBJECT, "NONE")
    ours = json.loads(schema_json("transactions"))
    fields = [{"name": field["name"], "type": ["null", "string"]} for field in ours["fields"][:4]]
    registry.register(SUBJECT, json.dumps(ours | {"fields": [*fields, *ours["fields"][4:]]}))
    assert main(["weir schemas", "register"]) == 0
    assert registry.level(SUBJECT) == "FULL_TRANSITIVE"


def test_a_version_that_we_read_and_that_keeps_ours_out_is_named_with_its_number(
    registry: MemoryRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = json.loads(schema_json("transactions"))
    registry.register(SUBJECT, json.dumps(ours | {"name": "KsqlDataSourceSchema"}))
    assert main(["weir schemas", "register"]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert "found v1 in its way" in told
    assert f"curl -X DELETE http://registry:8081/subjects/{SUBJECT}/versions/1" in told


def test_check_names_a_level_that_points_the_wrong_way_and_register_corrects_it(
    registry: MemoryRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["weir schemas", "register"])
    registry.require_level(SUBJECT, "BACKWARD")
    capsys.readouterr()
    assert main(["weir schemas", "check"]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if not line.endswith(" ok")]
    assert len(wrong) == 1
    assert "expected level FULL_TRANSITIVE, found BACKWARD; run `weir schemas register`" in wrong[0]
    assert main(["weir schemas", "register"]) == 0
    assert main(["weir schemas", "check"]) == 0


@pytest.mark.parametrize("old", ["clicks-value", "devices-value"])
def test_a_subject_of_before_that_no_stream_has_is_not_looked_at(
    registry: MemoryRegistry, capsys: pytest.CaptureFixture[str], old: str
) -> None:
    """The release before registered these for streams that never came; another team may have written there since."""
    registry.register(old, '{"type": "record", "name": "Click", "fields": [{"name": "url", "type": "bytes"}]}')
    assert main(["weir schemas", "register"]) == 0
    assert main(["weir schemas", "check"]) == 0
    assert old not in capsys.readouterr().out
    assert len(registry.version_texts(old)) == 1


def test_in_a_project_the_contracts_of_its_streams_are_registered_and_checked(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = shutil.ignore_patterns("__*", "payments*", "clicks*", "sessions*")
    shutil.copytree(SHIPPED, tmp_path / "streams", ignore=others)
    (tmp_path / "weir.toml").write_text('name = "p"')
    monkeypatch.chdir(tmp_path / "streams")
    assert main(["weir schemas", "register"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "p.transfers-value", "p.transfers.features-value", "p.transfers.decisions-value", "weir.audit-value",
    ]  # fmt: skip
    assert main(["weir schemas", "check"]) == 0
    assert registry.level("p.transfers-value") == "FULL_TRANSITIVE"
    assert registry.level("p.transfers.features-value") == "BACKWARD"


def test_in_a_project_with_faults_nothing_is_registered(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weir.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match=r"weir.toml:1: project: expected a stream in"):
        main(["weir schemas", "register"])
    assert registry.version_texts(SUBJECT) == []
