"""A condition as SQL finds, over a Parquet file, the very rows that it matches in the stream."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.inference.test_conditions import COLUMNS, FEATURES, FIELDS, LISTS, _batch, _read, _rows, _Writer
from weir.inference.core.condition_sql import to_sql
from weir.inference.core.condition_steps import Rows
from weir.inference.core.conditions import Conditions
from weir.inference.core.lists import APPEND_TIME, Lists, parse_lists
from weir.schemas.checks.expression_types import INTEGER, TEXT, Column
from weir.schemas.currencies import compute_base_minor
from weir.schemas.expression import Expression, col, money


def _write(path: Path, rows: list[dict[str, Any]], *, nan_is_null: bool) -> str:
    """Write feature rows as an archive has them: a missing feature null, or NaN where a tool of somebody's wrote it."""
    columns: dict[str, Any] = {"row": pa.array(range(len(rows)), pa.int64())}
    for name in (*FEATURES, "score"):
        values = np.array([row[name] for row in rows], np.float32)
        kind = pa.float64() if name == "score" else pa.float32()
        mask = np.isnan(values) if nan_is_null else None
        columns[name] = pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=mask)
    columns |= {name: pa.array([row[name] for row in rows], kind) for name, (_, kind) in FIELDS.items()}
    pq.write_table(pa.table(columns), path)
    return str(path)


def _select(path: str, conditions: list[Expression]) -> list[list[int]]:
    with duckdb.connect(config={"threads": 1}) as connection:
        texts = [to_sql(condition, COLUMNS, LISTS) for condition in conditions]
        return [
            [row for (row,) in connection.execute(f"SELECT row FROM '{path}' WHERE {text} ORDER BY row").fetchall()]
            for text in texts
        ]


@pytest.mark.parametrize("seed", range(8))
def test_sql_over_parquet_finds_the_rows_that_are_matched(tmp_path: Path, seed: int) -> None:
    chance = random.Random(1_000 + seed)
    rows, writer = _rows(chance, 200), _Writer(chance)
    texts = [writer.condition(chance.choice([0, 1, 2])) for _ in range(60)]
    conditions = [_read(text) for text in texts]
    path = _write(tmp_path / "rows.parquet", rows, nan_is_null=seed % 2 == 0)
    matched = Conditions(conditions, COLUMNS).evaluate(_batch(rows))
    for text, found, expected in zip(texts, _select(path, conditions), matched, strict=True):
        assert found == np.flatnonzero(expected).tolist(), text


def test_a_negation_finds_no_row_of_which_something_is_missing(tmp_path: Path) -> None:
    rows = _rows(random.Random(1), 200)
    for nan_is_null in (True, False):
        path = _write(tmp_path / f"{nan_is_null}.parquet", rows, nan_is_null=nan_is_null)
        over, under = _select(path, [_read("f0 > 1"), _read("not f0 > 1")])
        missing = [number for number, row in enumerate(rows) if np.isnan(row["f0"])]
        assert missing
        assert sorted([*over, *under, *missing]) == list(range(len(rows)))


def test_texts_and_ids_are_quoted(tmp_path: Path) -> None:
    rows = _rows(random.Random(1), 50)
    path = _write(tmp_path / "rows.parquet", rows, nan_is_null=True)
    lists = Lists(watch={"card": frozenset({"c1", "o'hara') OR TRUE --"})})
    with duckdb.connect() as connection:
        for condition in (col("card_id").in_list("watch"), col("word") == "') OR TRUE --", col("word").matches("'|x")):
            text = to_sql(condition, COLUMNS, lists)
            found = connection.execute(f"SELECT row FROM '{path}' WHERE {text} ORDER BY row").fetchall()
            watched = [n for n, row in enumerate(rows) if row["card_id"] == "c1"] if condition.op == "in_list" else []
            assert [row for (row,) in found] == watched


def test_an_entry_of_a_list_ends_by_the_append_time(tmp_path: Path) -> None:
    lists = parse_lists({"block": {"card": ["c1", {"entry": "c2", "until": "2026-01-01T00:00:00Z"}]}}, ["card"])
    at_ms, ids = 1_767_225_600_000, ["c1", "c2", "c2", "c3", None]
    fields = {"card_id": ids, APPEND_TIME: [at_ms, at_ms - 1, at_ms, at_ms, at_ms - 1]}
    pq.write_table(pa.table(fields), tmp_path / "rows.parquet")
    rows = Rows(np.zeros((5, 0), np.float32), (), np.zeros(5, np.float32), pa.record_batch(fields), lists)
    for condition, expected in (
        ("in_list('block', card_id)", [1, 1, 0, 0, 0]),
        ("not in_list('block', card_id)", [0, 0, 1, 1, 0]),
    ):
        (hits,) = Conditions([_read(condition)], COLUMNS).evaluate(rows)
        with duckdb.connect() as connection:
            text = to_sql(_read(condition), COLUMNS, lists)
            found = connection.execute(f"SELECT coalesce({text}, FALSE) FROM '{tmp_path / 'rows.parquet'}'").fetchall()
        assert hits.tolist() == [hit for (hit,) in found] == list(map(bool, expected))


def test_money_months_and_cycles_are_those_of_the_stream(tmp_path: Path) -> None:
    columns = {
        "amount": Column(INTEGER, True, avro="long"), "currency": Column(TEXT, True, avro="string"),
        "time": Column(INTEGER, True, avro="long"),
    }  # fmt: skip
    amounts = [(1_050, "EUR"), (-1_050, "JPY"), (7, "KWD"), (None, "EUR"), (5, None), (1 << 62, "KWD"), (5, "ZZZ")]
    times = [0, -1, 951_782_400_000, 1_767_225_599_999, None, 1_767_225_600_000, 1]
    table = pa.table({
        "amount": pa.array([amount for amount, _ in amounts], pa.int64()),
        "currency": [currency for _, currency in amounts],
        "time": pa.array(times, pa.int64()),
    })  # fmt: skip
    path = tmp_path / "amounts.parquet"
    pq.write_table(table, path)
    usual = [compute_base_minor(amount, code) for amount, code in amounts[:3] if amount is not None and code]
    conditions = {
        "money": (money("amount", "currency").is_in(usual), [True] * 3 + [False] * 4),
        "no money": (money("amount", "currency").is_null(), [False] * 3 + [True] * 4),
        "month": (col("time").month() == 1, [True, False, False, False, False, True, True]),
        "day": (col("time").is_holiday(["1969-12-31", "2026-01-01"]), [False, True, False, False, False, True, False]),
        "turn": (col("time").sin_of(8 * 3_600_000) > -2, [True] * 4 + [False] + [True] * 2),
    }
    with duckdb.connect() as connection:
        for name, (condition, expected) in conditions.items():
            text = to_sql(condition, columns, Lists())
            found = connection.execute(f"SELECT coalesce({text}, FALSE) FROM '{path}'").fetchall()
            assert [hit for (hit,) in found] == expected, name
