"""``weir init``: a folder that is a project at once, and never one in which something is written over."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import weir
import weir.cli
from weir.inference.rule_sets import rules_of
from weir.init import build_project, name_project
from weir.schemas.project import load_project, load_shipped, shipped_names


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("like", shipped_names())
def test_what_is_made_passes_the_check_and_is_the_shipped_stream(
    like: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert weir.cli.main(["init", "my-risk", "--like", like]) == 0
    *made, following = capsys.readouterr().out.splitlines()
    assert {f"my-risk/{name}" for name in files_of(tmp_path / "my-risk")} == set(made)
    assert following == "next: cd my-risk && weir check && weir demo"
    assert weir.cli.main(["check", "--project", "my-risk"]) == 0
    checked = capsys.readouterr().out
    assert checked.startswith("my-risk: 1 stream, no faults")
    (own,), shipped = load_project(tmp_path / "my-risk").streams.values(), load_shipped(like)
    assert own.stream == shipped.stream
    assert own.stream.declarations_hash == shipped.stream.declarations_hash
    assert rules_of(own.stream) == rules_of(shipped.stream)
    assert all(rule.name in checked for rule in shipped.stream.rules)
    assert (own.schemas[-1], own.labels_schema) == (shipped.schemas[-1], shipped.labels_schema)


@pytest.mark.parametrize("like", shipped_names())
def test_every_name_of_the_declaration_is_from_weir_and_every_slot_is_filled(like: str) -> None:
    files = build_project("my-risk", like)
    for name, text in files.items():
        assert "$" not in text or name.startswith("tests/"), name
    declaration = files[f"streams/{like}.py"]
    assert "weir.schemas" not in declaration
    (names,) = re.findall(r"^from weir import (.*)$", declaration, re.MULTILINE)
    assert set(names.split(", ")) <= set(weir.__all__)
    named = re.findall(r"`((?:streams|tests)/[\w.]+|weir\.toml)`", files["README.md"])
    assert len(named) > 2
    assert set(named) <= set(files)
    assert all(json.loads(text)["fields"] for name, text in files.items() if name.endswith(".avsc"))


def test_an_empty_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Card Fraud").mkdir()
    monkeypatch.chdir(tmp_path / "Card Fraud")
    assert weir.cli.main(["init", "."]) == 0
    assert load_project(tmp_path / "Card Fraud").name == "card-fraud"


@pytest.mark.parametrize("name", ["weir.toml", ".git"])
def test_a_folder_that_holds_anything_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert weir.cli.main(["init", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"weir init: expected a new or empty folder, found {name} in {tmp_path}; nothing was written\n"
    )
    assert files_of(tmp_path) == {name}
    assert (tmp_path / name).read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")
    assert weir.cli.main(["init", str(tmp_path / "taken")]) == 2
    assert weir.cli.main(["init", str(tmp_path / "taken" / "below")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"weir init: expected a new or empty folder, found a file at {tmp_path}/taken"
    assert second.endswith("not a directory")


def test_a_stream_that_is_not_shipped_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        weir.cli.main(["init", "my-risk", "--like", "click"])
    assert ended.value.code == 2
    assert "; did you mean clicks?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my-risk", "my-risk"),
        ("Zürich Cards", "z-rich-cards"),
        ("2026", "risk-2026"),
        ("...", "risk"),
        ("x" * 99, "x" * 58),
    ],
)
def test_a_folder_of_any_name_gives_a_project_one_that_it_can_have(folder: str, name: str) -> None:
    assert name_project(folder) == name
    assert f'name = "{name}"' in build_project(folder, "clicks")["weir.toml"]
