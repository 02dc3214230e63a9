from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generators import publish
from generators.publish import Checker, main, send
from generators.user_rows import read_rows
from schemas.errors import PoisonRecord, Refused
from tests.unit.generators.test_coercion import GOOD
from tests.unit.generators.worlds import RecordingProducer, encoder


def write_csv(path: Path, rows: list[dict[str, Any]], tail: bytes = b"") -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(GOOD))
        writer.writeheader()
        writer.writerows(rows)
    path.write_bytes(path.read_bytes() + tail)
    return path


def write_json(path: Path, rows: list[dict[str, Any]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def payments(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [GOOD | {"transaction_id": f"t{number}"} | changes for number in range(count)]


def check(path: Path, kind: str = "transactions") -> tuple[int, list[tuple[int, str]]]:
    errors: list[tuple[int, str]] = []

    def report(number: int, error: PoisonRecord) -> None:
        errors.append((number, error.field or error.reason))

    checker = Checker(kind, report)
    good = sum(block.batch.num_rows for block in checker.check(read_rows(path)))
    assert (checker.outcome.good, checker.outcome.bad) == (good, len(errors))
    return good, errors


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_csv, "a.csv"), (write_json, "a.jsonl"), (write_json, "a.ndjson"), (write_parquet, "a.parquet")],
)
def test_a_sound_file_of_each_format_is_all_good(tmp_path: Path, write: Any, name: str) -> None:
    assert check(write(tmp_path / name, payments(7))) == (7, [])


def test_each_bad_csv_line_is_reported_with_its_number_and_field(tmp_path: Path) -> None:
    rows = payments(6)
    rows[1]["amount_minor"] = -(10**12)
    rows[2]["currency"] = "ZZZ"
    rows[4]["card_id"] = "4111111111111111"
    tail = b"too,few\r\n" + b"a," * 11 + b"12\r\n" + b"\xff,c,u,m,1,POS,1,EUR,DE,1785000000000,ACCEPTED\r\n"
    assert check(write_csv(tmp_path / "a.csv", rows, tail)) == (
        3,
        [
            (3, "amount_minor"),
            (4, "currency"),
            (6, "card_id"),
            (8, "customer_id"),
            (9, "malformed_line"),
            (10, "transaction_id"),
        ],
    )


def test_a_cell_with_a_line_break_does_not_shift_the_numbers_after_it(tmp_path: Path) -> None:
    rows = payments(3)
    rows[0]["merchant_id"] = "two\nlines"
    rows[2]["mcc"] = "none"
    good, errors = check(write_csv(tmp_path / "a.csv", rows))
    assert good == 2
    assert errors == [(5, "mcc")]


def test_each_bad_json_line_is_reported_and_blank_ones_are_not(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.jsonl", payments(2), '\n{oops\n[1]\n{"card_id": 1}\n' + "[" * 100_000 + "\n")
    good, errors = check(path)
    assert good == 2
    assert errors == [
        (4, "malformed_line"),
        (5, "malformed_line"),
        (6, "transaction_id"),
        (7, "malformed_line"),
    ]


def test_each_bad_parquet_row_is_reported_with_its_number(tmp_path: Path) -> None:
    rows = payments(3)
    rows[1]["country"] = "Germany"
    assert check(write_parquet(tmp_path / "a.parquet", rows)) == (2, [(2, "country")])


def test_a_payment_from_the_future_is_refused(tmp_path: Path) -> None:
    assert check(write_json(tmp_path / "a.jsonl", payments(1, event_time_ms=4_000_000_000_000)))[1] == [
        (1, "event_time_ms")
    ]


def test_labels_are_checked_by_their_own_schema(tmp_path: Path) -> None:
    label = {name: GOOD[name] for name in ("transaction_id", "card_id", "merchant_id", "event_time_ms")}
    rows = [label | {"label_time_ms": 1_785_000_000_001, "source": "analyst", "is_fraud": True}, label]
    assert check(write_json(tmp_path / "a.jsonl", rows), "labels") == (1, [(2, "label_time_ms")])


def test_what_is_no_file_of_ours_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("not parquet")
    (tmp_path / "empty.csv").write_text("")
    for name in ("a.parquet", "empty.csv", "a.xlsx", "missing.csv"):
        with pytest.raises(Refused, match="expected"):
            list(read_rows(tmp_path / name))


def test_good_rows_are_sent_with_the_card_as_key_and_failures_counted(tmp_path: Path) -> None:
    producer = RecordingProducer(refused=1)
    checker = Checker("transactions", lambda *_: None)
    blocks = checker.check(read_rows(write_json(tmp_path / "a.jsonl", payments(4))))
    assert send(cast("Any", producer), encoder(), "mine", blocks) == 1
    assert [(topic, key) for topic, key, _ in producer.records] == [("mine", b"card_1")] * 4


def run(path: Path, *flags: str) -> int:
    return main(["publish", str(path), "--dry-run", *flags])


def test_bad_lines_fail_the_run_unless_they_may_be_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_json(tmp_path / "a.jsonl", payments(2), "oops\n")
    assert run(path) == 1
    assert run(path, "--skip-bad", "--json") == 0
    output = capsys.readouterr()
    assert "a.jsonl:3: malformed_line: expected a JSON object" in output.err
    assert json.loads(output.out.splitlines()[-1])["bad"] == 1


def test_a_file_without_a_good_line_fails(tmp_path: Path) -> None:
    assert run(write_json(tmp_path / "a.jsonl", [], "oops\n"), "--skip-bad") == 1
    assert run(write_csv(tmp_path / "a.csv", [])) == 1


def test_a_dry_run_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "build_producer", None)
    assert run(write_json(tmp_path / "a.jsonl", payments(2))) == 0
