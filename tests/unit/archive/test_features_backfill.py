"""``weir features backfill --from archive``: what is computed is what the stream logged, without any broker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import weir.cli
from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from tests.unit.archive.tables import DAY_MS, T0_MS, append, build_row
from weir.archive.features import in_order
from weir.archive.features.in_order import read_in_order
from weir.archive.reader import TableReader

Row = dict[str, Any]


@pytest.fixture
def _at_home(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_HOME", str(built))
    monkeypatch.chdir(built)


def _logged(home: Path) -> list[Row]:
    rows: list[Row] = DeltaTable(str(home / "archive" / "features")).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: row["source_offset"])


def _vectors(rows: list[Row], names: list[str]) -> np.ndarray:
    found = [[np.nan if row[name] is None else row[name] for name in names] for row in rows]
    return np.array(found, np.float32).view(np.uint32)


@pytest.mark.usefixtures("_at_home")
def test_every_vector_is_the_one_that_the_stream_logged(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    assert weir.cli.main(["features", "backfill", "--from", "archive", "--out", str(out), "--json"]) == 0
    rows, logged = pq.read_table(out).to_pylist(), _logged(built)
    rows = sorted(rows, key=lambda row: row["source_offset"])
    assert pq.read_schema(out).metadata[b"declarations_hash"] == DECLARATIONS_HASH.encode()
    for name in ("source_partition", "source_offset", "transaction_id", "event_time_ms", "late"):
        assert [row[name] for row in rows] == [row[name] for row in logged]
    assert [row["append_time_ms"] for row in rows] == [row["ingest_time_ms"] for row in logged]
    own = [name for name in FEATURE_NAMES if name.startswith(("card_", "transaction_"))]
    assert len(rows) > 400
    assert np.array_equal(_vectors(rows, own), _vectors(logged, own))


@pytest.mark.usefixtures("_at_home")
def test_what_the_dead_letters_say_did_not_count_is_not_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["features", "backfill", "--from", "archive", "--json", "--out"]
    assert weir.cli.main([*flags, str(tmp_path / "judged.parquet")]) == 0
    judged = json.loads(capsys.readouterr().out)
    monkeypatch.setenv("WEIR_PROCESSOR__GROUP", "golden")
    assert weir.cli.main([*flags, str(tmp_path / "told.parquet")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert judged["dead"] == told["bad"] == told["duplicates"] == 0
    assert told["dead"] == judged["bad"] + judged["duplicates"] > 0
    assert pq.read_table(tmp_path / "told.parquet") == pq.read_table(tmp_path / "judged.parquet")


def test_rows_of_a_person_who_was_erased_are_left_out_and_counted(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(built, home)
    monkeypatch.setenv("WEIR_HOME", str(home))
    card = _logged(home)[0]["card_id"]
    assert weir.cli.main(["archive", "erase", "--entity", f"card={card}", "--why", "asked", "--apply"]) == 0
    capsys.readouterr()
    out = tmp_path / "features.parquet"
    assert weir.cli.main(["features", "backfill", "--from", "archive", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["erased"] > 0
    kept = {row["transaction_id"] for row in _logged(built) if row["card_id"] != card}
    assert set(pq.read_table(out)["transaction_id"].to_pylist()) == kept


def test_a_file_that_is_damaged_is_an_error_that_names_the_fix_and_leaves_no_table(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "archive", tmp_path / "features.parquet"
    shutil.copytree(built / "archive", root)
    (path, *_) = sorted((root / "transactions").rglob("day=*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    assert weir.cli.main(["features", "backfill", "--from", str(root), "--out", str(out)]) == 1
    assert "put the file back from a copy of the archive" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.usefixtures("_at_home")
def test_flags_that_make_no_sense_are_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["features", "backfill", "--out", str(tmp_path / "out.parquet")]
    for given, said in (
        (["--from", "archive", "--labels", "labels.csv"], "expected --labels with --transactions"),
        (["--from", "archive", "--partitions", "0"], "expected --partitions >= 1, found 0"),
        (["--from", str(tmp_path)], "expected the table of topic transactions in"),
    ):
        assert weir.cli.main([*flags, *given]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        weir.cli.main([*flags, "--transactions", "a.csv", "--stream", "clicks"])


def test_a_large_day_comes_in_the_order_of_the_log_by_way_of_small_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two partitions over two days, written in no order; the clock of one steps back by a few milliseconds."""
    rows = [build_row("t", partition, offset) for offset in range(300) for partition in (0, 1)]
    for row in rows:
        row["append_ms"] = T0_MS + row["offset"] * DAY_MS // 200 - 5 * (row["offset"] == 31 and row["partition"] == 1)
        row["day"] = row["append_ms"] // DAY_MS
    rows[63]["append_ms"] = rows[61]["append_ms"] - 5  # offset 31 of partition 1 seems to come before 30
    shuffled = [rows[place] for place in np.random.default_rng(7).permutation(len(rows))]
    append(tmp_path, "t", shuffled[:400])
    reader = TableReader(append(tmp_path, "t", shuffled[400:]))
    expected = [(row["partition"], row["offset"]) for row in rows]
    for part_rows in (in_order.PART_ROWS, 37):
        monkeypatch.setattr(in_order, "PART_ROWS", part_rows)
        table = pa.Table.from_batches(list(read_in_order(reader, ["value"])))
        found = list(zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True))
        assert [at for at in found if at[0] == 0] == [at for at in expected if at[0] == 0]
        assert sorted(found) == sorted(expected)
        assert found.index((1, 31)) > found.index((1, 30))
        assert table["value"].to_pylist() == [build_row("t", partition, offset)["value"] for partition, offset in found]
