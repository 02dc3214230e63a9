"""The id of a request: the client's own where it is fit to be logged and passed on, else one that is made up here."""

from __future__ import annotations

import re
import uuid

from weir.schemas.masking import is_issued_card_number

HEADER = b"x-request-id"
"""In requests, in answers, and on the events that a request publishes."""
_SANE = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_DIGITS = re.compile(r"[0-9][0-9._-]+")


def new_request_id() -> str:
    """Return an id for a request that came without one."""
    return uuid.uuid4().hex


def read_request_id(given: bytes | None) -> str:
    """Return a client's own id if it is short, plain and no card number; a new one otherwise.

    >>> read_request_id(b"order-7"), read_request_id(b"4111111111111111") == "4111111111111111"
    ('order-7', False)
    """
    text = (given or b"").decode("latin-1")
    sane = _SANE.fullmatch(text) and not any(map(is_issued_card_number, _DIGITS.findall(text)))
    return text if sane else new_request_id()
