"""``weir redteam`` against the kernel and a scorer in this process: small, seeded, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.inference.bundles import write_bundle
from weir import redteam
from weir.generators.attack import SHAPES
from weir.schemas.errors import Refused
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
