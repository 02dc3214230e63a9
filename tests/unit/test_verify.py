"""The page of the longer proofs says which held, of which commit, and forgets none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import verify
from tests.verify import TIMED_OUT, Ended, Proof


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verify, "KEPT", tmp_path / "verify.json")
    monkeypatch.setattr(verify, "PAGE", tmp_path / "verify.md")
    return tmp_path / "verify.md"


def _ended(code: int, commit: str) -> Ended:
    return Ended("make soak", commit, "2026-11-26", 0.1, 2_700, code, ["nothing climbs"])


def _row(page: Path, name: str) -> str:
    (row,) = (line for line in page.read_text().splitlines() if line.startswith(f"| `{name}`"))
    return row


def test_a_proof_that_ends_with_another_code_than_0_does_not_hold(page: Path) -> None:
    assert not verify.verify(["soak", "whatif"], "abc", lambda _, commit: _ended(1, commit))
    assert "**no**" in _row(page, "soak")


def test_a_run_of_one_proof_keeps_the_newest_of_the_others(page: Path) -> None:
    verify.verify(["soak", "whatif"], "old", lambda _, commit: _ended(0, commit))
    assert verify.verify(["whatif"], "new", lambda _, commit: _ended(0, commit))
    assert "| old |" in _row(page, "soak")
    assert "| new |" in _row(page, "whatif")
    assert "not run" in _row(page, "timeline")


@pytest.mark.parametrize(
    ("command", "code", "tail"),
    [
        ("sh -c 'echo {seed}; echo held'", 0, "held"),
        ("sh -c 'echo lost 3; exit 4'", 4, "lost 3"),
    ],
)
def test_a_proof_is_told_by_its_exit_code_and_its_last_lines(command: str, code: int, tail: str) -> None:
    ended = verify.run(Proof("", command, 1), "abc")
    assert (ended.code, ended.tail[-1]) == (code, tail)
    assert "{seed}" not in ended.command


def test_a_proof_that_takes_too_long_is_ended_and_says_so() -> None:
    ended = verify.run(Proof("", "sleep 100", 0), "abc")
    assert ended.code == TIMED_OUT
    assert ended.seconds < 50
