"""The fixtures are written as a whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.golden import make
from tests.golden.contracts import observe_schemas
from tests.golden.kept import NAMES, load
from tests.golden.log import EXPECTED
from tests.golden.observed import Lines
from tests.golden.shipped import of_the_fixtures


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(EXPECTED, tmp_path / "expected"))
    monkeypatch.setattr(make, "EXPECTED", folder)
    return folder


def _files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_fails_on_the_way_leaves_what_was_kept(kept: Path) -> None:
    incomplete: dict[str, Lines] = {"one": {}}
    with pytest.raises(KeyError):
        make.replace_expected(incomplete, observe_schemas(), made_from="a commit")
    assert _files(kept) == _files(EXPECTED)


@of_the_fixtures
def test_what_is_written_again_from_the_same_lines_is_the_same(kept: Path) -> None:
    schemas = {kind: (EXPECTED / f"{kind}.avsc").read_text().rstrip("\n") for kind in ("features", "decisions")}
    make.replace_expected({name: load(name) for name in NAMES}, schemas, made_from="a commit")
    assert _files(kept) == _files(EXPECTED) | {Path("MADE_FROM"): b"a commit"}
    assert [path.name for path in kept.parent.iterdir()] == ["expected"]
