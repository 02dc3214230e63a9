from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from weir.generators.cli import main


def test_a_history_is_written_and_summarised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--to", "parquet", "--out", str(tmp_path), "--days", "3", "--cards", "100", "--end-ms", "1785000000000"]
    assert main(["generate", *flags, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["transactions"] == pq.read_metadata(tmp_path / "transactions.parquet").num_rows > 0
    assert summary["seed"] == 7


@pytest.mark.parametrize(
    "flags",
    [
        ["--cards", "3"],
        ["--cards", "many"],
        ["--rate", "0"],
        ["--rate", "-5"],
        ["--seconds", "-1"],
        ["--late", "1.5"],
        ["--shape", "square"],
        ["--history-speed", "fast"],
        ["--seed", "-1"],
    ],
)
def test_a_flag_out_of_bounds_is_misuse(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as misuse:
        main(["generate", *flags])
    assert misuse.value.code == 2
    assert flags[0] in capsys.readouterr().err
