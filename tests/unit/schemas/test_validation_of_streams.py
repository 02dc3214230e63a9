"""A record of any stream is held to what its stream declares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from weir.schemas.entity import Entity
from weir.schemas.errors import PoisonRecord
from weir.schemas.expression import col, money
from weir.schemas.expression_text import to_text
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.validation import validate_events, validate_labels
from weir.schemas.stream import Check, Flag, Labels, Measure, Reversal, Stream
from weir.schemas.streams.payments import payments

NOW_MS = 1_700_000_000_000
PAN = "4111111111111111"
OTHER_SCHEME = "9111111111111110"
visitor = Entity("visitor", "visitor_id", ["page"])
clicks = Stream(
    "clicks", "clicks.avsc", "click_id", "at_ms", visitor, [visitor], [],
    event="click",
    measures=[Measure("dwell", col("dwell_s") * 1_000, bound=60_000)],
    flags=[Flag("long", col("dwell") > 30_000)],
    checks=[
        Check(col("page").matches("/.*"), expected="a path"),
        col("clicks") >= 1,
        Check(~(col("long") & (col("page") == "/out")), "left_long_ago"),
        Check(col("visitor_id") != "root", "root"),
    ],
)  # fmt: skip
SCHEMA = pa.schema([
    ("click_id", pa.string()), ("visitor_id", pa.string()), ("at_ms", pa.int64()), ("dwell_s", pa.int64()),
    ("page", pa.string()), ("clicks", pa.int32()),
])  # fmt: skip
GOOD = {"click_id": "c", "visitor_id": "v", "at_ms": NOW_MS, "dwell_s": 5, "page": "/", "clicks": 1}


def judge(stream: Stream = clicks, *, counted: bool = False, **changed: Any) -> list[tuple[int, PoisonRecord]]:
    rows = [GOOD, GOOD | changed, GOOD]
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    keys = [str(row["visitor_id"]).encode() for row in rows]
    times = np.full(len(rows), NOW_MS)
    return validate_events(stream, batch, keys=keys, append_time_ms=times, placeholders=BUILT_IN, counted=counted)


@pytest.mark.parametrize(
    ("changed", "reason", "message"),
    [
        ({"dwell_s": 61}, "dwell_out_of_range", "expected -60000 to 60000, found 61000 at $.dwell_s"),
        ({"dwell_s": -61}, "dwell_out_of_range", "expected -60000 to 60000, found -61000 at $.dwell_s"),
        ({"dwell_s": 1 << 62}, "dwell_out_of_range", "found a number that does not fit 64 bits at $.dwell_s"),
        ({"page": "home"}, "bad_page", "expected a path, found home at $.page"),
        ({"clicks": 0}, "bad_clicks", "expected clicks >= 1, found 0 at $.clicks"),
        (
            {"dwell_s": 31, "page": "/out"},
            "left_long_ago",
            "expected not (long and page == '/out'), found page /out, long True at $.page",
        ),
        ({"visitor_id": "root"}, "root", "expected visitor_id != 'root', found another value at $.visitor_id"),
        ({"click_id": "null"}, "placeholder_id", "at $.click_id"),
        ({"visitor_id": ""}, "empty_id", "at $.visitor_id"),
        ({"page": f"{PAN}"}, "card_number", "at $.page"),
        ({"at_ms": NOW_MS // 1_000}, "event_time_out_of_range", "as seconds; expected milliseconds"),
    ],
)
def test_a_row_that_breaks_what_its_stream_declares_is_named(
    changed: dict[str, Any], reason: str, message: str
) -> None:
    [(row, error)] = judge(**changed)
    assert (row, error.reason) == (1, reason)
    assert message in str(error)


@pytest.mark.parametrize("changed", [{}, {"dwell_s": 60}, {"dwell_s": -60}, {"page": None}, {"clicks": None}])
def test_a_row_within_its_bounds_passes_and_a_check_passes_over_null(changed: dict[str, Any]) -> None:
    assert judge(**changed) == []


def test_a_check_that_was_declared_since_keeps_nothing_out_that_was_counted() -> None:
    assert judge(counted=True, page="home", clicks=0) == []
    assert [error.reason for _, error in judge(counted=True, dwell_s=61)] == ["dwell_out_of_range"]


def test_only_ids_that_stand_for_cards_refuse_what_no_scheme_issues() -> None:
    assert judge(visitor_id=OTHER_SCHEME) == []
    card = replace(visitor, card_tokens=True)
    assert [e.reason for _, e in judge(replace(clicks, key=card, entities=[card]), visitor_id=OTHER_SCHEME)] == [
        "card_number"
    ]


def test_zeros_are_an_id_where_the_entity_says_so() -> None:
    assert judge(visitor_id="0") == []
    nobody = replace(visitor, zeros_are_ids=False)
    assert [e.reason for _, e in judge(replace(clicks, key=nobody, entities=[nobody]), visitor_id="0")] == [
        "placeholder_id"
    ]


def _judge_fee(bound: int | None, fee: int, currency: str = "EUR") -> list[str]:
    schema = SCHEMA.append(pa.field("fee", pa.int64())).append(pa.field("unit", pa.string()))
    batch = pa.RecordBatch.from_pylist([GOOD | {"fee": fee, "unit": currency}], schema=schema)
    stream = replace(
        clicks, measures=[Measure("cost", money("fee", "unit"), bound)], flags=[], checks=[],
        reversal=Reversal("rebate", col("fee") < 0, of="cost"),
    )  # fmt: skip
    found = validate_events(stream, batch, keys=[b"v"], append_time_ms=np.array([NOW_MS]), placeholders=BUILT_IN)
    return [f"{error.reason}: {error}" for _, error in found]


def test_money_is_held_to_the_bound_of_its_measure_in_base_units() -> None:
    assert _judge_fee(1_000, 1) == _judge_fee(None, 1_000_000) == []
    [said] = _judge_fee(1_000, 5_000)
    assert said.startswith("cost_out_of_range: expected -")
    assert said.endswith(", below 0 for a rebate, found 5000 at $.fee")
    assert _judge_fee(1_000, 1, "ZZZ") == ["unknown_currency: expected a currency of the table, found ZZZ at $.unit"]


def test_labels_are_held_to_the_fields_of_their_stream() -> None:
    stream = replace(clicks, labels=Labels("labels.avsc", "is_bot", time="known_ms"))
    schema = pa.schema([("click_id", pa.string()), ("visitor_id", pa.string()), ("at_ms", pa.int64()),
                        ("known_ms", pa.int64())])  # fmt: skip
    good = {"click_id": "c", "visitor_id": "v", "at_ms": NOW_MS, "known_ms": NOW_MS}
    rows = [good, good | {"known_ms": NOW_MS - 2 * 86_400_000}, good | {"click_id": ""}]
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    found = validate_labels(
        stream, batch, keys=[b"v", b"v", b"w"], append_time_ms=np.full(3, NOW_MS), placeholders=BUILT_IN
    )
    assert [(row, error.reason, error.field) for row, error in found] == [
        (1, "label_before_event", "known_ms"), (2, "empty_id", "click_id"),
    ]  # fmt: skip
    assert "a day older than its click of" in str(found[0][1])


def test_what_the_payments_check_is_what_was_checked_before_they_were_a_value() -> None:
    assert [(check.reason, check.expected) for check in payments.all_checks] == [
        ("bad_country", "two upper-case letters"), ("bad_country", "two upper-case letters"), ("bad_mcc", "0 to 9999"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (col("a") + 1 > col("b") * 2, "a + 1 > b * 2"),
        ((col("a") + 1) * 2 == 4, "(a + 1) * 2 == 4"),
        (col("a") - (col("b") - 1) == 0, "a - (b - 1) == 0"),
        ((col("a") == 1) | (col("b") == 2) & (col("c") == 3), "a == 1 or b == 2 and c == 3"),
        (((col("a") == 1) | (col("b") == 2)) & (col("c") == 3), "(a == 1 or b == 2) and c == 3"),
        (~col("a").is_null(), "a is not None"),
        (col("a").matches("[a-z]+"), "a.matches('[a-z]+')"),
        (money("a", "b") > 5, "money(a, b) > 5"),
    ],
)
def test_an_expression_is_written_as_people_write_it(node: Any, text: str) -> None:
    assert to_text(node) == text
