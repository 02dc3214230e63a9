from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.training.worlds import build_world, make_sound
from weir import train
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.schemas.streams.clicks import clicks
from weir.training import cli
from weir.training.models import TREES, TREES_QUICK


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    examples, labels, _ = build_world()
    monkeypatch.setattr(cli, "load_history", lambda *_, **__: (make_sound(examples), labels))
    return tmp_path


def test_a_run_prints_its_figures_as_json_and_makes_its_bundle_the_champion(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["train", "--json", "--trees", "15"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert set(document["test"]) == {"lightgbm", "logistic", "stateless_rule"}
    assert Path(document["bundle"]).resolve() == (home / "models" / "champion").resolve()
    assert (home / "mlruns" / "mlflow.db").is_file()
    assert "parity" in captured.err


def test_a_run_that_does_not_promote_leaves_no_champion(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["train", "--no-promote", "--no-track", "--trees", "5", "--out", str(home / "elsewhere")]) == 0
    assert Path(capsys.readouterr().out.strip()).parent == home / "elsewhere"
    assert not (home / "elsewhere" / "champion").exists()
    assert not (home / "mlruns").exists()


@pytest.mark.parametrize(
    ("flags", "trees"), [([], TREES), (["--quick"], TREES_QUICK), (["--quick", "--trees", "7"], 7)]
)
def test_quick_lowers_the_bound_on_trees_unless_one_is_given(flags: list[str], trees: int, home: Path) -> None:
    arguments = cli.build_parser().parse_args(flags)
    assert cli.build_options(arguments, Settings(home=home), "source").trees == trees


@pytest.mark.parametrize(
    "flags",
    [
        ["--trees", "0"],
        ["--flagged-share", "0"],
        ["--flagged-share", "1.1"],
        ["--flagged-share", "few"],
        ["--history", "x", "--from-topics"],
        ["--nonsense"],
    ],
)
def test_misuse_exits_with_2(flags: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        train.main(["train", *flags])
    assert stopped.value.code == 2


def test_a_stream_without_labels_cannot_be_trained_and_what_to_declare_is_said(home: Path) -> None:
    with pytest.raises(Refused, match=r"stream clicks: expected labels to learn from, found none; declare .*Labels\("):
        train.main(["train", "--stream", "clicks"])
    assert not (home / "models").exists()


def test_another_streams_bundle_and_history_are_in_folders_of_its_own(home: Path) -> None:
    settings = Settings(home=home).of_stream(clicks)
    options = cli.build_options(cli.build_parser().parse_args([]), settings, "source")
    assert (options.name, options.models_dir) == ("clicks", home / "models" / "clicks")
    assert settings.history_dir == home / "history" / "clicks"


def test_how_much_may_be_flagged_is_asked_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares: list[float] = []
    for flags in ([], ["--flagged-share", "0.2"]):
        out = ["--out", str(home / str(len(shares)))]
        assert train.main(["train", "--json", "--trees", "15", "--no-track", *flags, *out]) == 0
        outcomes = json.loads(capsys.readouterr().out)["outcomes"]
        shares.append(outcomes["decline_share"] + outcomes["review_share"])
    assert shares[0] < 0.05 < shares[1] < 0.25
