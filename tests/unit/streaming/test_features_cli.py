"""``weir features``: what it lists is what is declared, what it writes is what the kernel computes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import Refused
from schemas.features import DECLARATIONS_HASH, FEATURE_NAMES
from streaming import features_cli
from tests.unit.streaming.streams import event, random_stream, record_batch


def test_list_names_every_feature_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert features_cli.main(["features", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["declarations_hash"] == DECLARATIONS_HASH
    assert [feature["name"] for feature in document["features"]] == list(FEATURE_NAMES)


def test_docs_have_one_row_per_feature(capsys: pytest.CaptureFixture[str]) -> None:
    assert features_cli.main(["features", "docs"]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == len(FEATURE_NAMES) + 2


def test_docs_are_the_page_that_is_checked_in() -> None:
    page = Path(__file__).parents[3] / "docs" / "features.md"
    assert page.read_text() == features_cli.format_docs(), "run `weir features docs > docs/features.md`"


def test_backfill_writes_counted_rows_with_missing_features_as_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [e | {"amount_minor": abs(e["amount_minor"])} for e in random_stream(8, 40, disorder=False)]
    repeated = [*events, events[-1]]
    pq.write_table(pa.Table.from_batches([record_batch(repeated)]), tmp_path / "transactions.parquet")
    out = tmp_path / "features.parquet"
    flags = ["--transactions", str(tmp_path / "transactions.parquet"), "--out", str(out), "--json"]
    assert features_cli.main(["features", "backfill", *flags]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 41, "written": 40, "duplicates": 1, "late": 0}
    table = pq.read_table(out)
    assert table.schema.names[4:] == list(FEATURE_NAMES)
    assert table["card_event_gap_30d"].null_count == len({e["card_id"] for e in events})
    assert table["transaction_id"].to_pylist() == [e["transaction_id"] for e in events]


def test_backfill_refuses_a_missing_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    with pytest.raises(Refused, match="expected a Parquet file"):
        features_cli.run_backfill(tmp_path / "absent.parquet", None, out, 1)
    assert list(tmp_path.iterdir()) == []


def test_backfill_that_fails_half_way_leaves_no_output(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_batches([record_batch([event(amount_minor=-(10**9))])]), tmp_path / "transactions.parquet"
    )
    out = tmp_path / "features.parquet"
    with pytest.raises(ValueError, match="out of range"):
        features_cli.run_backfill(tmp_path / "transactions.parquet", None, out, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["transactions.parquet"]
