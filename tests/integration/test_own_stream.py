"""A stream of a user's own: the project that `weir init` makes, with its own tests, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.unit.tutorial import follow, read_scripts
from weir.infra.children import child_environment
from weir.infra.embedded.ports import choose_ports
from weir.schemas.project import shipped_names

COMPILED_FOR_OTHERS = "payments"
"""The stream that other tests compile the kernel for; each other one is compiled for its test alone."""
STREAMS = [
    pytest.param(name, marks=[] if name == COMPILED_FOR_OTHERS else [pytest.mark.verify, pytest.mark.timeout(900)])
    for name in shipped_names()
]
SCRIPT_SECONDS_MAX = 400
"""Half a minute on a machine that does nothing else; commands that wait for a decision must not wait for ever."""


@pytest.mark.parametrize("like", STREAMS)
def test_the_tests_of_a_new_project_pass(like: str, tmp_path: Path) -> None:
    made = [sys.executable, "-m", "weir", "init", "my-risk", "--like", like]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path / "my-risk", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_the_tutorial_is_followed_to_its_end(tmp_path: Path) -> None:
    page = ROOT / "docs" / "streams.md"
    assert follow(page, tmp_path) > 9
    (script,) = read_scripts(page.read_text())
    shown = _run_to_its_end(script, tmp_path / "my-shop")
    decision, _ = json.JSONDecoder().raw_decode(shown[shown.index('{"') :])
    assert (decision["order_id"], decision["decision"]) == ("mine-2", "APPROVE")
    assert "mine-1" in shown


def _run_to_its_end(script: str, folder: Path) -> str:
    """Run a script as a reader does, end what it leaves running, and return what it shows."""
    port = choose_ports(1)[0]
    environment = child_environment(
        {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "WEIR_API__PORT": str(port)}
    )
    script = "trap 'kill $(jobs -p); weir down' EXIT\n" + script.replace("localhost:8000", f"localhost:{port}")
    command = ["timeout", str(SCRIPT_SECONDS_MAX), "bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    return done.stdout
