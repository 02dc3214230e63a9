"""``weir.testing.replay``: what a stream makes of a few records, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from weir.init import build_project
from weir.schemas.durations import DAY_MS, MINUTE_MS
from weir.schemas.errors import Refused
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.testing import Replayed, load_stream, replay

OTHER = """
other = Stream("other", "clicks.avsc", "click_id", "event_time_ms", customer, [customer], [customer.event.count("1h")])
"""
START_MS = 1_750_000_000_000


def payment(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"t-{number}", "card_id": "c-1", "customer_id": "u-1", "merchant_id": "m-1", "mcc": 5411,
        "channel": "POS", "amount_minor": 1_000, "currency": "USD", "country": "US", "outcome": "ACCEPTED",
        "event_time_ms": START_MS + number * MINUTE_MS,
    } | changes  # fmt: skip


def label(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"t-{number}", "card_id": "c-1", "merchant_id": "m-1", "source": "chargeback",
        "event_time_ms": START_MS + number * MINUTE_MS, "label_time_ms": START_MS + DAY_MS, "is_fraud": True,
    } | changes  # fmt: skip


def counts(replayed: list[Replayed], name: str = "card_event_count_1h") -> list[float | None]:
    return [each.features.get(name) for each in replayed]


def test_a_window_counts_the_events_within_it() -> None:
    rows = [payment(0), payment(1), payment(60), payment(61), payment(62, card_id="c-2")]
    found = replay(payments, rows)
    assert counts(found) == [1, 2, 2, 2, 1]  # (t - 1 h, t]
    assert counts(found, "merchant_event_count_1d") == [1, 2, 3, 4, 5]
    assert all(list(each.features) == list(payments.feature_names) for each in found)


def test_every_row_has_its_outcome_in_its_place() -> None:
    rows = [
        payment(0, country="us"),
        payment(1),
        payment(1),
        payment(1, amount_minor=7),
        payment(2, mcc=-1),
        payment(3),
    ]
    found = replay(payments, rows)
    assert [each.reason for each in found] == ["bad_country", "", "duplicate", "id_reused", "bad_mcc", ""]
    assert [bool(each.features) for each in found] == [False, True, False, False, False, True]
    assert counts(found)[-1] == 2
    assert found[0].message == "expected two upper-case letters, found us at $.country"
    assert found[2].message == "expected each transaction once, found it again"
    assert replay(payments, []) == []
    assert [each.reason for each in replay(payments, rows[:1])] == ["bad_country"]


def test_a_field_that_is_left_out_is_the_default_of_the_schema() -> None:
    bare, full = replay(payments, [payment()]), replay(payments, [payment(device_id=None, lat=None, entry_mode=None)])
    assert bare == full
    assert bare[0].features["device_event_count_1h"] is None


def test_an_arrow_table_is_replayed_as_the_dicts_are() -> None:
    rows = [payment(0), payment(1), payment(1)]
    assert replay(payments, pa.Table.from_pylist(rows)) == replay(payments, rows)


def test_a_label_is_seen_by_records_after_it_was_known() -> None:
    rows = [payment(0), payment(1), payment(0, transaction_id="t-x", event_time_ms=START_MS + 10 * DAY_MS)]
    name = "merchant_label_risk_30d"
    without = counts(replay(payments, rows), name)
    soon = counts(replay(payments, rows, labels=[label(0)]), name)
    late = counts(replay(payments, rows, labels=[label(0, label_time_ms=START_MS + 11 * DAY_MS)]), name)
    assert soon[:2] == without[:2]
    assert soon[2] != without[2] == late[2]


def test_the_append_time_decides_how_long_an_id_is_known() -> None:
    again = payment(0, append_time_ms=START_MS + 2 * DAY_MS)
    assert [each.reason for each in replay(payments, [payment(0), payment(0)])] == ["", "duplicate"]
    assert [each.reason for each in replay(payments, [payment(0), again])] == ["", ""]
    future = payment(0, append_time_ms=START_MS - DAY_MS)
    assert [each.reason for each in replay(payments, [future])] == ["from_future"]


def test_a_record_older_than_the_look_back_is_late_and_counts_nowhere() -> None:
    rows = [payment(0), payment(1, event_time_ms=START_MS - 50 * DAY_MS), payment(2)]
    found = replay(payments, rows)
    assert [each.late for each in found] == [False, True, False]
    assert counts(found)[2] == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (payment(mmc=1), "rows[0]: expected a field of transactions.avsc, found 'mmc'; did you mean 'mcc'?"),
        (payment(mcc="x"), "rows[0]: expected a record of transactions.avsc, found: an integer is required on field m"),
        (payment(channel="APP"), "rows[0]: expected a record of transactions.avsc, found: "),
        ({"card_id": "c-1"}, "rows[0]: expected a record of transactions.avsc, found: "),
    ],
)
def test_a_row_that_no_producer_can_write_is_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        replay(payments, [row])
    assert str(refused.value).startswith(message)


def test_a_bad_label_is_named() -> None:
    late = label(0, label_time_ms=START_MS - 2 * DAY_MS)
    with pytest.raises(ValueError, match=r"^labels\[1\]: expected .* at \$\.label_time_ms$"):
        replay(payments, [payment()], labels=[label(0), late])
    click = {"click_id": "1", "customer_id": "u-1", "event_time_ms": START_MS, "page": "/", "dwell_ms": 1}
    with pytest.raises(ValueError, match="expected no labels for clicks, which declares none, found 1"):
        replay(clicks, [click], labels=[label(0)])


def test_a_stream_is_loaded_from_its_file(tmp_path: Path) -> None:
    for name, text in build_project("mine", "clicks").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert load_stream(tmp_path / "streams" / "clicks.py") == clicks
    clicks_file, wrong = tmp_path / "streams" / "clicks.py", tmp_path / "streams" / "wrong.py"
    wrong.write_text(clicks_file.read_text().replace('"dwell_ms"', '"dwel_ms"'))
    with pytest.raises(Refused, match=r"wrong\.py:[0-9]+: measure dwell: .*did you mean 'dwell_ms'"):
        load_stream(str(wrong))
    wrong.write_text(clicks_file.read_text() + OTHER)
    with pytest.raises(Refused, match=r"expected one stream in .*, found clicks, other"):
        load_stream(wrong)


def test_a_schema_with_logical_types_is_read_as_the_numbers_and_texts_beneath_them(tmp_path: Path) -> None:
    for name, text in build_project("shop", "payments").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    path = tmp_path / "streams" / "transactions.avsc"
    schema = json.loads(path.read_text())
    logical = {
        "event_time_ms": {"type": "long", "logicalType": "timestamp-millis"},
        "customer_id": {"type": "string", "logicalType": "uuid"},
    }
    schema["fields"] = [field | {"type": logical.get(field["name"], field["type"])} for field in schema["fields"]]
    price = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
    day = {"type": "int", "logicalType": "date"}
    schema["fields"] += [
        {"name": "price", "type": ["null", price], "default": None},
        {"name": "day", "type": ["null", day], "default": None},
    ]
    path.write_text(json.dumps(schema))
    stream = load_stream(tmp_path / "streams" / "payments.py")
    found = replay(stream, [payment(0), payment(1, day=19_000), payment(60)])
    assert counts(found) == [1, 2, 2]
    assert [each.reason for each in found] == ["", "", ""]
