"""MLflow's aliases next to what is published, on a real SQLite store: one import, one store, a model for each test."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.training.choosing.command_world import FAILED, PASSED, World
from weir.infra.mlflow_store import HTTP_SECONDS, MlflowSettings
from weir.schemas.errors import Refused
from weir.training.model_registry.aliases import Verdict, judge
from weir.training.model_registry.store import name_model
from weir.training.tracking import BUNDLE_TAG, open_client, track_run


class _Registry:
    """A world with a registry, and what a person does in MLflow's page."""

    def __init__(self, world: World, client: Any) -> None:
        self.world, self.client = world, client
        self.name = name_model(world.settings)

    def run(self, *argv: str) -> int:
        return self.world.run(*argv)

    def sync(self, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, str]]:
        capsys.readouterr()
        code = self.run("sync", "--json", *more)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return code, {line["alias"]: line["done"] for line in lines if "done" in line}

    @property
    def aliases(self) -> dict[str, str]:
        """The versions of ours that MLflow's aliases name."""
        aliases = self.client.get_registered_model(self.name).aliases
        return {
            name: self.client.get_model_version(self.name, number).tags["weir.version"]
            for name, number in aliases.items()
        }

    def move(self, alias: str, version: str) -> None:
        (found,) = self.client.search_model_versions(f"name='{self.name}' and tags.`weir.version`='{version}'")
        self.client.set_registered_model_alias(self.name, alias, found.version)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def world(
    home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[_Registry]:
    """Bundles of this test, in a home whose store of MLflow is that of the module."""
    found = World(tmp_path, monkeypatch)
    (home / "mlruns").mkdir(exist_ok=True)
    (tmp_path / "mlruns").symlink_to(home / "mlruns")
    cluster = "".join(letter for letter in request.node.name if letter.isalnum())[-40:]
    found.settings = found.settings.model_copy(update={"cluster": cluster})
    with open_client(found.settings) as client:
        yield _Registry(found, client)


def test_what_decides_today_is_taken_over_and_each_verb_moves_its_alias(
    world: _Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    link_champion(world.world.settings.home, world.world.settings.models_dir / "tiny-one")
    assert world.sync(capsys)[0] == 0
    assert world.world.publisher.acts == []
    assert world.aliases == {"champion": "one"}
    assert len(world.client.search_model_versions(f"name='{world.name}'")) == 3
    world.run("stage", "two", "--why", "look")
    assert world.aliases == {"champion": "one", "shadow": "two", "staging": "two"}
    world.run("canary", "two", "--share", "5%", "--no-watch", "--why", "some")
    assert world.aliases == {"champion": "one", "shadow": "two", "staging": "two", "challenger": "two"}
    assert world.run("promote", "staging", "--why", "good") == 0
    assert world.aliases == {"champion": "two"}
    assert world.world.publisher.standing.shadow is None
    world.run("rollback", "--why", "bad")
    assert world.aliases == {"champion": "one"}
    assert len(world.client.search_model_versions(f"name='{world.name}'")) == 3


def test_a_version_says_its_bundle_and_has_its_files_and_figures(world: _Registry, tmp_path: Path) -> None:
    world.run("promote", "two", "--why", "first")
    found = world.client.get_model_version_by_alias(world.name, "champion")
    manifest = json.loads((tmp_path / "models" / "tiny-two" / "manifest.json").read_text())
    assert found.tags[BUNDLE_TAG] == world.world.publisher.acts[0].hash
    assert found.tags["weir.model_sha256"] == manifest["model_sha256"]
    assert found.tags["weir.stream"] == "transactions"
    files = {each.path for each in world.client.list_artifacts(found.run_id)}
    assert {"manifest.json", "model.onnx"} <= files


def test_the_version_of_a_trained_bundle_is_of_the_run_that_trained_it(world: _Registry, tmp_path: Path) -> None:
    run_id = track_run(
        world.world.settings,
        name="trained",
        now_ms=1_700_000_000_000,
        parameters={},
        metrics={"pr_auc": 0.5},
        bundle=write_bundle(tmp_path / "models" / "trained", version="trained"),
    )
    world.run("promote", "trained", "--why", "first")
    assert world.client.get_model_version_by_alias(world.name, "champion").run_id == run_id


def test_an_alias_that_a_person_moved_is_published_after_the_gates(
    world: _Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("promote", "one", "--why", "first")
    world.sync(capsys)
    world.move("champion", "two")
    world.world.gates = [FAILED]
    code, done = world.sync(capsys)
    assert (code, len(world.world.publisher.acts)) == (1, 1)
    assert done["champion"].startswith("left as it is: a gate is not passed")
    assert world.aliases == {"champion": "two"}
    world.world.gates = [PASSED]
    code, done = world.sync(capsys)
    assert code == 0
    assert done["champion"].startswith("published version")
    assert world.world.publisher.standing.champion.manifest.version == "two"
    assert world.world.publisher.acts[-1].why.startswith("a test: champion names version ")
    world.move("staging", "three")
    assert world.sync(capsys)[0] == 0
    assert world.aliases == {"champion": "two", "shadow": "three", "staging": "three"}
    world.client.delete_registered_model_alias(world.name, "staging")
    assert world.sync(capsys)[1]["shadow"] == "ended, as it was taken off in MLflow"
    assert world.world.publisher.standing.shadow is None
    assert world.aliases == {"champion": "two"}
    assert set(world.sync(capsys)[1].values()) == {"nothing: both agree"}


def test_what_moved_on_both_sides_is_left_until_somebody_says_which(
    world: _Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("promote", "one", "--why", "first")
    world.sync(capsys)
    world.move("champion", "two")
    world.world.publisher.publish("champion", [_manifest(world, "three")], "three")  # by a host without MLflow
    code, done = world.sync(capsys)
    assert code == 1
    assert done["champion"].startswith("left as it is: it was moved, and something else was published")
    assert (world.aliases, len(world.world.publisher.acts)) == ({"champion": "two"}, 2)
    code, done = world.sync(capsys, "--put-back")
    assert (code, done["champion"]) == (0, "put back to what is published")
    assert (world.aliases, len(world.world.publisher.acts)) == ({"champion": "three"}, 2)


def test_a_verb_goes_before_an_alias_that_was_moved_and_leaves_the_others(
    world: _Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("promote", "one", "--why", "first")
    world.sync(capsys)
    world.move("champion", "two")
    world.move("challenger", "two")
    capsys.readouterr()
    world.run("promote", "three", "--why", "better")
    told = capsys.readouterr().err
    assert "and not version" in told
    assert "challenger was moved in MLflow, which nobody took over yet" in told
    assert world.aliases == {"champion": "three", "challenger": "two"}
    code, done = world.sync(capsys)
    assert (code, done["canary"][:49]) == (1, "left as it is: a canary needs a share of the keys")


def test_a_canary_that_is_named_in_mlflow_is_started_after_its_gates_for_the_share_that_is_given(
    world: _Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("promote", "one", "--why", "first")
    world.sync(capsys)
    world.move("challenger", "two")
    world.world.gates = [FAILED]
    code, done = world.sync(capsys, "--share", "5%")
    assert (code, len(world.world.publisher.acts)) == (1, 1)
    assert done["canary"].startswith("left as it is: a gate is not passed")
    world.world.gates = [PASSED]
    code, done = world.sync(capsys, "--share", "5%")
    assert code == 0
    assert done["canary"].startswith("published version ")
    canary = world.world.publisher.standing.canary
    assert (canary.bundle.manifest.version, canary.share) == ("two", 0.05)
    assert world.world.publisher.acts[-1].why.startswith("a test: challenger names version ")
    assert world.aliases == {"champion": "one", "challenger": "two"}
    assert set(world.sync(capsys)[1].values()) == {"nothing: both agree"}


def test_the_champion_cannot_be_taken_off_and_a_version_of_nobody_is_not_published(
    world: _Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("promote", "one", "--why", "first")
    world.client.delete_registered_model_alias(world.name, "champion")
    assert world.sync(capsys)[1]["champion"] == "put back to what is published"
    assert world.aliases == {"champion": "one"}
    made = world.client.create_model_version(world.name, "file:///nowhere")
    world.client.set_registered_model_alias(world.name, "shadow", made.version)
    code, done = world.sync(capsys)
    assert code == 1
    assert done["shadow"].startswith(f"left as it is: version {made.version} in MLflow is of no bundle of ours")


def test_a_bundle_that_is_not_here_is_refused_in_a_sentence(world: _Registry, tmp_path: Path) -> None:
    world.run("promote", "one", "--why", "first")
    world.run("sync")
    world.move("champion", "two")
    (tmp_path / "models" / "tiny-two").rename(tmp_path / "gone")
    with pytest.raises(Refused, match=r"expected one of the bundles in .* \(tiny-one, tiny-three\)"):
        world.run("sync")


def test_everything_continues_when_mlflow_is_away_and_a_sync_moves_the_alias_later(
    world: _Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("promote", "one", "--why", "first")
    here = world.world.settings
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and never answers
        away = f"http://127.0.0.1:{silent.getsockname()[1]}"
        world.world.settings = here.model_copy(update={"mlflow": MlflowSettings(tracking_uri=away)})
        began = time.monotonic()
        assert world.run("promote", "two", "--why", "better") == 0
        assert time.monotonic() - began < 3 * HTTP_SECONDS
        assert "it is published all the same, and `weir models sync`" in capsys.readouterr().err
        assert world.world.publisher.standing.champion.manifest.version == "two"
    with pytest.raises(Refused, match=f"MLflow at {away}: expected an answer"):
        world.run("sync")
    world.world.settings = here
    assert world.aliases == {"champion": "one"}
    assert world.sync(capsys)[1]["champion"] == "moved to what is published"
    assert world.aliases == {"champion": "two"}


def test_a_store_that_is_broken_is_told_and_stops_nobody(
    world: _Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlruns").unlink()
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_text("no database " * 1_000)
    assert world.run("promote", "one", "--why", "first") == 0
    assert "expected an answer, found: " in capsys.readouterr().err


def test_neither_what_decides_nor_the_verbs_import_mlflow_before_it_is_needed() -> None:
    hot = "weir.inference.run, weir.inference.cli, weir.serve, weir.streaming.cli, weir.training.choosing.cli"
    code = f"import sys, {hot}; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_has_to_be_done_follows_from_three_contents() -> None:
    moved = Verdict.MOVED
    for published, mark, named, verdict, wanted in [
        ("a", "a", ["a"], Verdict.AGREED, "a"),
        ("a", "none", ["none"], Verdict.BEHIND, "a"),
        ("b", "a", ["a", "a"], Verdict.BEHIND, "b"),
        ("b", "a", ["b"], Verdict.BEHIND, "b"),
        ("a", "a", ["a", "b"], moved, "b"),
        ("a", "a", ["b", "b"], moved, "b"),
        ("a", "a", ["none", "a"], moved, "none"),
        ("c", "a", ["b"], Verdict.BOTH, "b"),
    ]:
        assert judge(published, mark, named) == (verdict, wanted)
    assert judge("a", "a", ["b", "c"])[0] is Verdict.BOTH


def _manifest(world: _Registry, version: str) -> str:
    return (world.world.settings.models_dir / f"tiny-{version}" / "manifest.json").read_text()
