"""What a client that asks for a decision is told: status, body, headers, and the word that metrics use. Pure.

No answer repeats a value of the request but the event's id, and no dead letter's quotation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import orjson

from weir.inference.api.decide.event import describe
from weir.inference.api.decide.sender import NotPublished
from weir.inference.api.decide.stream_decisions import DeadLettered, Decided, Outcome, Pending, Why
from weir.inference.api.web.errors import JSON, PROBLEM, error_body

RETRY_AFTER_SECONDS = 1
PREFERENCES_BYTES_MAX = 256
_ERRORS_FROM = 400
_WAIT = re.compile(r"wait=([0-9]{1,9})")

Told = Literal[
    "decided", "repeated", "asked", "timeout", "behind", "not_reading", "id_reused", "dead_letter", "busy",
    "not_published", "may_be_published",
]  # fmt: skip
"""The outcomes that metrics tell apart."""

WHY: dict[Why, str] = {
    "asked": "the request asked not to wait",
    "timeout": "no decision came within the wait",
    "behind": "the stream is behind, so no decision was waited for",
    "not_reading": "decisions are not being read here just now, so none was waited for",
}


@dataclass(frozen=True)
class Reply:
    """An answer, before it is HTTP."""

    told: Told
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """Of the body."""
        return PROBLEM if self.status >= _ERRORS_FROM else JSON


@dataclass(frozen=True)
class Preference:
    """What a ``Prefer`` header asks for (RFC 7240): seconds to wait, 0 for ``respond-async``."""

    wait_seconds: float


def read_preference(header: str) -> Preference | None:
    """Return what is preferred, or ``None`` where nothing is that is known here; what is unknown is passed over.

    >>> read_preference("wait=2"), read_preference("respond-async, wait=2"), read_preference("return=minimal")
    (Preference(wait_seconds=2.0), Preference(wait_seconds=0.0), None)
    """
    wanted = [each.strip().lower() for each in header[:PREFERENCES_BYTES_MAX].split(",")]
    if "respond-async" in wanted:
        return Preference(0.0)
    found = next((match for each in wanted if (match := _WAIT.fullmatch(each))), None)
    return Preference(float(found[1])) if found else None


def look_up_path(prefix: str, event_id: str) -> str:
    """Return where a decision can be looked up.

    >>> look_up_path("/v1", "a/b c")
    '/v1/decisions/a%2Fb%20c'
    """
    return f"{prefix}/decisions/{quote(event_id, safe='')}"


def build_reply(outcome: Outcome, *, id_field: str, event_id: str, prefix: str) -> Reply:
    """Return the answer to a request whose event is in the log."""
    if isinstance(outcome, Decided):
        return Reply("repeated" if outcome.repeated else "decided", 200, outcome.body)
    if isinstance(outcome, DeadLettered):
        return _tell_refused(outcome)
    where = look_up_path(prefix, event_id)
    body = _tell_pending(outcome) | {id_field: event_id, "look_up": where}
    headers = {"location": where, "retry-after": str(RETRY_AFTER_SECONDS)}
    return Reply(outcome.why, 202, orjson.dumps(body), headers)


def _tell_pending(pending: Pending) -> dict[str, Any]:
    at = pending.published
    return {
        "decided": False,
        "why": pending.why,
        "message": WHY[pending.why],
        "published": {"topic": at.topic, "partition": at.partition, "offset": at.offset},
        "what_if": None if pending.stand_in is None else pending.stand_in | {"stand_in": True},
    }


def _tell_refused(refused: DeadLettered) -> Reply:
    letter = refused.letter
    if letter.reason == "id_reused":
        message = "the key used this id within the last day for an event with another body"
        return Reply("id_reused", 409, error_body(409, "id_reused", message, reason=letter.reason))
    message = f"the stream refused the event: {describe(letter.reason, letter.message)}"
    return Reply("dead_letter", 422, error_body(422, "dead_letter", message, reason=letter.reason))


def tell_busy() -> Reply:
    """Return the answer to one more request than may wait."""
    message = "expected fewer requests that wait for decisions; nothing was published"
    return Reply("busy", 503, error_body(503, "busy", message), {"retry-after": str(RETRY_AFTER_SECONDS)})


def tell_not_published(error: NotPublished) -> Reply:
    """Return the answer to a request whose event the broker did not confirm."""
    told: Told = "may_be_published" if error.may_be_published else "not_published"
    then = (
        "the event may be in the log: send the same again, it is decided once"
        if error.may_be_published
        else "the event is not in the log"
    )
    return Reply(told, 503, error_body(503, told, f"{error}; {then}"), {"retry-after": str(RETRY_AFTER_SECONDS)})
