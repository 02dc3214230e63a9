"""A mapping fills every field exactly, or is refused by name; those of the docs publish the layouts they are for."""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.house.source import ROOT
from tests.payments import DAY_MS
from tests.unit.infra.user_files import layouts
from tests.unit.infra.user_files.files import GOOD, payments, read, with_column, write_csv
from weir.cli import main
from weir.infra.user_files.amounts import MajorUnits
from weir.infra.user_files.door import Manner
from weir.infra.user_files.fields import fields_of
from weir.infra.user_files.mapping import load_mapping
from weir.infra.user_files.survey import FileRefused
from weir.schemas.currencies import CURRENCIES, exponent
from weir.schemas.errors import PoisonRecord, Refused

DOCS = (ROOT / "docs" / "publish.md").read_text()
SHOWN: dict[str, str] = dict(re.findall(r"```toml\n# ([\w-]+)\.toml\n(.*?)```", DOCS, flags=re.DOTALL))
AMOUNT = next(field for field in fields_of("transactions") if field.name == "amount_minor")
LINES_MAX = 15


def mapped(tmp_path: Path, text: str) -> Manner:
    (tmp_path / "map.toml").write_text(text)
    (tmp_path / "weir.key").write_bytes(b"k" * 32)
    return Manner(mapping=load_mapping(tmp_path / "map.toml"))


def test_the_docs_show_a_mapping_for_each_layout_and_each_is_short() -> None:
    assert set(SHOWN) == set(layouts.LAYOUTS)
    assert [name for name, text in SHOWN.items() if len(text.splitlines()) > LINES_MAX] == []


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_a_layout_publishes_by_the_mapping_that_the_docs_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = layouts.write(tmp_path / "a.csv", layouts.LAYOUTS[name](200))
    mapped(tmp_path, SHOWN[name])
    assert main(["publish", str(path), "--map", str(tmp_path / "map.toml"), "--dry-run", "--json"]) == 0
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert (summary["good"], summary["bad"], summary["labels"], output.err) == (200, 0, 200, "")


def expect_cents(text: Any) -> int:
    return int(Decimal(str(text).replace("$", "")).scaleb(2).to_integral_value("ROUND_HALF_UP"))


AMOUNTS = {"sparkov": "amt", "paysim": "amount", "tabformer": "Amount", "ieee-cis": "TransactionAmt"}
CARDS: dict[str, Any] = {
    "paysim": lambda row: row["nameOrig"],
    "tabformer": lambda row: f"{row['User']}-{row['Card']}",
    "ieee-cis": lambda row: "-".join(str(row[f"card{place}"]) for place in range(1, 7)),
}


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_a_mapped_row_is_what_the_layout_s_row_says(tmp_path: Path, name: str) -> None:
    rows = layouts.LAYOUTS[name](100)
    found = read(layouts.write(tmp_path / "a.csv", rows), manner=mapped(tmp_path, SHOWN[name])).rows
    assert [each["amount_minor"] for each in found] == [expect_cents(row[AMOUNTS[name]]) for row in rows]
    if name in CARDS:
        assert [each["card_id"] for each in found] == [CARDS[name](row) for row in rows]
    else:
        assert len({each["card_id"] for each in found}) == len({row["cc_num"] for row in rows})
        assert not any(str(row["cc_num"]) in each["card_id"] for row, each in zip(rows, found, strict=True))


def test_times_are_what_the_mapping_says(tmp_path: Path) -> None:
    times = {
        name: read(
            layouts.write(tmp_path / f"{name}.csv", layouts.LAYOUTS[name](1)), manner=mapped(tmp_path, SHOWN[name])
        ).rows[0]["event_time_ms"]
        for name in layouts.LAYOUTS
    }
    assert times == {
        "sparkov": 1_546_300_818_000,  # 2019-01-01 00:00:18 UTC
        "paysim": 1_767_229_200_000,  # 2026-01-01 01:00 UTC
        "tabformer": 1_030_852_800_000,  # 2002-09-01 00:00 in New York, four hours behind
        "ieee-cis": 1_512_172_800_000,  # 2017-12-02 00:00 UTC
    }


def time_map(**options: object) -> str:
    inner = ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items())
    return f'[columns]\nevent_time_ms = {{ column = "when", {inner} }}\n'


@pytest.mark.parametrize(
    ("options", "found", "expected"),
    [
        ({"unit": "s"}, "1785000000", 1_785_000_000_000),
        ({"unit": "s"}, "1785000000.123", 1_785_000_000_123),
        ({"unit": "us"}, "1785000000000123", 1_785_000_000_000),
        ({"unit": "ns"}, "1785000000000123456", 1_785_000_000_000),
        ({"unit": "min", "base": "2026-01-01T00:00:00Z"}, "90", 1_767_231_000_000),
        ({"unit": "d", "base": "2026-01-01T00:00:00+01:00"}, "1", 1_767_308_400_000),
        ({"zone": "Europe/Berlin"}, "2026-07-25 19:20:00", 1_785_000_000_000),
        ({"zone": "Europe/Berlin"}, "2026-07-25T17:20:00Z", 1_785_000_000_000),
        ({"zone": "Europe/Berlin"}, "2025-10-26 02:30:00", 1_761_438_600_000),  # twice: the first
        ({"zone": "Europe/Berlin"}, "2026-03-29 02:30:00", None),  # skipped
        ({"format": "%d.%m.%Y %H:%M", "zone": "UTC"}, "25.07.2026 17:20", 1_785_000_000_000),
        ({"format": "%Y-%m-%d", "zone": "UTC"}, "2026-07-25", 1_784_937_600_000),
        ({"format": "%d.%m.%Y"}, "2026-07-25", None),
        ({"unit": "s"}, "1.785E+09", None),
        ({"unit": "s"}, "soon", None),
    ],
)
def test_a_time_of_any_form_is_exact_or_its_row_is_bad(
    tmp_path: Path, options: dict[str, object], found: str, expected: int | None
) -> None:
    rows = [{name: value for name, value in GOOD.items() if name != "event_time_ms"} | {"when": found}]
    result = read(write_csv(tmp_path / "a.csv", rows), manner=mapped(tmp_path, time_map(**options)))
    assert [row["event_time_ms"] for row in result.rows] == ([] if expected is None else [expected])
    assert [field for _, field in result.errors] == ([] if expected is not None else ["event_time_ms"])


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize(
    ("zone", "options", "expected"),
    [
        (None, {"zone": "Europe/Berlin"}, 1_785_000_000_000 - 7_200_000),
        ("UTC", {"zone": "Europe/Berlin"}, 1_785_000_000_000),
        (None, {"unit": "s"}, 1_785_000_000_000),
    ],
)
def test_a_timestamp_column_without_a_zone_is_of_the_zone_that_is_stated(
    tmp_path: Path, unit: str, zone: str | None, options: dict[str, object], expected: int
) -> None:
    table = pa.Table.from_pylist(payments(2))
    times = table["event_time_ms"].cast(pa.timestamp("ms")).cast(pa.timestamp(unit))
    times = times.cast(pa.timestamp(unit, zone)) if zone else times
    pq.write_table(table.append_column("when", times), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", manner=mapped(tmp_path, time_map(**options)))
    assert [row["event_time_ms"] for row in found.rows] == [expected] * 2


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(0, 10**12))
def test_major_units_are_exact_for_every_currency(currency: str, minor: int) -> None:
    digits = exponent(currency)
    text = f"{minor // 10**digits}.{minor % 10**digits:0{digits}d}" if digits else str(minor)
    assert MajorUnits().convert(AMOUNT, text, currency) == minor
    assert MajorUnits().convert(AMOUNT, f"{currency} {text}", currency) == minor
    assert MajorUnits(decimal=",").convert(AMOUNT, text.replace(".", ","), currency) == minor
    with pytest.raises(PoisonRecord, match="decimals"):
        MajorUnits().convert(AMOUNT, f"{minor // 10**digits}.{'0' * digits}1", currency)


@pytest.mark.parametrize(
    ("units", "found", "expected"),
    [
        (MajorUnits(), "$12.34", 1234),
        (MajorUnits(), "12 €", 1200),
        (MajorUnits(), "USD 1.5", 150),
        (MajorUnits(), "$-99.00", -9900),
        (MajorUnits(), 12.1, 1210),
        (MajorUnits(), Decimal("12.10"), 1210),
        (MajorUnits(), 12, 1200),
        (MajorUnits(thousands=","), "1,234,567.89", 123_456_789),
        (MajorUnits(",", "."), "1.234,5", 123_450),
        (MajorUnits(rounds=True), "59.305", 5931),
        (MajorUnits(), "1,234", None),
        (MajorUnits(), "12,34", None),
        (MajorUnits(","), "12.34", None),
        (MajorUnits(thousands=","), "12,34.5", None),
        (MajorUnits(), "1e3", None),
        (MajorUnits(), True, None),
        (MajorUnits(), "", None),
        (MajorUnits(), "59.305", None),
    ],
)
def test_an_amount_in_major_units_is_read_as_stated_and_never_guessed(
    units: MajorUnits, found: object, expected: int | None
) -> None:
    if expected is None:
        with pytest.raises(PoisonRecord):
            units.convert(AMOUNT, found, "USD")
    else:
        assert units.convert(AMOUNT, found, "USD") == expected


def test_a_mapping_without_a_unit_is_surveyed_like_a_column_of_the_field_s_name(tmp_path: Path) -> None:
    rows = [{("amt" if name == "amount_minor" else name): value for name, value in row.items()}
            for row in with_column("amount_minor", ["12", "7.99"])]  # fmt: skip
    with pytest.raises(FileRefused, match=r"7\.99 looks like major units"):
        read(write_csv(tmp_path / "a.csv", rows), manner=mapped(tmp_path, '[columns]\namount_minor = "amt"\n'))


def test_texts_for_no_value_are_none_in_every_column(tmp_path: Path) -> None:
    rows = payments(2, device_id="NULL", lat="\\N", lon="\\N")
    rows[1]["mcc"] = "NULL"
    found = read(
        write_csv(tmp_path / "a.csv", rows), manner=mapped(tmp_path, "[file]\nnull = ['NULL', '\\N']\n[columns]\n")
    )
    assert [(row["device_id"], row["lat"]) for row in found.rows] == [(None, None)]
    assert found.errors == [(3, "mcc")]


def test_a_label_column_becomes_labels_known_after_the_delay(tmp_path: Path) -> None:
    rows = payments(4)
    for row, flag in zip(rows, ["1", "0", "", "maybe"], strict=True):
        row["fraud"] = flag
    rows[1]["event_time_ms"] -= 10 * DAY_MS
    rows[0]["event_time_ms"] -= 10 * DAY_MS
    path = write_csv(tmp_path / "a.csv", rows)
    manner = mapped(tmp_path, 'label = { column = "fraud", delay = "7d" }\n')
    found = read(path, manner=manner)
    assert found.errors == [(5, "is_fraud")]
    assert (found.outcome.labels, found.outcome.not_yet_known) == (2, 0)
    rows[1]["event_time_ms"] += 5 * DAY_MS
    found = read(write_csv(path, rows), manner=manner)
    assert (found.outcome.labels, found.outcome.not_yet_known) == (1, 1)
    scores = [row | {"fraud": "0.7"} for row in rows]
    with pytest.raises(FileRefused, match="a score is no label"):
        read(write_csv(path, scores), manner=manner)


WRONG = {
    '[colums]\ncard_id = "a"': "did you mean columns?",
    '[columns]\ncard = "a"': "did you mean card_id?",
    '[columns]\ncard_id = { colum = "a" }': "did you mean column?",
    "[columns]\ncard_id = 7": "one of column, join, hash, constant, row for card_id",
    '[columns]\ncard_id = { column = "a", constant = "b" }': "found column and constant",
    '[columns]\nevent_time_ms = { column = "a", unit = "hours" }': "unit to be one of",
    '[columns]\nevent_time_ms = { column = "a", zone = "Mars/Base" }': "expected a time zone",
    '[columns]\nevent_time_ms = { column = "a", unit = "h", base = "soon" }': "expected base",
    '[columns]\nmcc = { column = "a", unit = "major" }': 'unit = "major" of amount_minor',
    '[columns]\nchannel = { constant = "PIGEON" }': "expected POS or ATM",
    '[columns]\nchannel = { column = "a", values = { x = "PIGEON" } }': "expected POS or ATM",
    '[columns]\ncard_id = { hash = ["a"] }': "key_file",
    '[file]\nkey_file = "short"\n[columns]\ncard_id = { hash = ["a"] }': "16 random bytes",
    '[file]\nkey_file = "none"\n[columns]\ncard_id = { hash = ["a"] }': "found none",
    '[file]\nencoding = "latin-99"': "expected a text encoding",
    '[file]\nseparator = "::"': "expected one character",
    "[file]\nskip_lines = -1": "skip_lines",
    '[file]\nformat = "xml"': "expected format",
    '[file]\nnull = "x"': "list of texts",
    'label = { column = "a" }': "expected column and delay",
    'label = { column = "a", delay = "soon" }': "expected a duration",
    "label = 3": "to be a section",
    "columns": "expected TOML",
    '[columns]\ncard_id = "not_there"': "missing: not_there",
    '[columns]\ndevice_id = "not_there"': "missing: not_there",
    'label = { column = "not_there", delay = "1d" }': "missing: not_there",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_a_mapping_names_wrongly_is_refused_in_one_line_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    mapping = tmp_path / "map.toml"
    mapping.write_text(text)
    (tmp_path / "short").write_bytes(b"k")
    path = write_csv(tmp_path / "a.csv", payments(2, a="1"))
    assert main(["publish", str(path), "--map", str(mapping), "--dry-run"]) == 2
    written = capsys.readouterr().err
    assert WRONG[text] in written
    assert len(written.splitlines()) == 1


def test_a_mapping_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="expected a mapping at"):
        load_mapping(tmp_path / "none.toml")


def test_a_shown_mapping_is_what_a_user_would_copy() -> None:
    for text in SHOWN.values():
        assert tomllib.loads(text)["label"]["delay"]
