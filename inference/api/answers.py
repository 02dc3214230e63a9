"""Answers of the API: JSON written by orjson, and errors of one shape, which never repeat a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi.responses import Response

from weir.inference.api.request import FieldError
from weir.inference.api.web.errors import PROBLEM, error_body


def answer_json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as an answer."""
    return Response(orjson.dumps(document), status_code=status, headers=headers, media_type="application/json")


def answer_error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document."""
    return answer_problem(status, error_body(status, code, message), headers)


def answer_problem(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document that is written already."""
    return Response(body, status_code=status, headers=headers, media_type=PROBLEM)


def answer_invalid(errors: list[FieldError]) -> Response:
    """Return a 422 that names every field that is wrong."""
    return answer_problem(422, error_body(422, **describe_invalid(errors)))


def describe_invalid(errors: list[FieldError]) -> dict[str, Any]:
    """Return code, message and fields of what is wrong with an event."""
    message = "; ".join(f"{error.field}: {error.message}" for error in errors)
    fields = [{"field": error.field, "message": error.message} for error in errors]
    return {"code": "invalid_request", "message": message, "fields": fields}
