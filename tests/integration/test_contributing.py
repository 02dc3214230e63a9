"""Follow CONTRIBUTING.md to the letter: its commands in this tree, its recipe for a feature in a copy of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.handbook import blocks, section
from tests.integration.test_new_declarations import ROOT, copy_source, declare, run

pytestmark = pytest.mark.verify
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
RECIPE = section(PAGE, "Add a feature")
HERE = ("Run one test", "Run one fault", "Debug a stage with compiled code off")
(DECLARED,) = blocks(RECIPE, "python")
ON_PURPOSE = "tests/golden/test_golden.py::test_the_shipped_declarations_are_those_of_the_fixtures"
HELD = ("tests/golden", "tests/unit/schemas/test_payments_stream.py", "tests/unit/schemas/test_contracts.py")
NOT_HELD = (
    "tests/unit/archive/test_timeline.py", "tests/unit/archive/test_columns_again.py",
    "tests/unit/inference/test_rule_surfaces.py", "tests/unit/inference/test_both_modes.py",
)  # fmt: skip
"""Some that need a model of the shipped stream: one of each way in which it is used."""


def follow(folder: Path, line: str) -> str:
    """Run a line of the page with a shell, in a folder that has an environment; return what it printed."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_TIMEOUT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-4_000:]}{done.stderr[-4_000:]}"
    return done.stdout


def give_environment(folder: Path) -> None:
    """Give a copy what `make setup` makes: Python and the command line of ``.venv/bin``."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name, arguments in (("python", ""), ("weir", " -m weir")):
        script = folder / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        script.chmod(0o755)


def declare_what_the_recipe_says(folder: Path) -> None:
    """Add the line of the recipe to the shipped stream of a copy."""
    declare(folder, (r"    \],\n    reasons=", f"        {DECLARED.strip()},\n    ],\n    reasons="))


@pytest.mark.parametrize("title", HERE)
@pytest.mark.timeout(600)  # where it is the first, it compiles the kernel
def test_the_commands_of_a_section_do_what_they_say(title: str) -> None:
    lines = "".join(blocks(section(PAGE, title), "sh")).splitlines()
    assert len(lines) == 1
    for line in lines:
        shown = follow(ROOT, line.replace(".venv/bin/python", sys.executable))
        assert "no tests ran" not in shown
        assert len(shown) > 50


def test_the_page_of_a_contributor_leads_to_a_test_that_passes() -> None:
    page = (ROOT / "docs" / "readers" / "contributor.md").read_text()
    lines = "".join(blocks(page, "sh")).splitlines()
    shown = [follow(ROOT, line.replace(".venv/bin", str(Path(sys.executable).parent))) for line in lines]
    assert " passed" in shown[0]
    assert len(shown) == 2


def test_the_recipe_of_a_feature_makes_a_feature_that_the_oracle_confirms(tmp_path: Path) -> None:
    folder = copy_source(tmp_path)
    give_environment(folder)
    declare_what_the_recipe_says(folder)
    shown = "".join(follow(folder, line) for block in blocks(RECIPE, "sh") for line in block.splitlines())
    name = "merchant_amount_max_1d"
    assert name in shown
    assert re.search(rf"\| `{name}` \| merchant \| max \| 1d \|", (folder / "docs" / "features.md").read_text())
    assert re.search(r"\b[1-9] passed", shown)
    assert "failed" not in shown
    assert name not in (ROOT / "docs" / "features.md").read_text()


@pytest.mark.timeout(1_800)  # the golden logs three times, and the kernel compiled for other declarations
def test_a_new_feature_turns_one_test_red_until_the_fixtures_are_written_again(tmp_path: Path) -> None:
    folder = copy_source(tmp_path)
    declare_what_the_recipe_says(folder)
    tested = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "0")
    before = run(folder, *tested, *HELD, *NOT_HELD)
    assert re.findall(r"^(?:FAILED|ERROR) (\S+)", before.stdout, re.MULTILINE) == [ON_PURPOSE], before.stdout[-4_000:]
    assert "python -m tests.golden.make --apply" in before.stdout
    for words in ("init -q", "-c user.name=t -c user.email=t@example.org commit -q --allow-empty -m copy"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    made = run(folder, "-m", "tests.golden.make", "--apply")
    assert made.returncode == 0, made.stderr[-4_000:]
    after = run(folder, *tested, *HELD)
    assert re.search(r"\d+ passed in", after.stdout), after.stdout[-4_000:]
    assert not re.search(r"failed|skipped|deselected|error", after.stdout.splitlines()[-1])
