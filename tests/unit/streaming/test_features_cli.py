"""``weir features``: what it lists is what is declared, what it writes is what the kernel computes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.payments import DAY_MS, DECLARATIONS_HASH, FEATURE_NAMES
from tests.unit.infra.user_files.files import LABEL, payments, write_csv, write_parquet
from tests.unit.streaming.streams import START_MS, event, random_stream, record_batch
from weir.archive.features import cli as features_cli
from weir.cli import main
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused
from weir.schemas.project import SHIPPED, find_stream


def test_list_names_every_feature_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert features_cli.main(["features", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["declarations_hash"] == DECLARATIONS_HASH
    assert [feature["name"] for feature in document["features"]] == list(FEATURE_NAMES)


def test_a_wrong_feature_of_a_shipped_stream_is_refused_with_its_file_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = find_stream(Path("/"), "transactions")
    wrong = replace(shipped, features=[shipped.key.amount.median("1d", why="none")], rules=[])
    monkeypatch.setattr("weir.streaming.features_cli.find_stream", lambda *_: wrong)
    told = r"test_features_cli\.py:\d+: feature card_amount_median_1d: expected an aggregate, found 'median'; did you"
    with pytest.raises(Refused, match=told):
        features_cli.main(["features", "list"])


def test_docs_have_one_row_per_feature(capsys: pytest.CaptureFixture[str]) -> None:
    assert features_cli.main(["features", "docs"]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == len(FEATURE_NAMES) + 2


def test_docs_are_the_page_that_is_checked_in(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[3] / "docs" / "features.md"
    assert features_cli.main(["features", "docs"]) == 0
    assert page.read_text() == capsys.readouterr().out, "run `weir features docs > docs/features.md`"


def test_owners_are_in_the_list_and_on_the_page_where_one_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = find_stream(Path("/"), "transactions")
    named = shipped.key.amount.sum("1h", why="drained", owner="treasury")
    features = [*shipped.key.event.count("1m", why="a burst"), *named]
    of_two = replace(shipped, features=features, values=(), reasons={}, rules=[], groups=())
    monkeypatch.setattr("weir.streaming.features_cli.find_stream", lambda *_: of_two)
    assert features_cli.main(["features", "list"]) == 0
    assert capsys.readouterr().out == (
        "card_event_count_1m  a burst (card risk)\ncard_amount_sum_1h   drained (treasury)\n"
    )
    assert features_cli.main(["features", "docs"]) == 0
    page = capsys.readouterr().out
    assert "Who answers for them: card risk." in page
    assert "| feature | entity | aggregate | window | why | owner |\n|---|---|---|---|---|---|\n" in page
    assert "| `card_amount_sum_1h` | card | sum | 1h | drained | treasury |" in page


@pytest.mark.parametrize("name", ["clicks", "transfers"])
def test_docs_of_another_stream_say_what_is_true_of_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stream = find_stream(Path("/"), name)
    assert features_cli.main(["features", "docs", "--stream", name]) == 0
    page = capsys.readouterr().out
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(stream.feature_names)
    assert f"Generated from `schemas/streams/{name}.py`" in page
    assert ("base minor units" in page) == (name == "transfers")
    for absent in ("Label risk", "refund", "payment", "transaction", "{", "}"):
        assert absent not in page


def test_list_is_of_the_stream_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    stream = find_stream(Path("/"), "clicks")
    assert features_cli.main(["features", "list", "--stream", "clicks", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["declarations_hash"] == stream.declarations_hash
    assert [feature["name"] for feature in document["features"]] == list(stream.feature_names)


def test_in_a_project_the_default_is_meant_where_no_stream_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SHIPPED, tmp_path / "streams", ignore=shutil.ignore_patterns("__*"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weir.toml").write_text("")
    with pytest.raises(Refused, match=r"expected the name of a stream, found no --stream and no default in weir.toml"):
        features_cli.main(["features", "docs"])
    (tmp_path / "weir.toml").write_text('default = "clicks"')
    assert features_cli.main(["features", "docs"]) == 0
    assert "| `click_hour` |" in capsys.readouterr().out
    with pytest.raises(Refused, match="found 'transfer'; did you mean 'transfers'"):
        features_cli.main(["features", "docs", "--stream", "transfer"])


def test_backfill_writes_counted_rows_with_missing_features_as_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [e | {"amount_minor": abs(e["amount_minor"])} for e in random_stream(8, 40, disorder=False)]
    repeated = [*events, events[-1]]
    pq.write_table(pa.Table.from_batches([record_batch(repeated)]), tmp_path / "transactions.parquet")
    out = tmp_path / "features.parquet"
    flags = ["--transactions", str(tmp_path / "transactions.parquet"), "--out", str(out), "--json"]
    assert features_cli.main(["features", "backfill", *flags]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 41, "written": 40, "duplicates": 1, "late": 0, "bad": 0}
    table = pq.read_table(out)
    assert table.schema.names[4:] == list(FEATURE_NAMES)
    assert table["card_event_gap_30d"].null_count == len({e["card_id"] for e in events})
    assert table["transaction_id"].to_pylist() == [e["transaction_id"] for e in events]


def backfill(*flags: object) -> int:
    return main(["features", "backfill", *map(str, flags)])


def test_backfill_sees_a_label_known_between_two_payments_of_one_small_file(tmp_path: Path) -> None:
    #   a .... 7 d: label of a .... 20 d: b
    a, b = event(transaction_id="a"), event(START_MS + 20 * DAY_MS, transaction_id="b", card_id="c-2")
    pq.write_table(pa.Table.from_batches([record_batch([a, b])]), tmp_path / "transactions.parquet")
    names = ("transaction_id", "card_id", "merchant_id", "device_id", "event_time_ms")
    label = {name: a[name] for name in names} | {
        "label_time_ms": START_MS + 7 * DAY_MS,
        "is_fraud": True,
        "source": "chargeback",
    }
    pq.write_table(pa.Table.from_pylist([label]), tmp_path / "labels.parquet")
    out = tmp_path / "features.parquet"
    given = ("--transactions", tmp_path / "transactions.parquet", "--labels", tmp_path / "labels.parquet")
    assert backfill(*given, "--out", out) == 0
    assert pq.read_table(out)["merchant_label_risk_30d"].to_pylist() == [None, 1.0]


def test_backfill_refuses_a_missing_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    assert backfill("--transactions", tmp_path / "absent.parquet", "--out", tmp_path / "features.parquet") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_is_told_and_nothing_is_computed_unless_it_may_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = payments(4)
    rows[2] |= {"channel": "web"}
    flags = ("--transactions", write_csv(tmp_path / "a.csv", rows), "--out", tmp_path / "features.parquet")
    assert backfill(*flags) == 1
    written = capsys.readouterr().err
    assert "a.csv:4: wrong_type: expected POS or ATM" in written
    assert "1 bad of 4 rows, nothing is computed" in written
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert backfill(*flags, "--skip-bad", "--json") == 0
    assert json.loads(capsys.readouterr().out)["written"] == 3
    assert pq.read_table(tmp_path / "features.parquet").num_rows == 3


def test_placeholders_of_history_are_null_and_of_its_cards_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_PLACEHOLDER_IDS", '["pos-1"]')
    rows = payments(4)
    for row, value in zip(rows, ("null", "null", "POS-1", "pos-1"), strict=True):
        row |= {"device_id": value}
    out = tmp_path / "features.parquet"
    assert backfill("--transactions", write_csv(tmp_path / "a.csv", rows), "--out", out) == 0
    written = pq.read_table(out)
    assert written["device_event_count_1h"].null_count == 4
    assert written.schema.metadata[b"declarations_hash"].decode() == load_settings().declarations_hash
    assert load_settings().declarations_hash != DECLARATIONS_HASH
    rows[1] |= {"card_id": "Pos-1"}
    assert backfill("--transactions", write_csv(tmp_path / "b.csv", rows), "--out", tmp_path / "b.parquet") == 1
    assert "b.csv:3: placeholder_id: expected an id" in capsys.readouterr().err


FAULTY: dict[str, Any] = {
    "amount in major units": pa.array([57.16, 12.0]),
    "amount beyond any payment": pa.array([10**15, 5]),
    "channel": pa.array(["web", "POS"]),
    "card_id": pa.array([None, "c"]),
    "currency": pa.array(["ZZZ", "EUR"]),
    "event_time_ms": pa.array(["yesterday", "2026-07-25T17:20:00Z"]),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_publish_and_backfill_say_the_same_of_the_same_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    column = "amount_minor" if fault.startswith("amount") else fault
    table = pa.Table.from_pylist(payments(2))
    pq.write_table(
        table.set_column(table.schema.get_field_index(column), column, FAULTY[fault]), tmp_path / "a.parquet"
    )
    assert main(["publish", str(tmp_path / "a.parquet"), "--dry-run"]) != 0
    published = capsys.readouterr().err.splitlines()
    assert backfill("--transactions", tmp_path / "a.parquet", "--out", tmp_path / "features.parquet") != 0
    computed = capsys.readouterr().err.splitlines()
    assert published[0].removeprefix("weir publish: ") == computed[0].removeprefix("weir features: ")
    assert not (tmp_path / "features.parquet").exists()


SOUND: dict[str, Any] = {
    "transaction_id": pa.array([1, 2]),
    "merchant_id": pa.array(["m", "m"]).dictionary_encode(),
    "mcc": pa.array([5411.0, 742.0]),
    "event_time_ms": pa.array([1_785_000_000_000] * 2, pa.timestamp("ms", "UTC")),
    "outcome": None,
}


@pytest.mark.parametrize("column", SOUND)
def test_types_that_publish_takes_are_computed_from_too(tmp_path: Path, column: str) -> None:
    table = pa.Table.from_pylist(payments(2))
    place = table.schema.get_field_index(column)
    changed = table.remove_column(place) if SOUND[column] is None else table.set_column(place, column, SOUND[column])
    pq.write_table(changed, tmp_path / "a.parquet")
    assert backfill("--transactions", tmp_path / "a.parquet", "--out", tmp_path / "features.parquet") == 0
    assert pq.read_table(tmp_path / "features.parquet").num_rows == 2


def same(path: Path) -> Path:
    return path


def dotted(path: Path) -> Path:
    return path.parent / "x" / ".." / path.name


def symlink(path: Path) -> Path:
    (path.parent / "link.parquet").symlink_to(path)
    return path.parent / "link.parquet"


def hard_link(path: Path) -> Path:
    os.link(path, path.parent / "hard.parquet")
    return path.parent / "hard.parquet"


@pytest.mark.parametrize("spelling", [same, dotted, symlink, hard_link])
@pytest.mark.parametrize("which", ["transactions", "labels"])
@pytest.mark.parametrize("flags", [(), ("--replace",)])
def test_no_input_is_overwritten_however_it_is_spelt(
    tmp_path: Path, spelling: Callable[[Path], Path], which: str, flags: tuple[str, ...]
) -> None:
    (tmp_path / "x").mkdir()
    inputs = {"transactions": write_parquet(tmp_path / "t.parquet", payments(2)),
              "labels": write_parquet(tmp_path / "l.parquet", [LABEL])}  # fmt: skip
    before = {name: path.read_bytes() for name, path in inputs.items()}
    given = ("--transactions", inputs["transactions"], "--labels", inputs["labels"])
    assert backfill(*given, "--out", spelling(inputs[which]), *flags) == 2
    assert {name: path.read_bytes() for name, path in inputs.items()} == before


def test_an_existing_output_is_replaced_on_demand_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--transactions", write_csv(tmp_path / "a.csv", payments(2)), "--out", tmp_path / "out.parquet")
    (tmp_path / "out.parquet").write_text("mine")
    assert backfill(*given) == 2
    assert "--replace" in capsys.readouterr().err
    assert (tmp_path / "out.parquet").read_text() == "mine"
    assert backfill(*given, "--replace") == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 2
    for out in (tmp_path, Path("/proc/none/out.parquet"), tmp_path / "a.csv" / "out.parquet"):
        assert backfill(*given[:2], "--out", out) == 2
