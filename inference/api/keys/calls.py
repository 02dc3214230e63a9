"""The path of the newest calls of keys, as the audit log has them; ``weir audit calls`` reads further back."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from weir.access.audit.read import Newest
from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_json
from weir.inference.api.error_document import error_answers
from weir.inference.api.keys.route import check_whole
from weir.inference.api.schema import Schema
from weir.schemas.audit import AuditRecord

PATH = "/v1/audit"
LIMIT, LIMIT_MAX = 100, 500
_TIME_MAX = (1 << 63) - 1
_TEXT: Schema = {"type": "string"}
_FIELDS: dict[str, Schema] = {
    "time_ms": {"type": "integer"},
    "phase": {
        "type": "string",
        "enum": ["call", "intent", "result"],
        "description": "A change is a `result`; an `intent` where nobody knows whether it was made.",
    },
    "key_id": {"type": "string", "description": "Who; empty without a valid key."},
    "address": {"type": "string", "description": "Where from, as the server sees it."},
    "method": _TEXT,
    "route": {"type": "string", "description": "The path with names in place of ids."},
    "stream": _TEXT,
    "about": {"type": "string", "description": "Pseudonym of what it is about; empty for nothing."},
    "request_id": _TEXT,
    "status": {"type": ["integer", "null"], "description": "Of the answer; null where there is none."},
    "micros": {"type": "integer", "description": "Until the answer began."},
}
CALLS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "calls": {
            "type": "array",
            "items": {
                "type": "object", "additionalProperties": False, "properties": _FIELDS, "required": [*_FIELDS],
            },
        },
        "whole": {"type": "boolean", "description": "False where there are, or may be, older ones since then."},
        "missed": {"type": "integer", "description": "Records that could not be written between these."},
    },
    "required": ["calls", "whole", "missed"],
}  # fmt: skip
EXAMPLE: dict[str, Any] = {
    "time_ms": 1_767_268_800_000,
    "phase": "result",
    "key_id": "f987cf79",
    "address": "10.0.0.7",
    "method": "POST",
    "route": "/v1/rules",
    "stream": "transactions",
    "about": "",
    "request_id": "0f5c1c7d2e4b4a4f9d6e8a7b6c5d4e3f",
    "status": 200,
    "micros": 8_200,
}


class CallsSource(Protocol):
    """The newest calls; ``access.audit.read.NewestCalls`` is the real one."""

    def read(self, since_ms: int, who: str, limit: int) -> Newest:
        """Return them; ``Refused`` where there is no audit log, ``Transient`` while it cannot be read."""
        ...


def add_calls(app: FastAPI, calls: CallsSource) -> None:
    """Add the path to an API that asks for keys."""

    @app.get(
        PATH,
        responses={
            200: examples.answer("the newest first", CALLS, {"calls": [EXAMPLE], "whole": True, "missed": 0}),
            **error_answers("invalid_request", "unavailable", "refused"),
        },
        summary="The newest calls of keys, from the audit log",
        openapi_extra=needs(Scope.ADMIN),
    )
    async def get_calls(
        request: Request,
        who: Annotated[str, Query(max_length=64, description="id of the key that called; anybody without it")] = "",
        since_ms: Annotated[int, Query(ge=0, le=_TIME_MAX, description="UTC epoch milliseconds")] = 0,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
    ) -> Response:
        check_whole(request)
        found = await run_in_threadpool(calls.read, since_ms, who, limit)
        shown = list(map(describe_call, found.calls))
        return answer_json({"calls": shown, "whole": found.is_whole, "missed": found.missed})


def describe_call(record: AuditRecord) -> dict[str, Any]:
    """Return what is shown of a call: all but what its writer missed before it."""
    return {name: getattr(record, name) for name in _FIELDS} | {"status": record.status or None}
