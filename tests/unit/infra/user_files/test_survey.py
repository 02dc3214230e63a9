"""The unit of a column is the column's: taken or refused as one, in every format, whatever single values look like."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.infra.user_files.files import GOOD, LABEL, read, read_or_refuse, with_column, write_csv, write_json
from weir.infra.user_files.survey import FileRefused

MAJOR = ["12.50", "12.00", "7.99", "100.00", "3.20", "50.00"]


def test_amounts_in_major_units_are_refused_as_one_and_none_passes_at_a_hundredth(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"12\.50 looks like major units; expected minor units, 1250") as refusal:
        read(write_csv(tmp_path / "a.csv", with_column("amount_minor", MAJOR)))
    assert "none of the 6 rows is taken" in str(refusal.value)
    assert "a.csv:2:" in str(refusal.value)


@pytest.mark.parametrize(
    ("amounts", "currency", "says"),
    [
        (["12.00"], "EUR", "12.00 looks like major units; expected minor units, 1200"),
        (["12.5"], "KWD", "expected minor units, 12500"),
        (["12.00"], "JPY", "expected minor units, 12"),
        (["1250", "12.5"], "EUR", "12.5 looks like major units; expected minor units, 1250"),
        (["1250", "12,50"], "EUR", "12,50 looks like major units; expected minor units, 1250"),
        (["1250", "1,250"], "EUR", "1,250 looks like major units"),
        (["1250", "1.250,50"], "EUR", "1.250,50 looks like major units"),
        (["1250", "$12"], "USD", "$12 looks like major units"),
        (["1250", "12 \u20ac"], "EUR", "looks like major units"),
        (["1e+05", "1250"], "EUR", "1e+05, which a program may have rounded"),
    ],
)
def test_one_value_of_another_unit_speaks_for_its_column(
    tmp_path: Path, amounts: list[str], currency: str, says: str
) -> None:
    rows = [row | {"currency": currency} for row in with_column("amount_minor", amounts)]
    with pytest.raises(FileRefused) as refusal:
        read(write_csv(tmp_path / "a.csv", rows))
    assert says in str(refusal.value)


COLUMNS: dict[str, tuple[list[float], float]] = {  # what passes as a column, and the value that turns it
    "amount_minor": ([2599.0, 1200.0], 12.5),
    "mcc": ([5411.0, 742.0], 5411.5),
    "event_time_ms": ([1_785_000_000_000.0, 1_785_000_000_001.0], 1_785_000_000.123),
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_floats_that_hold_whole_numbers_pass_until_one_has_a_fraction(
    tmp_path: Path, column: str, form: str, place: int
) -> None:
    sound, turning = COLUMNS[column]
    values = list(sound)
    assert len(read(write(tmp_path / f"a.{form}", with_column(column, values))).rows) == 2
    values.insert(place, turning)
    with pytest.raises(FileRefused, match="none of the 3 rows is taken"):
        read(write(tmp_path / f"b.{form}", with_column(column, values)))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    return (write_csv if path.suffix == ".csv" else write_json)(path, rows)


def test_a_gap_in_a_float_column_is_a_gap_and_not_a_unit(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.parquet", with_column("amount_minor", [2599.0, None, float("nan"), 1.0])))
    assert [row["amount_minor"] for row in found.rows] == [2599, 1]
    assert found.errors == [(2, "amount_minor"), (3, "amount_minor")]


def test_a_column_is_judged_over_the_whole_file_before_the_first_row_is_taken(tmp_path: Path) -> None:
    amounts = ["1200"] * 12_000 + ["12.5"]
    with pytest.raises(FileRefused, match=r"12\.5 looks like major units") as refusal:
        read(write_csv(tmp_path / "a.csv", with_column("amount_minor", amounts)))
    assert "a.csv:12002:" in str(refusal.value)


def labels(values: Sequence[Any], column: str = "is_fraud") -> list[dict[str, Any]]:
    return [LABEL | {"transaction_id": f"t{number}", column: value} for number, value in enumerate(values)]


def test_flags_may_be_floats_but_scores_are_no_labels(tmp_path: Path) -> None:
    found = read(write_csv(tmp_path / "a.csv", labels(["1.0", "0.0", ""])), "labels")
    assert [row["is_fraud"] for row in found.rows] == [True, False, None]
    with pytest.raises(FileRefused, match="a score is no label"):
        read(write_csv(tmp_path / "a.csv", labels(["1.0", "0.0", "0.7"])), "labels")


def test_times_with_an_offset_next_to_times_without_are_refused(tmp_path: Path) -> None:
    times = ["2026-07-25T17:20:00", "2026-07-25T17:20:00Z"]
    for each in times:
        assert len(read(write_csv(tmp_path / "a.csv", with_column("event_time_ms", [each]))).rows) == 1
    with pytest.raises(FileRefused, match="1 without an offset and 1 with one"):
        read(write_csv(tmp_path / "a.csv", with_column("event_time_ms", times)))


def test_ids_that_all_end_in_a_float_s_fraction_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"end in \.0"):
        read(write_csv(tmp_path / "a.csv", with_column("card_id", ["17.0", "18.0"])))
    assert len(read(write_csv(tmp_path / "a.csv", with_column("card_id", ["17.0", "v2"]))).rows) == 2


def test_a_fault_of_every_row_is_one_message(tmp_path: Path) -> None:
    lines = write_csv(tmp_path / "a.csv", with_column("mcc", [5411] * 300)).read_text().splitlines()
    (tmp_path / "b.csv").write_text("\n".join([lines[0], *[line + "," for line in lines[1:]]]))
    with pytest.raises(FileRefused, match=r"b\.csv:2: expected 11 cells, found 12; none of the 300 rows is taken"):
        read(tmp_path / "b.csv")
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    with pytest.raises(FileRefused, match=r"c\.jsonl:1: expected a JSON object, .* none of the 301 rows is taken"):
        read(tmp_path / "c.jsonl")


ROWS = 2
TYPES: dict[str, pa.Array] = {
    "int8": pa.array([1, 2], pa.int8()),
    "int64": pa.array([1, 2], pa.int64()),
    "uint64": pa.array([1, 2], pa.uint64()),
    "float16": pa.array([1.0, 2.0], pa.float16()),
    "float32": pa.array([1.0, 2.0], pa.float32()),
    "float64": pa.array([1.0, 2.0], pa.float64()),
    "decimal": pa.array([Decimal(1), Decimal(2)], pa.decimal128(9, 0)),
    "decimal of cents": pa.array([Decimal("1.00"), Decimal("2.00")], pa.decimal128(9, 2)),
    "bool": pa.array([True, False]),
    "string": pa.array(["1", "2"]),
    "large string": pa.array(["1", "2"], pa.large_string()),
    "string view": pa.array(["1", "2"], pa.string_view()),
    "binary": pa.array([b"1", b"2"]),
    "large binary": pa.array([b"1", b"2"], pa.large_binary()),
    "binary view": pa.array([b"1", b"2"], pa.binary_view()),
    "binary of one width": pa.array([b"1", b"2"], pa.binary(1)),
    "category": pa.array(["1", "2"]).dictionary_encode(),
    "category of ints": pa.array([1, 2]).dictionary_encode(),
    "null": pa.nulls(2),
    "timestamp s": pa.array([1_785_000_000, 1_785_000_000], pa.timestamp("s", "UTC")),
    "timestamp ns": pa.array([1_785_000_000_000_000_000] * 2, pa.timestamp("ns")),
    "date": pa.array([20_000, 20_001], pa.date32()),
    "time of day": pa.array([1, 2], pa.time32("s")),
    "duration": pa.array([1, 2], pa.duration("s")),
    "list": pa.array([[1], [2]]),
    "struct": pa.array([{"a": 1}, {"a": 2}]),
    "map": pa.array([[("a", 1)], [("a", 2)]], pa.map_(pa.string(), pa.int64())),
}


TEXTS = {kind for kind in TYPES if kind.split()[0] in {"string", "binary"} or kind.startswith("large")}
UNFIT_EVERYWHERE = {"date", "time of day", "duration", "list", "struct", "map"}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("column", [*GOOD, "lat", "device_id"])
def test_every_parquet_type_in_every_column_is_taken_or_refused_in_words(
    tmp_path: Path, column: str, kind: str
) -> None:
    """Nothing of any type is a traceback, and no float and no nested value becomes an id or an amount."""
    table = pa.Table.from_pylist([GOOD, GOOD | {"transaction_id": "t2"}])
    place = table.schema.get_field_index(column)
    changed = TYPES[kind]
    table = table.set_column(place, column, changed) if place >= 0 else table.append_column(column, changed)
    pq.write_table(table, tmp_path / "a.parquet")
    refusal, found = read_or_refuse(tmp_path / "a.parquet")
    if found is None:
        assert not (column.endswith("_id") and kind in TEXTS)
        assert column in refusal or "looks like major units" in refusal
        return
    assert kind not in UNFIT_EVERYWHERE
    if column.endswith("_id") and kind in TEXTS:
        assert [row[column] for row in found.rows] == ["1", "2"]
    assert found.outcome.good + found.outcome.bad == ROWS
    if column.endswith("_id") and kind.startswith(("float", "decimal", "bool", "timestamp")):
        assert found.rows == []
    if column == "amount_minor":
        assert {row["amount_minor"] for row in found.rows} <= {1, 2}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cents=st.lists(st.integers(0, 10**6), min_size=1, max_size=8), places=st.integers(0, 3), comma=st.booleans())
def test_no_amount_that_was_written_in_major_units_is_ever_taken_as_minor_units(
    tmp_path: Path, cents: list[int], places: int, comma: bool
) -> None:
    """Formatted with decimals, as any program does; whole numbers are what minor units are."""
    texts = [f"{cent / 100:.{places}f}" for cent in cents]
    texts = [text.replace(".", ",") for text in texts] if comma else texts
    path = write_csv(tmp_path / "a.csv", with_column("amount_minor", texts))
    if places == 0 or (places == 1 and not comma and all(text.endswith(".0") for text in texts)):
        assert [row["amount_minor"] for row in read(path).rows] == [int(float(text)) for text in texts]
    else:
        with pytest.raises(FileRefused):
            read(path)
