"""Every command of ``docs/whatif.md`` is run, as it is written there, on an archive and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.golden.shipped import bundle_folder
from tests.house.commands import scripts
from tests.house.source import ROOT
from tests.unit.archive.decided import build_archive
from tests.unit.archive.page import run_block

PAGE = (ROOT / "docs" / "whatif.md").read_text()
BLOCKS = [script for language, script in scripts(PAGE) if language == "sh"]
(RULES,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_every_block_of_the_page_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = build_archive(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("COPY", str(root))
    (tmp_path / "candidate.yaml").write_text(RULES)
    shutil.copytree(bundle_folder(), tmp_path / "candidate")
    said = [run_block(script, capsys) for script in BLOCKS]
    rules, others, models, segments, _, elsewhere = said
    assert "would be" in rules
    assert "large_again" in rules
    for figure in re.findall(r"^\| (fraud \w+.*?|good declined|precision|recall|false .*?) \|", PAGE, re.MULTILINE):
        assert figure in rules
    assert others.count("the past, made again by what was in force") == 3
    assert models.count("scores were made again by the model that gave them: 0 differ") == 2
    assert segments.count("by segment") == 2
    assert (tmp_path / "trial.html").read_text().startswith("<!doctype html>")
    assert elsewhere == rules  # nothing is older
    assert json.loads((tmp_path / "trial.json").read_text())["reproduction"]["differing"] == 0
