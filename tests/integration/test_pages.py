"""Pages whose commands need servers and end by themselves: each command is run as it stands there, in its order."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import create_deployment, environment_of, settings_for
from tests.house.commands import scripts
from tests.house.source import ROOT
from tests.integration.command_line import Weir, run_in_process
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.infra.user_files.files import LABEL, payments, write_csv
from weir.inference.core.thresholds import read_thresholds
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments as payments_declared

pytestmark = pytest.mark.server

LEFT_OUT = {
    "weir archive": "follows the topics until it is ended; tests/integration/test_archive.py starts and kills it so",
    "weir publish fraudTrain.csv": "a data set of others; tests/integration/test_publish_files.py has its layout",
    "weir train": "half a minute and a history; docs/readers/data-scientist.md is followed to the same command",
    "weir features backfill": "as above",
    "weir rules proposals 3f2a": "two people and a setting; tests/integration/test_published.py has both settle one",
    "weir rules approve": "as above",
    "weir rules reject": "as above",
}
"""Commands that are not run, by how they begin (``weir archive`` whole), with the reason."""


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


@pytest.fixture(scope="module")
def settings(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    settings = settings_for(stack, "pages").model_copy(update={"home": home})
    create_deployment(settings)
    return settings


def _lines(page: str) -> list[str]:
    """Return the commands of a page but those that are left out."""
    found = [line for _, script in scripts((ROOT / page).read_text()) for line in script.splitlines()]
    return [line for line in found if not _is_left_out(line)]


def _is_left_out(line: str) -> bool:
    words = " ".join(shlex.split(line, comments=True))
    return any(words == begin or (begin != "weir archive" and words.startswith(begin)) for begin in LEFT_OUT)


def _run(weir: Weir, settings: Settings, line: str) -> str:
    """Run a line in this process, or with a shell where it needs one; it must end well."""
    words = shlex.split(line, comments=True)
    if "|" not in words:
        code, shown, errors = weir(settings, *words[1:])
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **environment_of(settings), "PATH": path, "PYTHONPATH": str(ROOT)}
        command = ["bash", "-euo", "pipefail", "-c", line]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        code, shown, errors = done.returncode, done.stdout, done.stderr
    assert code == 0, f"{line}\n{shown}{errors}"
    return shown


def _follow(weir: Weir, settings: Settings, page: str) -> list[str]:
    return [_run(weir, settings, line) for line in _lines(page)]


def test_files_are_published_as_the_page_says(
    weir: Weir, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "payments.csv", payments(20))
    (tmp_path / "old.csv.gz").write_bytes(gzip.compress((tmp_path / "payments.csv").read_bytes()))
    (tmp_path / "history").mkdir()
    write_csv(tmp_path / "history" / "transactions.csv", payments(20))
    write_csv(tmp_path / "history" / "labels.csv", [LABEL])
    assert len(_follow(weir, settings, "docs/publish.md")) == 6


def test_versions_are_published_compared_and_taken_back_as_the_page_says(
    weir: Weir, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/publishing.md").read_text()
    lists, thresholds, letting_through = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert read_thresholds(json.loads(letting_through), payments_declared, "1").let_through is not None
    (tmp_path / "lists.json").write_text(lists)
    (tmp_path / "thresholds.json").write_text(thresholds)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "payments.yaml").write_text(_run(weir, settings, "weir rules show"))
    shown = []
    for line in _lines("docs/publishing.md"):
        version = ""
        if "6b98" in line:  # what a version is called is a hash of its text
            version = json.loads(_run(weir, settings, "weir rules history --json").splitlines()[0])["version"]
        shown.append(_run(weir, settings, line.replace("6b98", version)))
    assert len(shown) == 14
    assert "card-17" in shown[-1]
    assert "card-18" not in shown[-1]


def test_topics_are_archived_as_the_page_says(weir: Weir, settings: Settings) -> None:
    shown = _follow(weir, settings, "docs/archive.md")
    assert len(shown) == 4
    assert settings.topics.transactions in shown[1]
