"""The one shape of an error: a problem document (RFC 9457) with the member ``error`` that clients of before read.

    {"type", "title", "status", "detail", "instance", "error": {"code", "message", …}}

``detail`` is ``error.message`` again, and ``instance`` has the request's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson

from weir.inference.api.web.error_types import describe_type
from weir.inference.api.web.request_id import HEADER, new_request_id
from weir.monitoring.request_id import REQUEST_ID

PROBLEM = "application/problem+json"
JSON = "application/json"
_CONTENT_TYPE = b"content-type"


def error_body(status: int, code: str, message: str, *, request_id: str = "", **more: Any) -> bytes:
    """Return the JSON of an error.

    Args:
        status: of the answer.
        code: one of ``inference/api/web/error_types.py``, or ``http``.
        message: what was expected, what was found.
        request_id: in place of that of the request that is being answered.
        more: members of ``error``.

    >>> error_body(503, "busy", "expected fewer connections", request_id="r1")[:76]
    b'{"type":"urn:weir:error:busy","title":"Too many requests at a time","status"'
    """
    uri, title = describe_type(code, status)
    problem = {
        "type": uri,
        "title": title,
        "status": status,
        "detail": message,
        "instance": f"urn:weir:request:{request_id or REQUEST_ID.get()}",
        "error": {"code": code, "message": message, **more},
    }
    return orjson.dumps(problem)


def raw_answer(
    status: int, code: str, message: str, *, content_type: str, retry_after_seconds: int = 0, closes: bool = True
) -> bytes:
    """Return a whole answer as bytes, after which the connection closes where it says so."""
    request_id = new_request_id()
    body = error_body(status, code, message, request_id=request_id)
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
        f"{HEADER.decode()}: {request_id}",
    ]
    if closes:
        head.append("connection: close")
    if retry_after_seconds:
        head.append(f"retry-after: {retry_after_seconds}")
    return "\r\n".join([*head, "", ""]).encode() + body


def name_as_json(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer in which a problem document is called plain JSON, as it always was.

    >>> name_as_json([(b"content-type", b"application/problem+json"), (b"retry-after", b"1")])
    [(b'content-type', b'application/json'), (b'retry-after', b'1')]
    """
    problem = (_CONTENT_TYPE, PROBLEM.encode())
    return [(_CONTENT_TYPE, JSON.encode()) if header == problem else header for header in headers]
