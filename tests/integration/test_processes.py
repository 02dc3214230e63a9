"""``weir inspect model`` shows what running processes have loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_line import Weir, run_in_process
from tests.integration.decided import await_true
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.champion import Champion
from weir.inference.processes import Reporter
from weir.infra.settings import Settings

pytestmark = pytest.mark.server


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


@pytest.fixture
def home(deployment: Settings, tmp_path: Path) -> Settings:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    return deployment.model_copy(update={"home": tmp_path})


@pytest.fixture
def reporter(home: Settings) -> Iterator[Reporter]:
    started = Reporter(home, "scorer 0", Champion(home), seconds=0.1)
    yield started
    started.close()


def shown(weir: Weir, settings: Settings) -> list[dict[str, Any]]:
    code, text, _ = weir(settings, "inspect", "model", "--json")
    assert code == 0
    found: list[dict[str, Any]] = json.loads(text)["processes"]
    return found


def test_a_process_is_shown_with_what_it_runs_until_it_stops(home: Settings, reporter: Reporter, weir: Weir) -> None:
    await_true(lambda: bool(shown(weir, home)), "a report", seconds=10)
    (row,) = shown(weir, home)
    assert (row["process"], row["state"], row["version"]) == ("scorer 0", "runs what is on disk", "1")
    link_champion(home.home, write_bundle(home.home / "models" / "tiny-2", version="2", weights={}))
    (row,) = shown(weir, home)
    assert (row["state"], row["version"]) == ("runs another model", "1")
    reporter.close()
    assert shown(weir, home) == []
