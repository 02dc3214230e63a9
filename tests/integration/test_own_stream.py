"""A stream of a user's own: the project that `weir init` makes, with its own tests, as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.unit.tutorial import follow
from weir.schemas.project import shipped_names

COMPILED_FOR_OTHERS = "payments"
"""The stream that other tests compile the kernel for; each other one is compiled for its test alone."""
STREAMS = [
    pytest.param(name, marks=[] if name == COMPILED_FOR_OTHERS else [pytest.mark.long, pytest.mark.timeout(900)])
    for name in shipped_names()
]


@pytest.mark.parametrize("like", STREAMS)
def test_the_tests_of_a_new_project_pass(like: str, tmp_path: Path) -> None:
    made = [sys.executable, "-m", "weir", "init", "my-risk", "--like", like]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path / "my-risk", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_tutorial_is_followed_to_its_end(tmp_path: Path) -> None:
    assert follow(ROOT / "docs" / "streams.md", tmp_path) > 9
