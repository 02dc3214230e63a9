"""Log lines are one JSON object each, and no way of logging gets a card number onto one."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import logging_restored
from weir.monitoring import logs

CARD = "4111111111111111"


def _stream(fmt: str = "json") -> io.StringIO:
    stream = io.StringIO()
    logs.configure("info", "json" if fmt == "json" else "console", "process-0", stream=stream)
    return stream


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def _with_check_digit(body: str) -> str:
    return next(body + digit for digit in "0123456789" if logs.is_card_number(body + digit))


def test_a_stream_that_a_test_configured_is_not_written_to_after_it() -> None:
    with logging_restored():
        stream = _stream()
    logging.getLogger("weir.test").error("later")
    assert stream.getvalue() == ""


def test_a_line_has_time_level_service_event_and_its_fields() -> None:
    stream = _stream()
    logs.get_logger("weir.test").info("batch_committed", records=3, correlation_id="transactions-3-10452")
    (line,) = _lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert (line["level"], line["service"], line["event"]) == ("info", "process-0", "batch_committed")
    assert (line["records"], line["correlation_id"]) == (3, "transactions-3-10452")


def test_a_bound_logger_adds_its_fields_and_the_original_does_not() -> None:
    stream = _stream()
    plain = logs.get_logger("weir.test")
    plain.bind(correlation_id=logs.correlation_id("transactions", 3, 7)).info("late")
    plain.info("late")
    assert [line.get("correlation_id") for line in _lines(stream)] == ["transactions-3-7", None]


def test_lines_below_the_level_are_not_written() -> None:
    stream = _stream()
    logs.get_logger("weir.test").debug("detail")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "value",
    [
        CARD,
        int(CARD),
        float(CARD),
        CARD.encode(),
        f"card {CARD} declined",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        [CARD],
        {"nested": {"deep": (CARD,)}},
        {CARD: 1},
        ValueError(CARD),
    ],
)
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_a_card_number_is_masked_in_every_kind_of_field(value: object, fmt: str) -> None:
    stream = _stream(fmt)
    logs.get_logger("weir.test").info("seen", value=value)
    digits = re.sub(r"[ -]", "", stream.getvalue().split("value", 1)[1])
    assert not re.search(r"[0-9]{12,19}", digits)
    assert "****" in digits


def test_a_card_number_is_masked_in_events_tracebacks_and_lines_of_libraries() -> None:
    stream = _stream()
    try:
        raise ValueError(f"found {CARD}")
    except ValueError:
        logs.get_logger("weir.test").exception(f"failed on {CARD}")
    logging.getLogger("some.library").warning("saw %s", CARD)
    assert CARD not in stream.getvalue()
    assert "Traceback" in _lines(stream)[0]["exception"]


@given(st.text("0123456789", min_size=11, max_size=18).map(_with_check_digit))
def test_every_luhn_valid_run_of_12_to_19_digits_is_masked_but_for_four(card: str) -> None:
    assert logs.mask_card_numbers(f"x{card}y") == f"x{'*' * (len(card) - 4)}{card[-4:]}y"


@given(st.text("0123456789 -x", max_size=60))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = logs.mask_card_numbers(text)
    assert logs.mask_card_numbers(once) == once


def test_numbers_that_are_no_card_stay_readable() -> None:
    stream = _stream()
    luhn_valid_time_ms = int(_with_check_digit("176369806312"))
    logs.get_logger("weir.test").info("seen", event_time_ms=luhn_valid_time_ms, offset=10452, share=0.25, none=None)
    (line,) = _lines(stream)
    assert (line["event_time_ms"], line["offset"], line["share"], line["none"]) == (
        luhn_valid_time_ms,
        10452,
        0.25,
        None,
    )


def test_a_field_cannot_replace_what_identifies_the_line() -> None:
    stream = _stream()
    logs.get_logger("weir.test").info("seen", service="forged", level="forged", x=float("nan"))
    (line,) = _lines(stream)
    assert (line["service"], line["level"], line["x"]) == ("process-0", "info", "nan")


def test_a_console_line_cannot_be_forged_by_a_newline_or_an_escape_code() -> None:
    stream = _stream("console")
    logs.get_logger("weir.test").info("seen", value="a\n2026 error forged \x1b[31m")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
