"""What people write on cases: reasons and notes. Pure."""

from __future__ import annotations

from weir.cases.case import TEXT_CHARACTERS_MAX
from weir.schemas.errors import Refused
from weir.schemas.masking import mask


def check_text(text: str, what: str) -> str:
    """Return a text that may be kept, without the blanks around it.

    Args:
        text: somebody's.
        what: it is, for the message.

    Raises:
        Refused: it is empty, too long, holds control characters or what may be a card number.

    >>> check_text(" the customer called ", "a note")
    'the customer called'
    """
    kept = text.strip()
    if not 0 < len(kept) <= TEXT_CHARACTERS_MAX:
        raise Refused(f"{what}: expected 1 to {TEXT_CHARACTERS_MAX} characters, found {len(kept)}")
    if not kept.replace("\n", "").isprintable():
        raise Refused(f"{what}: expected printable text, found a character that acts and does not show")
    if mask(kept) != kept:
        raise Refused(f"{what}: expected text without a card number, found digits that may be one")
    return kept
