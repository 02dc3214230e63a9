"""``weir check``: fields that cannot be read, and how long a change takes to compute again."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

import weir.cli
from tests.house.source import ROOT
from tests.unit.test_check import SCHEMA, check, good, project
from weir import rebuild_time

BENCH = ROOT / "docs" / "results" / "bench.md"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (["null", "string", "long"], "found 'odd' of union of several types"),
        (["null", {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}], ""),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, ""),
        ("Channel", ""),
    ],
)
def test_a_field_that_cannot_be_read_is_told_with_its_line_although_nothing_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: object, told: str
) -> None:
    folder = project(tmp_path / "shop", orders=good())
    schema = SCHEMA | {"fields": [*SCHEMA["fields"], {"name": "odd", "type": kind}]}
    (folder / "streams" / "orders.avsc").write_text(json.dumps(schema, indent=1))
    monkeypatch.chdir(folder)
    assert weir.cli.main(["check"]) == (1 if told else 0)
    said = capsys.readouterr().out
    if told:
        line = next(n for n, text in enumerate(json.dumps(schema, indent=1).splitlines(), 1) if '"odd"' in text)
        start = f"streams/orders.avsc:{line}: schema orders.avsc: expected a type that can be read, "
        assert said.splitlines()[0] == start + told


def test_an_amount_in_decimal_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path / "shop", orders=good().replace('col("event_time_ms") * 0', 'col("odd")'))
    odd = {"name": "odd", "type": {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}}
    schema = SCHEMA | {"fields": [*SCHEMA["fields"], odd]}
    (folder / "streams" / "orders.avsc").write_text(json.dumps(schema))
    monkeypatch.chdir(folder)
    assert weir.cli.main(["check"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(
        "streams/orders.py:6: measure cents: expected a boolean, integer, number or text, found field"
    )
    assert "'odd' of decimal" in said


def test_where_no_broker_answers_the_rate_is_told_within_the_second_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as silent:  # takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{silent.getsockname()[1]}")
        folder = project(tmp_path / "shop", orders=good())
        check(folder, capsys)
        (folder / "streams" / "orders.py").write_text(good().replace("1m 1h", "1h 7d"))
        told = check(folder, capsys)
    assert (
        "  orders: that takes 22 s for each million records, at 45,000 a second (docs/results/bench.md); no broker said"
        in told
    )
    assert json.loads(check(folder, capsys, "--json"))["changes"][0]["rebuild"]["records"] is None


def test_the_rate_is_the_one_that_was_measured() -> None:
    (row,) = [line for line in BENCH.read_text().splitlines() if line.startswith("| rebuild of a lost view")]
    measured = int(row.split("|")[3].replace(",", ""))
    assert abs(measured - rebuild_time.RECORDS_PER_SECOND) < 1_000
