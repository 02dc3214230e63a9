"""The id of a request: the client's own where it is fit to be logged and passed on, else one that is made up here."""

from __future__ import annotations

import uuid

from weir.schemas import request_id

HEADER = request_id.HEADER.encode()
"""In requests, in answers, on the events that a request publishes, and on the decisions on these."""


def new_request_id() -> str:
    """Return an id for a request that came without one."""
    return uuid.uuid4().hex


def read_request_id(given: bytes | None) -> str:
    """Return a client's own id if it is short, plain and no card number; a new one otherwise.

    >>> read_request_id(b"order-7"), read_request_id(b"4111111111111111") == "4111111111111111"
    ('order-7', False)
    """
    text = (given or b"").decode("latin-1")
    return text if request_id.is_request_id(text) else new_request_id()
