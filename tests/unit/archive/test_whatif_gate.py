"""What is published is tried on the past first: what goes too far does not pass a gate, and says so with its number."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

import weir.cli
from weir.archive.whatif.gate import try_first
from weir.inference.core.thresholds import Cut, ThresholdTable
from weir.infra.publishing_settings import PublishingSettings
from weir.infra.settings import ArchiveSettings, Settings

STRICT, SAME = ThresholdTable("t", Cut(0.0, 0.0)), ThresholdTable("t", Cut(1.0, 1.0))
YEARS = 3_650


def _settings(home: Path, **bounds: float) -> Settings:
    return Settings(home=home, publishing=PublishingSettings.model_validate({"trial_days": YEARS} | bounds))


def test_what_goes_further_than_the_bounds_is_named_with_its_number(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = try_first(_settings(built), "thresholds", STRICT, None, quiet=False).failed
    assert [name for name, _ in failed] == ["share declined", "good events declined"]
    assert "the share declined grows by" in failed[0][1]
    assert "more than 0.5" in failed[0][1]
    assert "would be" in capsys.readouterr().out


def test_bounds_are_those_of_the_settings(built: Path) -> None:
    wide = _settings(built, declined_points_max=100, good_hurt_percent_max=1e6)
    assert try_first(wide, "thresholds", STRICT, None, quiet=True).failed == ()


def test_a_change_within_the_bounds_passes_every_gate(built: Path) -> None:
    assert try_first(_settings(built), "thresholds", SAME, None, quiet=True).failed == ()


def test_a_change_is_compared_with_what_is_in_force_now_and_not_with_what_was_decided(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # what decides now declines all already: the same again declines no more, and was refused
    assert try_first(_settings(built), "thresholds", STRICT, STRICT, quiet=False).failed == ()
    assert "next to the thresholds in force now" in capsys.readouterr().out
    assert try_first(_settings(built), "thresholds", STRICT, SAME, quiet=True).failed[0][0] == "share declined"


def test_who_was_erased_is_in_no_trial(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(shutil.copytree(built, tmp_path / "home"))
    monkeypatch.setenv("WEIR_HOME", str(home))
    card = DeltaTable(str(home / "archive" / "features")).to_pyarrow_table()["card_id"][0].as_py()
    assert weir.cli.main(["archive", "erase", "--entity", f"card={card}", "--why", "asked", "--apply"]) == 0
    assert try_first(_settings(home), "thresholds", SAME, None, quiet=True).failed == ()


def test_without_an_archive_one_sentence_says_so_and_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path, archive=ArchiveSettings(root=str(tmp_path / "none")))
    assert try_first(settings, "thresholds", STRICT, None, quiet=False).failed == ()
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("not tried on the past before it is published: expected the table of topic")
