"""``weir redteam`` against the kernel and a scorer in this process: small, seeded, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.training.choosing.command_world import Publisher
from weir import redteam
from weir.generators.attack import SHAPES
from weir.inference.bundle import load_bundle
from weir.inference.published.content import Standing
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training.redteam.game import Budget, Terms
from weir.training.redteam.record import read_record

_WEIGHTS = {"transaction_amount": 0.00008, "card_event_count_5m": 0.8, "device_card_distinct_1d": 0.5}
"""What rises with the amount, with a burst, and with a device that many cards use; no rule, no list, no limit."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("models") / "tiny", weights=_WEIGHTS)


def _play(bundle: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict:
    flags = ["--cards", "300", "--money", "6000", "--scenario", "bust_out", "--scenario", "device_farm"]
    assert redteam.main(["redteam", "--bundle", str(bundle), *flags, "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.verify  # thousands of attacks
def test_who_learns_takes_twice_as_much_past_an_unprotected_scorer(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    games = _play(bundle, capsys)
    for name, game in games["scenarios"].items():
        assert game["times"] >= 2, name
        assert game["adaptive"]["cards"] <= 300
        assert game["adaptive"]["spent_usd"] <= 6_000 + 300
    assert games == _play(bundle, capsys)


def test_a_scorer_that_stops_everything_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict = write_bundle(tmp_path / "strict", thresholds={"review": 0.0, "decline": 0.9})
    games = _play(strict, capsys, "--cards", "60")
    assert [game["adaptive"]["taken_usd"] for game in games["scenarios"].values()] == [0, 0]
    assert games["times"] is None


def test_the_table_says_what_was_learnt_and_is_written_into_the_results(
    bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ["--cards", "60", "--scenario", "low_and_slow", "--write", str(tmp_path)]
    assert redteam.main(["redteam", "--bundle", str(bundle), *flags]) == 0
    shown = capsys.readouterr().out
    assert "money taken per 1,000 cards, with a budget of 60 cards and 20,000 USD" in shown
    assert "low_and_slow" in shown
    page = (tmp_path / "learning.md").read_text()
    assert "## Red team: money taken past the champion" in page
    assert "| `low_and_slow` |" in page or "| low_and_slow |" in page
    assert "--cards 60 --scenario low_and_slow`" in page


def test_a_play_is_kept_in_the_bundle_where_that_is_asked_for_and_not_of_some_scenarios_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_bundle(tmp_path / "own", weights=_WEIGHTS)
    monkeypatch.setattr(redteam, "SHAPES", {"bust_out": SHAPES["bust_out"]})
    assert redteam.main(["redteam", "--bundle", str(own), "--cards", "60", "--record", "--json"]) == 0
    said = capsys.readouterr()
    games = json.loads(said.out)
    assert "its model card shows it, and the gates read it" in said.err
    found = read_record(own, games["model_version"])
    assert found.taken_usd == {"bust_out": games["scenarios"]["bust_out"]["adaptive"]["per_thousand_cards_usd"]}
    assert "| bust_out |" in (own / "model_card.md").read_text()
    with pytest.raises(SystemExit) as stopped:
        redteam.main(["redteam", "--bundle", str(own), "--record", "--scenario", "bust_out"])
    assert stopped.value.code == 2


def _publish(monkeypatch: pytest.MonkeyPatch, **contents: str) -> Publisher:
    """Have texts in force by kind, and nothing else."""
    publisher = Publisher()
    for kind, text in contents.items():
        publisher.publish(kind, [text], "7")
    monkeypatch.setattr(redteam, "Publisher", lambda *_: publisher)
    return publisher


def test_published_thresholds_by_segment_decide_where_what_is_in_force_is_asked_for(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    flags = ["--cards", "60", "--scenario", "bust_out"]
    own = _play(bundle, capsys, *flags)
    nothing, all_of_it = {"review": 0.0, "decline": 1.0}, {"review": 1.0, "decline": 1.0}
    by_channel = {"by": "channel", "segments": {"ECOM": nothing}, **all_of_it}
    _publish(monkeypatch, thresholds=json.dumps(by_channel))
    found = _play(bundle, capsys, *flags, "--in-force")
    assert (own["thresholds"], found["thresholds"]) == ("", "7")
    games = found["scenarios"]["bust_out"]
    assert games["adaptive"]["taken_usd"] > 0
    assert games["adaptive"]["tactic"]["goods"] in {"shops", "cash"}  # online nothing passes
    assert games["random"]["taken_usd"] != own["scenarios"]["bust_out"]["random"]["taken_usd"]
    _publish(monkeypatch, thresholds=json.dumps(nothing))
    assert _play(bundle, capsys, *flags, "--in-force")["scenarios"]["bust_out"]["adaptive"]["taken_usd"] == 0
    assert own == _play(bundle, capsys, *flags)  # who does not ask plays by the model's own


def test_published_rules_decide_where_what_is_in_force_is_asked_for(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    rules = "rules:\n  - {name: all, why: a test, then: DECLINE, when: score >= 0}\n"
    _publish(monkeypatch, rules=rules)
    found = _play(bundle, capsys, "--cards", "60", "--scenario", "bust_out", "--in-force")
    assert (found["rules"], found["thresholds"]) == ("7", "")
    assert found["scenarios"]["bust_out"]["adaptive"]["taken_usd"] == 0


def test_the_published_champion_is_attacked_where_no_bundle_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    linked, published = (write_bundle(tmp_path / "models" / each, version=each) for each in ("linked", "published"))
    link_champion(tmp_path, linked)
    flags = ["redteam", "--cards", "1", "--scenario", "bust_out", "--json", "--in-force"]
    _publish(monkeypatch)
    assert redteam.main(flags) == 0
    assert json.loads(capsys.readouterr().out)["model_version"] == "linked"
    _publish(monkeypatch, champion=(published / "manifest.json").read_text())
    assert redteam.main(flags) == 0
    assert json.loads(capsys.readouterr().out)["model_version"] == "published"


def test_both_models_are_played_past_what_is_in_force_and_no_model_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redteam, "SHAPES", {"bust_out": SHAPES["bust_out"]})
    monkeypatch.setattr(redteam, "CARDS", 60)
    settings = Settings(home=tmp_path)
    models = [
        load_bundle(write_bundle(tmp_path / each, version=each, weights=_WEIGHTS), stream=payments)
        for each in ("challenger", "champion")
    ]
    told: list[str] = []
    standing = _publish(monkeypatch, thresholds='{"review": 0.5, "decline": 0.9}').standing
    redteam.play_and_record(settings, standing, models, told.append)
    ours, theirs = (read_record(each.directory, each.manifest.version) for each in models)
    assert ours.terms == theirs.terms == Terms(Budget(60, redteam.MONEY_USD), redteam.SEED, "1", "7")
    assert ours.taken_usd == theirs.taken_usd  # of the same weights, in the same world
    told.clear()
    redteam.play_and_record(settings, standing, models, told.append)
    assert told == []
    redteam.play_and_record(settings, Standing(), models[:1], told.append)  # by its own thresholds now
    assert told == ["bust_out: at random", "bust_out: learning"]


def test_models_that_are_mounted_to_be_read_alone_are_said_in_a_sentence(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(redteam, "play_all", lambda *_: {})
    monkeypatch.setattr(redteam, "write_record", refuse)
    with pytest.raises(Refused, match=r"expected to keep what was played in .*, found: read-only file system"):
        redteam.main(["redteam", "--bundle", str(bundle), "--cards", "1", "--record", "--json"])


def test_without_a_model_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    with pytest.raises(Refused, match="weir train"):
        redteam.main(["redteam"])
