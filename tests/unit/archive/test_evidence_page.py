"""Every command of ``docs/evidence.md`` is run, as it is written there, on an archive and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

import weir.cli
from tests.house.commands import scripts
from tests.house.source import ROOT
from tests.unit.archive.decided import build_archive
from weir.archive.seals import findings

PAGE = (ROOT / "docs" / "evidence.md").read_text()
BLOCKS = [script for language, script in scripts(PAGE) if language == "sh"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    build_archive(home)
    return home


def _run(home: Path, script: str, folder: Path, **named: str) -> subprocess.CompletedProcess[str]:
    """Run commands as a user of the checkout does, with no server and no network."""
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "WEIR_HOME": str(home), "HOME": str(home)}
    if not (folder / "archive").exists():
        (folder / "archive").symlink_to(ROOT / "archive")
    command = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(
        command, cwd=folder, env=own | named, capture_output=True, text=True, check=False, timeout=120
    )


def test_every_block_of_the_page_does_what_it_says(home: Path, tmp_path: Path) -> None:
    decision = DeltaTable(str(home / "archive" / "decisions")).to_pyarrow_table().slice(5, 1).to_pylist()[0]
    head = json.loads(_run(home, "weir evidence head --json", tmp_path).stdout)
    named = {
        "ID": decision["id"], "CARD": decision["card_id"], "HASH": head["hash"], "COPY": str(home / "archive"),
        "FROM": datetime.fromtimestamp(decision["ingest_time_ms"] / 1_000, UTC).isoformat(),
        "TO": "2025-12-31T00:00:00Z",
    }  # fmt: skip
    said = []
    for script in BLOCKS:
        done = _run(home, script, tmp_path, **named)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    answer, walked, proof, _, again, verified, elsewhere, erased = said
    assert "equal, bit for bit" in answer
    assert walked.count("events, bit for bit") == 3
    assert "what changed" in walked
    assert "decisions made again, 0 differ" in again
    assert proof.count(": as it was sealed") == 3
    assert verified.count("\nin order\n") == 3
    assert "in order" in elsewhere
    assert re.search(r"erased [1-9]\d* rows", erased)
    gone = _run(home, 'weir evidence "$ID"', tmp_path, **named)
    assert (gone.returncode, "unknown or erased" in gone.stderr) == (1, True)
    after = _run(home, 'weir evidence verify --expect "$HASH"', tmp_path, **named)
    assert (after.returncode, after.stdout.splitlines()[-1]) == (0, "in order")
    assert decision["card_id"] not in after.stdout + after.stderr


@pytest.mark.parametrize("is_there", [False, True])
def test_seals_that_cannot_be_read_are_said_in_one_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(home))
    copy = Path(shutil.copytree(home / "archive", tmp_path / "copy"))
    (file, *_) = sorted((copy / "_seals").glob("*.parquet"))
    file.unlink()
    if is_there:
        file.write_bytes(b"PAR1 no more")
    said = {}
    for asked in ("verify", "any"):
        assert weir.cli.main(["evidence", asked, "--archive", str(copy)]) == 1
        said[asked] = capsys.readouterr().err
        assert len(said[asked].splitlines()) == 1
    assert "put the file back from a copy" in said["verify"]


def test_the_page_says_what_each_finding_means() -> None:
    table = PAGE.partition("| it says of a record or seal | it means |")[2].partition("\n\n")[0]
    said = {word.strip() for line in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for word in line.split(",")}
    assert said - {"---"} == set(findings.MEANING)
