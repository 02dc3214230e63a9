"""MLflow's aliases and the topic of what decides: one act moves both, whichever side a person begins at."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

import weir.cli
from tests.conftest import environment_of
from tests.integration.decided import await_true
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.champion import open_champion
from weir.inference.published.act import Act
from weir.inference.published.gate import Gate
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules
from weir.infra.embedded.ports import choose_ports
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.training.choosing import cli
from weir.training.model_registry.store import name_model
from weir.training.tracking import open_client

pytestmark = pytest.mark.server
TAKEN_SECONDS = 5.0
"""What is promised."""
AWAY_SECONDS = 30.0
"""A promotion while MLflow is away; its time is that of the command."""


@pytest.fixture
def settings(deployment: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Three bundles, of which the champion link names the first; gates are measured elsewhere."""
    settings = deployment.model_copy(update={"home": tmp_path})
    for version in ("1", "2", "3"):
        write_bundle(settings.models_dir / f"tiny-{version}", version=version)
    link_champion(tmp_path, settings.models_dir / "tiny-1")
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "_run_gates", lambda *_: [Gate("one", True, "1", "1")])
    return settings


def _models(*argv: str) -> int:
    return weir.cli.main(["models", *argv])


def test_a_promotion_moves_alias_and_topic_and_an_alias_moved_in_mlflow_is_published_by_a_sync(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = name_model(settings)
    with closing(open_champion(settings)) as champion, open_client(settings) as client:

        def decides(version: str) -> bool:
            champion.poll()
            return champion.bundle.manifest.version == version

        def await_version(version: str) -> None:
            await_true(lambda: decides(version), version, TAKEN_SECONDS)

        def find_alias() -> str:
            return str(client.get_model_version_by_alias(name, "champion").tags["weir.version"])

        assert _models("sync") == 0
        assert (find_alias(), champion.bundle.manifest.version) == ("1", "1")
        assert _models("promote", "2", "--why", "better") == 0
        assert find_alias() == "2"
        await_version("2")
        (third,) = client.search_model_versions(f"name='{name}' and tags.`weir.version`='3'")
        client.set_registered_model_alias(name, "champion", third.version)
        assert _models("sync") == 0
        await_version("3")
        (port,) = choose_ports(1)
        monkeypatch.setenv("WEIR_MLFLOW__TRACKING_URI", f"http://127.0.0.1:{port}")
        began = time.monotonic()
        assert _models("rollback", "2", "--why", "worse") == 0
        assert time.monotonic() - began < AWAY_SECONDS
        assert "it is published all the same" in capsys.readouterr().err
        await_version("2")
        monkeypatch.delenv("WEIR_MLFLOW__TRACKING_URI")
        assert find_alias() == "3"
        assert _models("sync") == 0
        assert find_alias() == "2"
        with Publisher(settings, read_rules) as publisher:
            assert [each.act.version for each in publisher.log.history("champion")] == ["1", "2", "3", "2"]


def test_of_two_promotions_at_once_one_is_refused_in_a_sentence(settings: Settings) -> None:
    together = threading.Barrier(2)
    done: list[Act | Refused] = []

    def publish(version: str) -> None:
        text = (settings.models_dir / f"tiny-{version}" / "manifest.json").read_text()
        with Publisher(settings, read_rules, who=f"author {version}", why="better") as publisher:
            together.wait(30)
            try:
                done.append(publisher.publish("champion", [text], version))
            except Refused as error:
                done.append(error)

    authors = [threading.Thread(target=publish, args=(version,)) for version in ("2", "3")]
    for each in authors:
        each.start()
    for each in authors:
        each.join(60)
    (act,) = [each for each in done if isinstance(each, Act)]
    (refused,) = [each for each in done if isinstance(each, Refused)]
    assert str(refused) == (
        f"champion: expected nobody else to publish meanwhile, found {act.version} by author {act.version} (better); "
        "nothing was published. Look at it, then run the command again"
    )
    with closing(open_champion(settings)) as champion:
        assert champion.bundle.manifest.version == act.version
