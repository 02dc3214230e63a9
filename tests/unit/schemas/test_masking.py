from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.schemas.card_like import find_card_like
from weir.schemas.masking import RUN_DIGITS_MAX, is_card_number, is_issued_card_number, mask


@pytest.mark.parametrize(
    "number", ["4111111111111111", "5500-0000-0000-0004", "3400 0000 0000 009", "6304000000000000"]
)
def test_a_card_number_is_recognised_and_masked_but_for_its_last_four(number: str) -> None:
    assert is_card_number(number)
    masked = mask(f"before {number} after")
    assert sum(character.isdigit() for character in masked) == 4
    assert masked.startswith("before *")
    assert masked.endswith(f"{number[-4:].replace(' ', '')[-3:]} after")


@pytest.mark.parametrize("text", ["", "411111111112", "41111111111", "t-1", "4111.1111.1111.1111", "\uff11" * 16])
def test_what_is_no_card_number_is_left_alone(text: str) -> None:
    assert not is_card_number(text)
    assert mask(text) == text


@given(st.text("0123456789", max_size=20), st.text("0123456789", max_size=20))
def test_a_number_inside_a_longer_run_of_digits_is_not_shown(before: str, after: str) -> None:
    # an Avro length prefix can itself be a digit's byte, right next to the number
    masked = mask(before + "4111111111111111" + after)
    assert "4111111111111111" not in masked
    assert masked[len(before) : len(before) + 12] == "*" * 12


def test_a_run_too_long_to_search_is_masked_whole() -> None:
    assert mask("7" * (RUN_DIGITS_MAX + 1)) == "*" * (RUN_DIGITS_MAX - 3) + "7777"


def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    assert mask(b"\xff4111111111111111\x00") == "\\xff************1111\x00"


@pytest.mark.parametrize("separator", ["\0", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f"])
@pytest.mark.parametrize("form", ["{s}4111111111111111", "4111111111111111{s}", "4111{s}1111{s}1111{s}1111"])
def test_a_control_character_hides_no_card_number(separator: str, form: str) -> None:
    text = form.format(s=separator)
    assert is_card_number(text)
    assert is_issued_card_number(text)
    assert "4111" not in mask(text)
    for issued in (True, False):
        assert find_card_like(pa.array(["t-1", text]), issued=issued).tolist() == [1]
        assert find_card_like(pa.array(["t-1", text] * 20), issued=issued).tolist() == [*range(1, 40, 2)]
