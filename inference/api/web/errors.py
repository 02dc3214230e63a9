"""The one shape of an error, for answers that no application writes: too large, too late, too many, no HTTP at all."""

from __future__ import annotations

import re
import uuid
from http import HTTPStatus

import orjson

from weir.schemas.masking import is_issued_card_number

REQUEST_ID = b"x-request-id"
_SANE = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_DIGITS = re.compile(r"[0-9][0-9._-]+")


def error_body(code: str, message: str) -> bytes:
    """Return the JSON of an error.

    >>> error_body("busy", "expected fewer connections")
    b'{"error":{"code":"busy","message":"expected fewer connections"}}'
    """
    return orjson.dumps({"error": {"code": code, "message": message}})


def raw_answer(status: int, code: str, message: str, *, retry_after_seconds: int = 0) -> bytes:
    """Return a whole answer as bytes, after which the connection closes."""
    body = error_body(code, message)
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"{REQUEST_ID.decode()}: {new_request_id()}",
        "connection: close",
    ]
    if retry_after_seconds:
        head.append(f"retry-after: {retry_after_seconds}")
    return "\r\n".join([*head, "", ""]).encode() + body


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
