"""The examples: their schemas, and what their measures, flags, values and checks are worth."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from weir.schemas.expression_values import evaluate, fails, holds
from weir.schemas.project import load_shipped, shipped_names
from weir.schemas.stream import Stream

SATURDAY_NOON_MS = 1_795_867_200_000
CLICK: dict[str, Any] = {
    "click_id": "k1", "customer_id": "c1", "event_time_ms": SATURDAY_NOON_MS, "page": "/", "dwell_ms": 499,
    "device_id": None, "referrer": None,
}  # fmt: skip
TRANSFER: dict[str, Any] = {
    "transfer_id": "t1", "sender_id": "a", "receiver_id": "b", "event_time_ms": SATURDAY_NOON_MS,
    "amount_minor": 1_000_000, "fee_minor": 25, "currency": "EUR", "channel": "APP", "receiver_country": "FR",
    "sender_country": "DE", "is_instant": True,
}  # fmt: skip


def worth(stream: Stream, record: dict[str, Any]) -> tuple[dict[str, Any], set[str], dict[str, Any], list[str]]:
    """What one record is worth: measures, flags that it carries, values, reasons of checks that it fails."""
    batch = pa.record_batch({name: pa.array([value]) for name, value in record.items()})
    measures = {measure.name: evaluate(measure.value, batch) for measure in stream.measures}
    for name, column in measures.items():
        batch = batch.append_column(name, column)
    flags = {flag.name: holds(flag.when, batch) for flag in stream.flags}
    values = {value.name: evaluate(value.value, batch)[0].as_py() for value in stream.values}
    broken = [check.reason for check in stream.all_checks if fails(check.must, batch)[0]]
    carried = {name for name, mask in flags.items() if mask[0]}
    return {name: column[0].as_py() for name, column in measures.items()}, carried, values, broken


def test_a_hasty_click_that_nothing_led_to() -> None:
    stream = load_shipped("clicks").stream
    assert worth(stream, CLICK) == ({"dwell": 499}, {"hasty"}, {"hour": 12.0, "is_direct": True}, [])
    later = CLICK | {"dwell_ms": 500, "referrer": "example.org"}
    assert worth(stream, later) == ({"dwell": 500}, set(), {"hour": 12.0, "is_direct": False}, [])
    assert worth(stream, CLICK | {"dwell_ms": -1})[3] == ["bad_dwell_ms"]


def test_a_large_instant_transfer_abroad_on_a_weekend() -> None:
    stream = load_shipped("transfers").stream
    money = {"amount": 1_100_000, "fee": 25}
    assert worth(stream, TRANSFER) == (
        money, {"abroad", "instant", "large"}, {"amount": 1_100_000, "is_weekend": True}, [],
    )  # fmt: skip
    monday = TRANSFER | {
        "event_time_ms": SATURDAY_NOON_MS + 2 * 86_400_000,
        "sender_country": "FR",
        "is_instant": False,
    }
    assert worth(stream, monday)[1:3] == ({"large"}, {"amount": 1_100_000, "is_weekend": False})
    assert worth(stream, TRANSFER | {"amount_minor": 0, "sender_country": "de"})[3] == [
        "bad_amount_minor",
        "bad_country",
    ]


@pytest.mark.parametrize("name", shipped_names())
def test_streams_do_not_meet_in_a_topic_a_hash_or_a_file(name: str) -> None:
    others = [load_shipped(other) for other in shipped_names() if other != name]
    loaded = load_shipped(name)
    assert json.loads(loaded.schemas[-1])["type"] == "record"
    for other in others:
        assert not set(vars(loaded.stream.topics).values()) & set(vars(other.stream.topics).values())
        assert loaded.stream.declarations_hash != other.stream.declarations_hash


def test_the_canonical_form_of_declarations_is_kept_from_release_to_release() -> None:
    """Users' streams have no pinned hash: another form of the same declarations would rebuild the state of all."""
    assert load_shipped("clicks").stream.declarations_hash == "17319c0e7933f174"
    assert load_shipped("transfers").stream.declarations_hash == "33ff03bb0633df41"
