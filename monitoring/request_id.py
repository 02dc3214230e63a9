"""The id of the HTTP request that this task or thread answers: in its log lines, its answer and what it publishes."""

from __future__ import annotations

from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Empty where no request is being answered."""
