"""Card numbers: recognise them, and mask them where bytes are shown to a person.

A false alarm costs a few characters of a view; a number that slips through is a breach. So everything that could be
one is masked: 12 to 19 digits, spaces, dashes and control characters between them allowed, Luhn valid, also inside a
longer run of digits. A tenth of all numbers is valid by chance, so epoch milliseconds are masked now and then too.
"""

from __future__ import annotations

import re

DIGITS_MIN = 12
DIGITS_MAX = 19
RUN_DIGITS_MAX = 64
"""A longer run is masked whole: searching it for numbers would cost more than it tells."""
KEPT = 4
"""Digits left at the end, enough for a cardholder to recognise a card by."""

QUOTED_CHARS_MAX = 80
"""How much of a found value an error message may carry."""

ISSUED = (
    "4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa: 13, 16 or 19 digits
    "|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard
    "|3[47][0-9]{13}"  # American Express
    "|3(?:0[0-5]|6[0-9]|[89][0-9])[0-9]{11,16}"  # Diners Club
    "|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    "|(?:6011|64[4-9][0-9]|6[05][0-9]{2}|62[0-9]{2}|8[12][0-9]{2})[0-9]{12,15}"  # Discover, RuPay, UnionPay
    "|(?:50|5[6-8]|6[0-9])[0-9]{14,17}"  # Maestro
    "|220[0-4][0-9]{12,15}"  # Mir
)
"""What card schemes issue, by first digits and length (ISO/IEC 7812). Twelve digits are left out: no scheme issues them
any more, and retrieval reference numbers have as many."""

_ISSUED = re.compile(ISSUED)
INVISIBLE = "".join(map(chr, range(0x20))) + "\x7f"
"""Control characters: a number with a tab, a line's end or a NUL in it reads as one all the same."""
_RUN = re.compile(rf"[0-9](?:[\x00-\x20\x7f-]?[0-9]){{{DIGITS_MIN - 1},}}")
_SEPARATORS = str.maketrans("", "", " -" + INVISIBLE)
_ID_SEPARATORS = str.maketrans("", "", " -._/" + INVISIBLE)


def is_luhn_valid(digits: str) -> bool:
    """True when a string of ASCII digits passes the Luhn check.

    >>> is_luhn_valid("4111111111111111"), is_luhn_valid("4111111111111112")
    (True, False)
    """
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 if value > 9 else value for value in doubled)) % 10 == 0


def is_card_number(text: str) -> bool:
    """True when the whole text is a card number, spaces, dashes and control characters apart.

    >>> is_card_number("4111 1111-1111 1111"), is_card_number("card-4111111111111111")
    (True, False)
    """
    digits = text.translate(_SEPARATORS)
    return DIGITS_MIN <= len(digits) <= DIGITS_MAX and digits.isascii() and digits.isdigit() and is_luhn_valid(digits)


def is_issued_card_number(text: str) -> bool:
    """True when the whole text is a number that a card scheme issues; spaces, ``- . _ /`` and control characters apart.

    For ids of anything but a card: of those that are numbers a tenth is Luhn valid by chance, and refusing them all
    would cost a payment each.

    >>> is_issued_card_number("4111.1111.1111.1111"), is_issued_card_number("1111111111111117")
    (True, False)
    """
    digits = text if text.isdigit() else text.translate(_ID_SEPARATORS)
    return _ISSUED.fullmatch(digits) is not None and is_luhn_valid(digits)


def mask(text: str | bytes) -> str:
    """Replace the digits of everything that could be a card number by ``*``, the last four apart.

    Args:
        text: what is about to be shown; bytes that are not UTF-8 are escaped.

    >>> mask("paid with 4111 1111 1111 1111 today")
    'paid with **** **** **** 1111 today'
    """
    shown = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    return _RUN.sub(_mask_run, shown)


def quote(found: object) -> str:
    r"""Return a found value for a message: masked and escaped, at most ``QUOTED_CHARS_MAX`` characters.

    >>> quote("a" + chr(10) + "b")
    'a\\nb'
    """
    # cut generously before masking, so that no number is cut in two and passes
    text = mask(str(found)[: 4 * QUOTED_CHARS_MAX])
    shown = text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= QUOTED_CHARS_MAX else shown[: QUOTED_CHARS_MAX - 3] + "..."


def _mask_run(match: re.Match[str]) -> str:
    run = match.group()
    places = [place for place, character in enumerate(run) if character.isdigit()]
    hidden = _find_hidden("".join(run[place] for place in places))
    masked = {places[index] for index in hidden}
    return "".join("*" if place in masked else character for place, character in enumerate(run))


def _find_hidden(digits: str) -> set[int]:
    """Find which digits of a run belong to a number that could be a card's, however it is embedded in the run."""
    if len(digits) > RUN_DIGITS_MAX:
        return set(range(len(digits) - KEPT))
    hidden: set[int] = set()
    for length in range(DIGITS_MAX, DIGITS_MIN - 1, -1):
        for start in range(len(digits) - length + 1):
            if is_luhn_valid(digits[start : start + length]):
                hidden.update(range(start, start + length - KEPT))
    return hidden
