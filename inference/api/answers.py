"""Answers of the API: JSON written by orjson, and errors of one shape, which never repeat a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi.responses import Response

from weir.inference.api.request import FieldError


def answer_json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as an answer."""
    return Response(orjson.dumps(document), status_code=status, headers=headers, media_type="application/json")


def answer_error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``{"error": {"code", "message"}}``."""
    return answer_json({"error": {"code": code, "message": message}}, status=status, headers=headers)


def answer_invalid(errors: list[FieldError]) -> Response:
    """Return a 422 that names every field that is wrong."""
    body = {
        "code": "invalid_request",
        "message": "; ".join(f"{error.field}: {error.message}" for error in errors),
        "fields": [{"field": error.field, "message": error.message} for error in errors],
    }
    return answer_json({"error": body}, status=422)
