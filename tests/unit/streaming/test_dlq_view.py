"""Views show enough to understand a dead letter, and no card number and no escape code in any of them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streaming.dead_letter_samples import PAYMENT, OneSchema, frame, letter
from weir.streaming.dlq.log import Settlement
from weir.streaming.dlq.view import count_letters, hex_lines, letter_details, letter_fields, show_bytes

CARD = "4111111111111111"
CARD_HEX = CARD.encode().hex(" ")


def test_details_decode_what_can_be_decoded_and_say_why_otherwise() -> None:
    assert letter_details(letter(), None, OneSchema())["decoded"] == PAYMENT
    unknown = letter_details(letter(value=frame(PAYMENT, 8)), None, OneSchema())
    assert unknown["decoded"].startswith("not decoded: expected a registered schema id, found 8")


def test_a_card_number_shows_in_no_view() -> None:
    dead = letter(
        key=CARD.encode(),
        value=frame(PAYMENT | {"card_id": CARD, "device_id": f"d {CARD}"}),
        message=f"found {CARD}",
        original_headers=((CARD, CARD.encode()),),
    )
    shown = json.dumps(letter_details(dead, None, OneSchema()))
    assert CARD not in shown
    assert CARD_HEX not in shown
    assert CARD[:12] not in shown
    assert "************1111" in shown


@given(st.binary(max_size=400), st.binary(max_size=400), st.integers(0, 9))
def test_no_digits_of_a_card_show_wherever_it_is_in_the_bytes(before: bytes, after: bytes, digit: int) -> None:
    # the digit touches the number and spoils its check digit, as a length byte of a binary value can
    raw = before + CARD.encode() + str(digit).encode() + after
    text = "".join(line[10:57].replace(" ", "") for line in hex_lines(raw, limit=2_000))
    assert CARD.encode().hex() not in text
    assert CARD not in show_bytes(raw, limit=2_000)


@pytest.mark.parametrize("start", range(230, 270))
def test_a_card_number_across_the_end_of_the_preview_is_masked(start: int) -> None:
    lines = hex_lines(b"x" * start + CARD.encode() + b"y" * 50)
    assert "34 31 31 31 31 31" not in " ".join(lines)
    assert "4111" not in show_bytes(b"x" * (start - 136) + CARD.encode() + b"y" * 50)


@given(st.binary(max_size=300))
def test_bytes_become_one_printable_line(raw: bytes) -> None:
    assert show_bytes(raw).isprintable()
    assert all(line.isprintable() for line in hex_lines(raw))


def test_an_escape_code_does_not_reach_the_terminal() -> None:
    fields = letter_fields(letter(message="found \x1b[31mred\nnew line", reason="r\x07"), None)
    assert fields["message"] == "found \\x1b[31mred\\nnew line"
    assert fields["reason"] == "r\\x07"


def test_a_preview_names_how_much_it_leaves_out() -> None:
    assert hex_lines(b"a" * 300)[-1] == "... 44 more bytes"
    assert re.fullmatch(r"00000000  (61 ){3} *aaa", hex_lines(b"aaa")[0])


def test_counts_are_by_reason_stage_and_state_with_first_and_last_time() -> None:
    replayed = Settlement("replayed", 1, "s", "s", "r", 0)
    rows = count_letters(
        [
            (letter(appended_ms=5), None),
            (letter(appended_ms=3), None),
            (letter(), replayed),
            (letter(reason="duplicate", value=None), None),
        ]
    )
    assert rows[0] == {
        "reason": "amount_out_of_range",
        "stage": "validate",
        "state": "open",
        "letters": 2,
        "first_ms": 3,
        "last_ms": 5,
    }
    assert {(row["reason"], row["state"]) for row in rows[1:]} == {
        ("amount_out_of_range", "replayed"),
        ("duplicate", "unreplayable"),
    }
