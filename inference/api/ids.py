"""Ids in paths and queries: bounded, and no card number."""

from __future__ import annotations

from weir.inference.api.request import BadRequest, FieldError
from weir.schemas.masking import is_card_number, is_issued_card_number
from weir.schemas.records.validation import ID_BYTES_MAX


def check_id(entity_id: str, *, of_card: bool, field: str = "id") -> None:
    """Look at an id that a request names.

    Args:
        entity_id: to look at.
        of_card: whether it is an entity's whose ids are tokens of cards.
        field: that it is the value of, for the error.

    Raises:
        BadRequest: it is no id, or a card number.
    """
    size = len(entity_id.encode("utf-8", "surrogatepass"))
    if not 0 < size <= ID_BYTES_MAX:
        raise BadRequest([FieldError(field, f"expected 1 to {ID_BYTES_MAX} bytes, found {size}")])
    if is_issued_card_number(entity_id) or (of_card and is_card_number(entity_id)):
        raise BadRequest([FieldError(field, "expected a token, found a card number; it has been logged nowhere")])
