"""Every command of ``docs/evidence.md`` is run, as it is written there, on an archive and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.house.commands import scripts
from tests.house.source import ROOT
from tests.unit.archive.decided import build_archive
from tests.unit.archive.page import run_block, run_line
from weir.archive.seals import findings

PAGE = (ROOT / "docs" / "evidence.md").read_text()
BLOCKS = [script for language, script in scripts(PAGE) if language == "sh"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    build_archive(home)
    return home


@pytest.fixture
def _reader(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user of the checkout, with no server and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(home))
    (tmp_path / "archive").symlink_to(ROOT / "archive")


@pytest.mark.usefixtures("_reader")
def test_every_block_of_the_page_does_what_it_says(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = DeltaTable(str(home / "archive" / "decisions")).to_pyarrow_table().slice(5, 1).to_pylist()[0]
    head = json.loads(run_line("weir evidence head --json", capsys).out)
    named = {
        "ID": decision["id"], "CARD": decision["card_id"], "HASH": head["hash"], "COPY": str(home / "archive"),
        "FROM": datetime.fromtimestamp(decision["ingest_time_ms"] / 1_000, UTC).isoformat(),
        "TO": "2025-12-31T00:00:00Z",
    }  # fmt: skip
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    answer, walked, proof, _, again, verified, elsewhere, erased = [run_block(script, capsys) for script in BLOCKS]
    assert "equal, bit for bit" in answer
    assert walked.count("events, bit for bit") == 2
    assert "what changed" in walked
    assert "decisions made again, 0 differ" in again
    assert proof.count(": as it was sealed") == 3
    assert verified.count("\nin order\n") == 3
    assert "in order" in elsewhere
    assert re.search(r"erased [1-9]\d* rows", erased)
    gone = run_line('weir evidence "$ID"', capsys)
    assert (gone.code, "unknown or erased" in gone.err) == (1, True)
    after = run_line('weir evidence verify --expect "$HASH"', capsys)
    assert (after.code, after.out.splitlines()[-1]) == (0, "in order")
    assert decision["card_id"] not in after.out + after.err


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("is_there", [False, True])
def test_seals_that_cannot_be_read_are_said_in_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    copy = Path(shutil.copytree(home / "archive", tmp_path / "copy"))
    (file, *_) = sorted((copy / "_seals").glob("*.parquet"))
    file.unlink()
    if is_there:
        file.write_bytes(b"PAR1 no more")
    verified, asked = (run_line(f"weir evidence {what} --archive {copy}", capsys) for what in ("verify", "any"))
    assert (verified.code, asked.code) == (1, 1)
    assert (len(verified.err.splitlines()), len(asked.err.splitlines())) == (1, 1)
    assert "put the file back from a copy" in verified.err


def test_the_page_says_what_each_finding_means() -> None:
    table = PAGE.partition("| it says of a record or seal | it means |")[2].partition("\n\n")[0]
    said = {word.strip() for line in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for word in line.split(",")}
    assert said - {"---"} == set(findings.MEANING)
