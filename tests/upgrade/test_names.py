"""What a user of the release before has written down still means something."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.upgrade.allowed import LABELS_DROPPED, RENAMED, WITHOUT_EFFECT
from tests.upgrade.names import KEPT
from tests.upgrade.release import ROOT

OLD: dict[str, list[str]] = json.loads(KEPT.read_text())
_MAY_BE_RENAMED = {"commands", "settings"}


@cache
def _new() -> dict[str, list[str]]:
    done = _run(["-m", "tests.upgrade.names"])
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def _run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with nothing of a deployment in its environment; help is not folded at a terminal's width."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "COLUMNS": "1000"} | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )


@pytest.mark.parametrize("kind", list(OLD))
def test_every_name_of_the_release_before_is_there_or_has_a_new_one(kind: str) -> None:
    renamed = LABELS_DROPPED if kind == "metrics" else RENAMED.get(kind, {})
    allowed = {*renamed, *WITHOUT_EFFECT.get(kind, ())}
    assert [name for name in OLD[kind] if name not in _new()[kind] and name not in allowed] == []
    assert set(renamed.values()) <= set(_new()[kind])


def test_only_what_can_be_warned_about_was_renamed() -> None:
    assert set(RENAMED) == _MAY_BE_RENAMED


def test_a_renamed_command_works_and_warns_once() -> None:
    for old, new in RENAMED["commands"].items():
        done = _run(["-m", "weir", *old.split(), "--help"])
        assert len(done.stderr.splitlines()) == 1
        assert new in done.stderr


def test_a_renamed_setting_works_and_warns_once(tmp_path: Path) -> None:
    for old, new in RENAMED["settings"].items():
        # empty stands for the default, so that no value has to be known
        done = _run(["-m", "weir", "features", "list", "--json"], **{old: "", "WEIR_HOME": str(tmp_path)})
        assert len(done.stderr.splitlines()) == 1
        assert new in done.stderr


def test_a_setting_that_does_nothing_any_more_is_taken_and_warned_of_once(tmp_path: Path) -> None:
    for old in WITHOUT_EFFECT["settings"]:
        done = _run(["-m", "weir", "features", "list", "--json"], **{old: "taps", "WEIR_HOME": str(tmp_path)})
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"weir: setting {old} has no effect: nothing reads or writes that topic")
