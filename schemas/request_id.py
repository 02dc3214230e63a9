"""The id of an HTTP request as a header: in requests and answers, on the event that it publishes, and on its decision.

A producer may send any bytes under the name, so what is passed on is short, plain and no card number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from weir.schemas.masking import is_issued_card_number

HEADER: Final = "x-request-id"
FORM: Final = r"[A-Za-z0-9._~-]{1,64}"
_SANE: Final = re.compile(FORM)
_DIGITS: Final = re.compile(r"[0-9][0-9._-]+")


def is_request_id(text: str) -> bool:
    """Return whether a text may be logged and passed on as the id of a request.

    >>> is_request_id("order-7"), is_request_id("4111111111111111"), is_request_id("a b")
    (True, False, False)
    """
    return bool(_SANE.fullmatch(text)) and not any(map(is_issued_card_number, _DIGITS.findall(text)))


def find_request_id(headers: Iterable[tuple[str, Any]]) -> bytes | None:
    """Return the last id among the headers of a record, or None where none is fit to be passed on.

    >>> find_request_id([("trace", b"x"), ("x-request-id", b"order-7")]), find_request_id([("x-request-id", None)])
    (b'order-7', None)
    """
    found = [value for name, value in headers if name == HEADER]
    given = found[-1] if found else None
    return given if isinstance(given, bytes) and is_request_id(given.decode("latin-1")) else None
