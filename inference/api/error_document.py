"""What the OpenAPI document says of errors: each route names the types that it answers with, by status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from weir.inference.api import schema
from weir.inference.api.uploads.receiving import is_upload
from weir.inference.api.web.error_types import ERROR_TYPES, HTTP
from weir.inference.api.web.errors import JSON, PROBLEM, error_body

Responses = dict[int | str, dict[str, Any]]

ALWAYS = ("internal", "body_too_large")
"""Types that any route may answer with."""
WRONG_CONTENT = ("unsupported_media_type", "unsupported_encoding")
"""Types of a route that reads a body."""
_OF_IDEMPOTENCY = (
    "invalid_idempotency_key",
    "request_in_flight",
    "idempotency_key_reused",
    "rate_limited",
    "unavailable",
)
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "description": "Of this request: sent again with it within 24 hours, it gets the same final answer.",
    "schema": {"type": "string", "pattern": r"^[!#-\[\]-~]{1,128}$"},
}
_MORE: Mapping[str, dict[str, Any]] = {
    "invalid_request": {"fields": [{"field": "currency", "message": "expected a string, found a number"}]},
    "dead_letter": {"reason": "from_future"},
    "id_reused": {"reason": "id_reused"},
}


def error_answers(*codes: str) -> Responses:
    """Return the OpenAPI responses of these types.

    >>> sorted(error_answers("no_decision", "unavailable", "busy"))
    [404, 503]
    """
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(ERROR_TYPES[code].status, []).append(code)
    return {status: _build_answer(found) for status, found in by_status.items()}


def add_errors(document: dict[str, Any], paths: Iterable[str], *codes: str) -> None:
    """Add types to every operation of some paths of a document, next to those that it names."""
    for path in paths:
        for operation in document["paths"][path].values():
            _add(operation, codes)


def add_idempotency(document: dict[str, Any]) -> None:
    """Add the header ``Idempotency-Key`` and what it may be answered with to every POST but uploads."""
    for path, operations in document["paths"].items():
        if "post" in operations and not is_upload({"method": "POST", "path": path}):
            _add(operations["post"], _OF_IDEMPOTENCY)
            operations["post"].setdefault("parameters", []).append(_IDEMPOTENCY_KEY)


def _add(operation: dict[str, Any], codes: Iterable[str]) -> None:
    found: dict[str, Any] = operation["responses"]
    for status, added in error_answers(*codes).items():
        named = read_codes(found[str(status)]) if str(status) in found else []
        found[str(status)] = _build_answer([*named, *(code for code in read_codes(added) if code not in named)])


def read_codes(response: Mapping[str, Any]) -> list[str]:
    """Return the types that a response of the document names.

    >>> read_codes(error_answers("no_decision")[404])
    ['no_decision']
    """
    error = response["content"][PROBLEM]["schema"]["properties"]["error"]
    return [code for code in error["properties"]["code"]["enum"] if code != HTTP]


def _build_answer(codes: list[str]) -> dict[str, Any]:
    code = codes[0]
    kind = ERROR_TYPES[code]
    example = orjson.loads(
        error_body(kind.status, code, f"{kind.title.lower()}: {kind.fix}", request_id="1f3c", **_MORE.get(code, {}))
    )
    # an empty id makes another path of a route's, which there is not
    named = [*codes, HTTP] if kind.status == HTTPStatus.NOT_FOUND else codes
    shown = {"schema": schema.build_problem(named), "example": example}
    description = "; ".join(f"`{code}`: {ERROR_TYPES[code].title.lower()}" for code in codes)
    return {"description": description, "content": {PROBLEM: shown, JSON: shown}}
