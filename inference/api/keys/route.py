"""Paths of the keys of a deployment: the list, without anything that opens, and revoking one.

Keys are of the whole deployment, so a key that is bound to streams sees none. They are made and rotated on the command
line alone, which shows a key's text once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.access.key import Key, Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.change_body import read_body
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.schema import Schema
from weir.inference.api.web.content import find_wrong_content
from weir.schemas.errors import Refused

PATH = "/v1/keys"
_AWAY = ("unavailable", "refused")
_TIME_MS = 1_767_268_800_000
_TEXT: Schema = {"type": "string"}
_NULL_OR_TEXT: Schema = {"type": ["string", "null"]}
_NULL_OR_TIME: Schema = {"type": ["integer", "null"]}
_FIELDS: dict[str, Schema] = {
    "id": {"type": "string", "description": "Of the key; no secret."},
    "name": _TEXT,
    "scopes": {"type": "array", "items": {"type": "string", "enum": list(Scope)}},
    "streams": {"type": "array", "items": _TEXT, "description": "That it is bound to; empty for all."},
    "rate_per_second": {"type": ["number", "null"]},
    "burst": {"type": ["integer", "null"]},
    "created_ms": {"type": "integer"},
    "created_by": _TEXT,
    "expires_ms": _NULL_OR_TIME,
    "revoked_ms": _NULL_OR_TIME,
    "revoked_by": _NULL_OR_TEXT,
    "used_ms": _NULL_OR_TIME,
    "replaces": {**_NULL_OR_TEXT, "description": "Id of the key that it was rotated from."},
    "valid": {"type": "boolean"},
}
KEY: Schema = {"type": "object", "additionalProperties": False, "properties": _FIELDS, "required": [*_FIELDS]}
KEYS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"keys": {"type": "array", "items": KEY}},
    "required": ["keys"],
}
EXAMPLE: dict[str, Any] = {
    "id": "f987cf79",
    "name": "checkout",
    "scopes": ["read", "score"],
    "streams": ["transactions"],
    "rate_per_second": 50.0,
    "burst": 100,
    "created_ms": _TIME_MS,
    "created_by": "root",
    "expires_ms": None,
    "revoked_ms": None,
    "revoked_by": None,
    "used_ms": None,
    "replaces": None,
    "valid": True,
}
_EMPTY_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "additionalProperties": False}, "example": {}},
        },
    }
}


class KeysSource(Protocol):
    """The keys of a deployment; each raises ``Transient`` while they cannot be read."""

    def list_keys(self) -> Sequence[Key]:
        """Return every key, the oldest first."""
        ...

    def revoke(self, key_id: str, *, now_ms: int, by: str) -> Key:
        """Revoke a key; ``Refused`` for the last one of an administrator, and where there is none of the id."""
        ...


def add_keys(app: FastAPI, keys: KeysSource, now_ms: Callable[[], int] = lambda: int(time.time() * 1_000)) -> None:
    """Add the paths to an API that asks for keys."""

    @app.get(
        PATH,
        responses={
            200: examples.answer("every key, the oldest first", KEYS, {"keys": [EXAMPLE]}),
            **error_answers(*_AWAY),
        },
        summary="The keys, without anything that opens",
        openapi_extra=needs(Scope.ADMIN),
    )
    async def get_keys(request: Request) -> Response:
        check_whole(request)
        found = await run_in_threadpool(keys.list_keys)
        at_ms = now_ms()
        return answer_json({"keys": [describe_key(key, at_ms) for key in found]})

    @app.post(
        f"{PATH}/{{key_id}}/revoke",
        responses={
            200: examples.answer("it opens nothing any more", KEY, EXAMPLE | {"revoked_ms": _TIME_MS, "valid": False}),
            **error_answers("unknown_key", "last_admin_key", *WRONG_CONTENT, "invalid_request", *_AWAY),
        },
        summary="Revoke a key",
        openapi_extra=_EMPTY_BODY | needs(Scope.ADMIN),
    )
    async def post_revoke(request: Request, key_id: str) -> Response:
        by = check_whole(request)
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        read_body(await request.body(), keyed_as=by.name)
        known = {key.id for key in await run_in_threadpool(keys.list_keys)}
        if key_id not in known:
            return answer_error(404, "unknown_key", "expected the id of a key, found another text")
        at_ms = now_ms()
        try:
            key = await run_in_threadpool(lambda: keys.revoke(key_id, now_ms=at_ms, by=by.name))
        except Refused as error:
            return answer_error(409, "last_admin_key", str(error))
        return answer_json(describe_key(key, at_ms))


def describe_key(key: Key, now_ms: int) -> dict[str, Any]:
    """Return what may be shown of a key: neither its text nor its hash."""
    shown = {name: getattr(key, name) for name in _FIELDS if name != "valid"}
    return shown | {
        "scopes": sorted(key.scopes),
        "streams": sorted(key.streams),
        "valid": key.find_fault(now_ms) is None,
    }


def check_whole(request: Request) -> Key:
    """Return the key of a request.

    Raises:
        HTTPException: 403, it is bound to streams.
    """
    key: Key = request.state.key
    if key.streams:
        raise HTTPException(403, "expected a key of every stream, as keys are of all; found one that is bound")
    return key
