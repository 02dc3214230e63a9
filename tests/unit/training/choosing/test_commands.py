"""What ``weir models`` publishes, and what it does not."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.training.choosing.command_world import FAILED, PASSED, World
from weir.inference.published import bundles
from weir.schemas.errors import Refused, Transient
from weir.training.choosing import cli, watch, watching


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_the_first_promotion_takes_over_what_the_champion_link_names(world: World) -> None:
    link_champion(world.settings.home, world.settings.models_dir / "tiny-one")
    assert world.run("promote", "two", "--why", "better") == 0
    assert world.versions() == [("publish", "one"), ("publish", "two")]
    assert [act.why for act in world.publisher.acts] == ["taken over from the champion link", "a test"]
    assert [folder.name for folder in world.kept] == ["tiny-one", "tiny-two"]
    assert world.run("promote", "three", "--why", "better") == 0
    assert world.versions()[2:] == [("publish", "three")]
    assert world.run("rollback", "--why", "worse") == 0
    assert world.versions()[3:] == [("rollback", "two")]
    assert world.run("rollback", "one", "--why", "worse") == 0
    assert world.publisher.standing.champion.manifest.version == "one"


def test_a_gate_that_is_not_passed_stops_the_promotion_and_force_is_recorded(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.gates = [PASSED, FAILED]
    assert world.run("promote", "two", "--why", "better") == 1
    assert world.publisher.acts == []
    assert "1 gate not passed, so nothing is published" in capsys.readouterr().err
    assert world.run("promote", "two", "--why", "better", "--force", "no history here") == 0
    assert world.publisher.acts[0].why == "a test (forced: no history here; not passed: other)"


def test_a_check_shows_the_gates_publishes_nothing_and_says_no_by_its_code(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("check", "two") == 0
    world.gates = [PASSED, FAILED]
    assert world.run("check", "two") == 1
    assert world.publisher.acts == []
    assert "not measured: no history" in capsys.readouterr().out


def test_the_model_card_has_the_newest_gates_once_and_the_bundle_is_the_same(world: World) -> None:
    folder = world.settings.models_dir / "tiny-two"
    (folder / "model_card.md").write_text("# tiny two\n\n## Limits\n\nmany\n")
    world.gates = [FAILED]
    world.run("check", "two")
    world.gates = [PASSED]
    assert world.run("promote", "two", "--why", "better") == 0
    card = (folder / "model_card.md").read_text()
    assert card.startswith("# tiny two\n\n## Limits\n\nmany\n")
    assert card.count("## Gates") == 1
    assert "while nothing decided" in card
    assert "| one | pass | 1 | 1 |" in card
    assert "not measured" not in card
    assert bundles.find_role(world.settings, world.publisher, "champion").folder == folder  # type: ignore[union-attr,arg-type]


def test_the_model_that_is_in_force_cannot_be_promoted_again_nor_a_name_that_nobody_has(world: World) -> None:
    world.run("promote", "two", "--why", "better")
    with pytest.raises(Refused, match="expected another bundle than the champion that is in force, found two"):
        world.run("promote", "two", "--why", "better")
    with pytest.raises(Refused, match=r"expected one of the bundles in .* \(tiny-one, tiny-three, tiny-two\)"):
        world.run("promote", "four", "--why", "better")


def test_a_shadow_has_a_history_of_its_own_and_ends_with_none(world: World) -> None:
    world.run("promote", "two", "--alias", "shadow", "--why", "look")
    assert (world.publisher.standing.shadow.manifest.version, world.publisher.standing.champion) == ("two", None)
    world.run("rollback", "--alias", "shadow", "--why", "seen")
    assert world.publisher.standing.shadow is None
    with pytest.raises(Refused, match="expected a published champion to take back, found none"):
        world.run("rollback", "--why", "back")


def test_the_list_says_what_each_bundle_is_now(world: World) -> None:
    link_champion(world.settings.home, world.settings.models_dir / "tiny-one")
    roles = {each.manifest.version: each.roles for each in bundles.list_all(world.settings, world.publisher)}  # type: ignore[arg-type]
    assert roles == {"one": ("champion (link)",), "two": (), "three": ()}
    world.run("promote", "two", "--why", "better")
    world.run("promote", "three", "--alias", "shadow", "--why", "look")
    (world.settings.models_dir / "tiny-two").rename(world.settings.home / "gone")
    found = bundles.list_all(world.settings, world.publisher)  # type: ignore[arg-type]
    assert {each.manifest.version: each.roles for each in found} == {
        "one": ("link",), "two": ("champion",), "three": ("shadow",)
    }  # fmt: skip
    assert [each.manifest.version for each in found if each.folder is None] == ["two"]


def test_a_canary_is_published_with_its_share_and_ends_when_a_model_is_promoted(world: World) -> None:
    link_champion(world.settings.home, world.settings.models_dir / "tiny-one")
    assert world.run("canary", "two", "--share", "5%", "--no-watch", "--why", "look") == 0
    canary = world.publisher.standing.canary
    assert (canary.bundle.manifest.version, canary.share) == ("two", 0.05)
    assert world.run("canary", "two", "--share", "5%", "--no-watch", "--why", "again") == 0
    assert world.publisher.standing.canary.seed != canary.seed  # the next one has other keys
    assert {folder.name for folder in world.kept} == {"tiny-two"}
    roles = {each.manifest.version: each.roles for each in bundles.list_all(world.settings, world.publisher)}  # type: ignore[arg-type]
    assert roles == {"one": ("champion (link)",), "two": ("canary",), "three": ()}
    assert world.run("promote", "two", "--why", "as good") == 0
    assert (world.publisher.standing.canary, world.publisher.standing.champion.manifest.version) == (None, "two")
    assert world.publisher.acts[-1].kind == "canary"
    assert world.publisher.acts[-1].action == "rollback"


def test_a_canary_passes_the_gates_stands_next_to_a_champion_and_is_rolled_back_alone(world: World) -> None:
    with pytest.raises(Refused, match="expected a challenger next to a champion, found nothing that decides"):
        world.run("canary", "two", "--share", "0.1", "--no-watch", "--why", "look")
    world.run("promote", "one", "--why", "first")
    with pytest.raises(Refused, match="found the model that decides already"):
        world.run("canary", "one", "--share", "0.1", "--no-watch", "--why", "look")
    world.gates = [FAILED]
    assert world.run("canary", "two", "--share", "0.1", "--no-watch", "--why", "look") == 1
    assert world.run("canary", "two", "--share", "0.1", "--no-watch", "--why", "look", "--force", "a test") == 0
    assert world.publisher.acts[-1].why == "a test (forced: a test; not passed: other)"
    assert world.run("canary", "three", "--share", "0.1", "--no-watch", "--why", "look", "--force", "a test") == 0
    assert world.run("rollback", "--alias", "canary", "--why", "seen") == 0
    assert (world.publisher.standing.canary, world.publisher.standing.champion.manifest.version) == (None, "one")


@pytest.mark.parametrize("share", ["0", "60%", "0.51", "-5%", "x"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(["canary", "two", "--share", share, "--why", "look"])


def test_the_guard_rolls_a_canary_back_by_an_act_that_says_why(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused, match="expected a canary in force, found none"):
        world.run("watch")
    link_champion(world.settings.home, world.settings.models_dir / "tiny-one")
    keys = 600
    decisions = pa.record_batch(
        {
            "card_id": [f"card-{n}" for n in range(keys)],
            "model_name": ["tiny"] * keys,
            "model_version": ["two" if n % 2 else "one" for n in range(keys)],
            "decision": ["DECLINE" if n % 4 == 1 else "APPROVE" for n in range(keys)],
            "decided_by": ["model"] * keys,
            "score": [0.5] * keys,
        }
    )
    followed = (batch for batch in [decisions])
    monkeypatch.setattr(watching, "follow_decisions", lambda *_: followed)
    assert world.run("canary", "two", "--share", "50%", "--why", "look") == 1
    assert world.publisher.standing.canary is None
    act = world.publisher.acts[-1]
    assert (act.kind, act.action) == ("canary", "rollback")
    assert world.publisher.why.startswith("guard: 50.00% declined, of the champion's keys 0.00%")
    assert "canary: 300 decisions of 300 keys, 50.00% declined" in capsys.readouterr().out


def test_a_canary_that_somebody_ends_is_watched_no_longer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    link_champion(world.settings.home, world.settings.models_dir / "tiny-one")
    world.run("canary", "two", "--share", "50%", "--no-watch", "--why", "look")

    def follow(*_: object) -> Any:
        yield pa.record_batch({"card_id": []})
        world.publisher.roll_back("canary", "none")
        yield pa.record_batch({"card_id": []})

    monkeypatch.setattr(watching, "follow_decisions", follow)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.0)
    assert world.run("watch") == 0


def test_brokers_that_stay_away_end_a_watch_as_no_rollback_does(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    link_champion(world.settings.home, world.settings.models_dir / "tiny-one")
    world.run("canary", "two", "--share", "50%", "--no-watch", "--why", "look")

    def follow(*_: object) -> Any:
        yield pa.record_batch({"card_id": []})
        raise Transient("kafka: all brokers are down")

    monkeypatch.setattr(watching, "follow_decisions", follow)
    with pytest.raises(Refused, match="all brokers are down"):
        world.run("watch")
    assert "nobody watches it" in capsys.readouterr().err
    assert world.publisher.standing.canary is not None


def test_versions_that_an_act_cannot_carry_are_called_by_their_content(world: World) -> None:
    write_bundle(world.settings.models_dir / "tiny-x", version="2026-01 x")
    world.run("promote", "tiny-x", "--why", "better")
    (act,) = world.publisher.acts
    assert act.version == act.hash[:12]


def test_every_command_has_help() -> None:
    parser = cli.build_parser()
    (verbs,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    assert set(verbs.choices) == {
        "list",
        "show",
        "history",
        "stage",
        "promote",
        "canary",
        "watch",
        "check",
        "compare",
        "import",
        "rollback",
        "sync",
    }
