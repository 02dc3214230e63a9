"""Files for editors, hooks and forges: what they name is what the project has, and none of them needs a network."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.house.handbook import missing_paths
from tests.house.source import PROJECT, ROOT, files_of_tests, product_files
from tests.house.test_project import TARGETS

FORGE = sorted((ROOT / ".github").rglob("*.md"))


def test_every_hook_is_local_and_runs_a_tool_that_is_locked() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    repositories = YAML(typ="safe").load(text)["repos"]
    assert [each["repo"] for each in repositories] == ["local"]
    assert "://" not in text
    locked = (ROOT / "requirements" / "dev.lock").read_text()
    for hook in repositories[0]["hooks"]:
        tool = re.match(r"\.venv/bin/(\S+)", hook["entry"])
        assert tool, hook
        assert hook["language"] == "system"
        package = {"lint-imports": "import-linter", "python": "pytest"}.get(tool[1], tool[1])
        assert re.search(rf"^{package}==", locked, re.MULTILINE)


def test_editors_break_lines_where_the_formatter_does_and_python_is_as_they_would_save_it() -> None:
    config = configparser.ConfigParser()
    config.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    assert int(config["*.{py,pyi}"]["max_line_length"]) == PROJECT["tool"]["ruff"]["line-length"]
    assert config["*"]["insert_final_newline"] == "true"
    for path in product_files() + files_of_tests():
        data = path.read_bytes()
        assert not data or data.endswith(b"\n"), path
        assert b"\r" not in data, path


@pytest.mark.parametrize("path", FORGE, ids=lambda path: path.stem)
def test_a_template_names_targets_and_files_that_exist(path: Path) -> None:
    text = path.read_text()
    named = {word for line in re.findall(r"`make ([^`]+)`", text) for word in line.split()}
    assert named <= set(TARGETS)
    assert missing_paths(text) == []


def test_there_are_templates() -> None:
    assert [path.stem for path in FORGE] == ["defect", "proposal", "pull_request_template"]
