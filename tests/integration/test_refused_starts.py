"""Starts that must not go on: wrong settings, taken ports, models that are missing or of other features."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment_of
from tests.integration.command_line import Weir, run_in_process
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.children import child_environment
from weir.infra.settings import Settings

pytestmark = pytest.mark.server


@pytest.fixture
def settings(stack: Settings, tmp_path: Path) -> Settings:
    """The session's servers; nothing is made on them, because no start gets that far."""
    return stack.model_copy(update={"home": tmp_path})


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


@pytest.mark.parametrize("verb", ["process", "score", "index", "serve", "dlq list", "topics create"])
@pytest.mark.parametrize(
    ("name", "value"), [("WEIR_KAFKA__SESSION_TIMEOUT_MS", "soon"), ("WEIR_REDIS_URL", "redis://127.0.0.1:1/0")]
)
def test_a_wrong_setting_is_one_line_that_names_it(
    settings: Settings, weir: Weir, verb: str, name: str, value: str
) -> None:
    weir.assert_refused(settings, *verb.split(), says=[name, ".env.example"], **{name: value})


def test_a_refused_process_ends_with_code_2_and_no_traceback(settings: Settings) -> None:
    environment = child_environment(environment_of(settings) | {"WEIR_TOPICS__PARTITIONS": "0"})
    command = [sys.executable, "-m", "weir", "process"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "WEIR_TOPICS__PARTITIONS" in done.stderr


@pytest.mark.parametrize("verb", ["process", "score", "index"])
def test_a_metrics_port_that_is_taken_is_one_line_that_names_it(settings: Settings, weir: Weir, verb: str) -> None:
    taken = settings.kafka.bootstrap_servers.rpartition(":")[2]
    weir.assert_refused(settings, verb, "--metrics-port", taken, says=[taken, "--metrics-port"])


def test_an_api_port_that_is_taken_is_one_line_that_names_it(settings: Settings, weir: Weir) -> None:
    taken = settings.kafka.bootstrap_servers.rpartition(":")[2]
    weir.assert_refused(settings, "serve", "--port", taken, says=[taken, "--port"])


def test_an_api_address_that_others_can_reach_is_refused(settings: Settings, weir: Weir) -> None:
    weir.assert_refused(settings, "serve", "--host", "0.0.0.0", says=["127.0.0.1", "0.0.0.0"])


@pytest.mark.parametrize("verb", ["score", "serve --port 0"])
def test_a_model_that_is_missing_is_one_line_with_the_mend(
    settings: Settings, weir: Weir, verb: str, tmp_path: Path
) -> None:
    weir.assert_refused(
        settings.model_copy(update={"home": tmp_path}), *verb.split(), says=["models/champion", "weir train"]
    )


@pytest.mark.parametrize("verb", ["score", "serve --port 0"])
@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"declarations_hash": "0" * 16}, "weir train"),
        ({"features": ["card_charm_sum_1h"], "reference": [1.0]}, "docs/models.md"),
    ],
)
def test_a_model_of_other_features_is_one_line_with_the_fix(
    settings: Settings, weir: Weir, verb: str, changes: dict[str, Any], fix: str, tmp_path: Path
) -> None:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1", **changes))
    weir.assert_refused(settings.model_copy(update={"home": tmp_path}), *verb.split(), says=["models/champion", fix])
