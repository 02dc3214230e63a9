"""A sound file of each format is taken whole; each bad row is told with its line, and the others are taken."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.infra.user_files.files import (
    GOOD,
    LABEL,
    payments,
    read,
    read_or_refuse,
    write_csv,
    write_json,
    write_parquet,
)
from weir.infra.user_files.checker import Checker
from weir.infra.user_files.door import Manner
from weir.infra.user_files.sources import open_source
from weir.infra.user_files.tables import Reading, open_table

WRITERS = [(write_csv, "a.csv"), (write_json, "a.jsonl"), (write_json, "a.ndjson"), (write_parquet, "a.parquet")]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_sound_file_of_each_format_is_all_good(tmp_path: Path, write: Any, name: str) -> None:
    found = read(write(tmp_path / name, payments(7)))
    assert (len(found.rows), found.errors) == (7, [])
    assert [row["transaction_id"] for row in found.rows] == [f"t{number}" for number in range(7)]
    assert {name: found.rows[1][name] for name in GOOD} == GOOD


def test_each_bad_csv_line_is_reported_with_its_number_and_field(tmp_path: Path) -> None:
    rows = payments(6)
    rows[1]["amount_minor"] = -(10**10)
    rows[2]["currency"] = "ZZZ"
    rows[4]["card_id"] = "4111111111111111"
    tail = b"too,few\r\n" + b"a," * 11 + b"12\r\n" + b"\xff,c,u,m,1,POS,1,EUR,DE,1785000000000,ACCEPTED\r\n"
    found = read(write_csv(tmp_path / "a.csv", rows, tail))
    assert len(found.rows) == 3
    assert found.errors == [
        (3, "amount_minor"),
        (4, "currency"),
        (6, "card_id"),
        (8, "malformed_line"),
        (9, "malformed_line"),
        (10, "transaction_id"),
    ]
    assert "found bytes of another encoding" in found.messages[-1]


@pytest.mark.parametrize(
    ("time", "day", "unit"),
    [(1_785_000_000, "2026-07-25", "seconds"), (1_785_000_000_000_000, "2026-07-25", "microseconds")],
)
def test_a_time_in_another_unit_is_refused_with_its_line_and_the_unit(
    tmp_path: Path, time: int, day: str, unit: str
) -> None:
    found = read(write_csv(tmp_path / "a.csv", [*payments(9), GOOD | {"event_time_ms": time}]))
    assert found.errors == [(11, "event_time_ms")]
    assert f"it would be {day} as {unit}; expected milliseconds" in found.messages[0]


@pytest.mark.parametrize("field", ["event_time_ms", "label_time_ms"])
def test_a_time_of_a_label_in_another_unit_is_refused_the_same(tmp_path: Path, field: str) -> None:
    path = write_json(tmp_path / "a.jsonl", [*[LABEL] * 9, LABEL | {field: LABEL[field] // 1_000}])
    found = read(path, "labels")
    assert found.errors == [(10, field)]
    assert "as seconds; expected milliseconds" in found.messages[0]


def test_each_bad_json_line_is_reported_and_blank_ones_are_counted(tmp_path: Path) -> None:
    tail = '\n{oops\n[1]\n{"card_id": 1}\n' + "[" * 100_000 + '\n{"card_id": "a", "card_id": "b"}\n'
    found = read(write_json(tmp_path / "a.jsonl", payments(2), tail))
    assert (len(found.rows), found.outcome.blank) == (2, 1)
    assert found.errors == [
        (4, "malformed_line"),
        (5, "malformed_line"),
        (6, "transaction_id"),
        (7, "malformed_line"),
        (8, "malformed_line"),
    ]
    assert "nested too deeply" in found.messages[3]
    assert "card_id twice" in found.messages[4]


def test_a_number_of_thousands_of_digits_is_refused_for_what_it_is(tmp_path: Path) -> None:
    line = '{"amount_minor": ' + "9" * 5_000 + ', "transaction_id": "t", "card_id": "c"}'
    found = read(write_json(tmp_path / "a.jsonl", payments(1), line.replace('"t"', '"t9", ' + str_of_rest()) + "\n"))
    assert found.errors == [(2, "amount_minor")]
    assert "a number of 5000 digits at $.amount_minor" in found.messages[0]


def str_of_rest() -> str:
    rest = {name: value for name, value in GOOD.items() if name not in {"amount_minor", "transaction_id", "card_id"}}
    return ", ".join(
        f'"{name}": {value if isinstance(value, int) else chr(34) + value + chr(34)}' for name, value in rest.items()
    )


def test_each_bad_parquet_row_is_reported_with_its_number(tmp_path: Path) -> None:
    rows = payments(3)
    rows[1]["country"] = "Germany"
    found = read(write_parquet(tmp_path / "a.parquet", rows))
    assert (len(found.rows), found.errors) == (2, [(2, "country")])


def test_a_payment_from_the_future_is_refused(tmp_path: Path) -> None:
    found = read(write_json(tmp_path / "a.jsonl", payments(1, event_time_ms=4_000_000_000_000)))
    assert found.errors == [(1, "event_time_ms")]


def test_labels_are_checked_by_their_own_schema(tmp_path: Path) -> None:
    rows = [LABEL, {name: value for name, value in LABEL.items() if name != "label_time_ms"}]
    found = read(write_json(tmp_path / "a.jsonl", rows), "labels")
    assert (len(found.rows), found.errors) == (1, [(2, "label_time_ms")])


def test_missing_optional_fields_are_null_and_unknown_columns_are_left_out(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "outcome"} | {"note": "x"} for row in payments(2)]
    found = read(write_csv(tmp_path / "a.csv", rows))
    assert [(row["outcome"], row["lat"], "note" in row) for row in found.rows] == [("UNKNOWN", None, False)] * 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "windows-1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("packed", [False, True])
def test_other_encodings_separators_and_gzip_are_read_when_they_are_named(
    tmp_path: Path, encoding: str, separator: str, packed: bool
) -> None:
    text = write_csv(tmp_path / "plain.csv", payments(3, merchant_id="Müller")).read_text().replace(",", separator)
    data = text.encode(encoding)
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    found = read(path, manner=Manner(Reading(separator, encoding.removesuffix("-sig"))))
    assert [row["merchant_id"] for row in found.rows] == ["Müller"] * 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(tmp_path: Path, end: str) -> None:
    lines = write_csv(tmp_path / "a.csv", payments(3)).read_text().splitlines()
    (tmp_path / "a.csv").write_bytes(end.join([*lines[:2], "x", *lines[2:]]).encode())
    found = read(tmp_path / "a.csv")
    assert (len(found.rows), found.errors, found.outcome.lines) == (3, [(3, "malformed_line")], 5)


def test_no_control_character_of_a_file_reaches_a_message(tmp_path: Path) -> None:
    rows = payments(2, channel="\x1b]0;title\x07", mcc="\x1b[2J")
    found = read(write_json(tmp_path / "a.jsonl", rows))
    assert len(found.messages) == 2
    pq.write_table(pa.table({"a\x1b[2J": [1], "card_id": [[{"\x1b": 1}]]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("a\x1b[2J,b\n1,2\n")
    refusals = [read_or_refuse(tmp_path / name)[0] for name in ("a.parquet", "a.csv")]
    assert all(refusals)
    assert [text for text in [*refusals, *found.messages] if not text.isprintable()] == []


def test_a_truncated_archive_gives_what_it_holds_and_says_that_it_ends(tmp_path: Path) -> None:
    rows = payments(20_000)
    whole = gzip.compress(write_csv(tmp_path / "a.csv", rows).read_bytes())
    path = tmp_path / "b.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    found = read(path)
    assert 0 < len(found.rows) < len(rows)
    assert "cannot be read after line" in found.outcome.broken


def test_a_line_without_end_costs_a_line_and_little_memory(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", payments(2), b"x" * (5 << 20) + b"\r\n")
    with path.open("ab") as stream:
        stream.write(write_csv(tmp_path / "b.csv", payments(1)).read_bytes().split(b"\r\n")[1] + b"\r\n")
    found = read(path)
    assert (len(found.rows), found.errors) == (3, [(4, "malformed_line")])


def peak_bytes(path: Path) -> int:
    tracemalloc.start()
    try:
        read_or_refuse(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_whatever_a_file_is_full_of(tmp_path: Path) -> None:
    """Each would take gigabytes if a block were cut by its rows alone, or every name of an object kept."""
    long_lines = gzip.compress(
        b",".join(name.encode() for name in GOOD) + b"\n" + (b"y" * 900_000 + b"," * 10 + b"\n") * 120
    )
    names = b"".join(
        b'{"card_id": 1, %s}\n' % b", ".join(b'"n%d": 1' % (row * 40 + i) for i in range(40)) for row in range(1_000)
    )
    (tmp_path / "long.csv.gz").write_bytes(long_lines)
    (tmp_path / "no_end.csv.gz").write_bytes(gzip.compress(b"x" * (100 << 20)))
    (tmp_path / "names.jsonl").write_bytes(names)
    for name in ("long.csv.gz", "no_end.csv.gz", "names.jsonl"):
        assert peak_bytes(tmp_path / name) < 60 << 20, name


def test_a_nul_is_named_and_costs_its_line_alone(tmp_path: Path) -> None:
    rows = payments(3)
    rows[1]["merchant_id"] = "a\0b"
    found = read(write_json(tmp_path / "a.jsonl", rows))
    assert found.errors == [(2, "merchant_id")]
    assert "NUL" in found.messages[0]


def test_a_file_that_grows_while_it_is_read_is_not_whole(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", payments(2))
    with open_source(path) as source:
        checker = Checker(
            source,
            open_table(source, Reading()),
            Manner().plan("transactions"),
            Manner().placeholders,
            lambda *_: None,
            lambda: 0,
        )
        checker.judge()
        with path.open("ab") as stream:
            stream.write(b"x\r\n")
        list(checker.check())
    assert "written to while it was read" in checker.outcome.broken


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_the_byte_order_marks_of_files_put_together_are_no_part_of_an_id(tmp_path: Path, encoding: str) -> None:
    """`cat a.csv b.csv` leaves the second one's mark, and its header, in the middle."""
    header, first, second = (",".join(map(str, line)) for line in (GOOD, GOOD.values(), GOOD.values()))
    path = tmp_path / "a.csv"
    lines = [f"\ufeff{header}", first, f"\ufeff\ufeff{second}", f"\ufeff{header}", second]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    found = read(path, manner=Manner(reading=Reading(encoding=encoding)))
    assert [row["transaction_id"] for row in found.rows] == [GOOD["transaction_id"]] * 3
    assert [line for line, _ in found.errors] == [4]
