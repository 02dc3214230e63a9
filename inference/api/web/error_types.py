"""Every type of error that the API answers with: its code, its status, its title, and what a client does about it.

docs/errors.md is this list as a page, and the OpenAPI document names the types of each route; tests hold both to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

_URN = "urn:weir:error:"
_BLANK = "about:blank"
"""A type that says no more than its status does (RFC 9457)."""
HTTP = "http"


class ErrorType(NamedTuple):
    """One type of error.

    Attributes:
        status: of its answers.
        title: the same for every answer of the type.
        fix: what the client does next.
    """

    code: str
    status: int
    title: str
    fix: str

    @property
    def uri(self) -> str:
        """What names the type in a problem document."""
        return f"{_URN}{self.code}"


_TYPES = (
    ErrorType("unknown_host", 400, "Unknown host", "without keys, ask for 127.0.0.1 or localhost"),
    ErrorType("no_http", 400, "Not HTTP", "speak HTTP/1.1"),
    ErrorType("invalid_idempotency_key", 400, "Not an idempotency key", "send another one, such as a UUID"),
    ErrorType("unauthorized", 401, "No valid key", "send one key of this deployment"),
    ErrorType("forbidden", 403, "Key lacks the right", "ask for a key with the scope that the message names"),
    ErrorType("unknown_stream", 404, "Unknown stream", "correct the name; the message has the nearest one"),
    ErrorType("no_default_stream", 404, "No default stream", "name the stream in the path"),
    ErrorType("unknown_entity", 404, "Unknown entity", "take one of the entities that the message names"),
    ErrorType("no_decision", 404, "No decision", "ask later if the event was sent just now"),
    ErrorType("no_quality", 404, "No figures", "tell the operator: `weir quality` on the API's host finds them"),
    ErrorType("no_archive", 404, "No archive", "tell the operator: `weir archive` archives what is decided"),
    ErrorType("no_evidence", 404, "No evidence", "ask later if the event was decided just now"),
    ErrorType("unknown_case", 404, "Unknown case", "take an id from the queue of the same stream"),
    ErrorType("unknown_letter", 404, "Unknown dead letter", "take a place from the list of the same topic"),
    ErrorType("unknown_version", 404, "Unknown version", "take a version of the history; the message has the reason"),
    ErrorType("model_not_found", 404, "Unknown model", "take one of the models that the message names"),
    ErrorType("unknown_proposal", 404, "Unknown proposal", "take an id from the list of the same kind"),
    ErrorType("unknown_key", 404, "Unknown key", "take an id from the list of keys"),
    ErrorType("unknown_upload", 404, "Unknown upload", "take an id from the list of the same stream"),
    ErrorType("too_slow", 408, "Request too slow", "send headers and body faster, over another connection"),
    ErrorType("duplicate", 409, "Id already decided", "look the decision up"),
    ErrorType("id_reused", 409, "Id used for another event", "give a new event a new id"),
    ErrorType("request_in_flight", 409, "First request in flight", "ask again after `Retry-After`"),
    ErrorType("case_held", 409, "Case held by another", "take another case, or wait until it is released"),
    ErrorType("case_not_claimed", 409, "Case not claimed", "claim it first"),
    ErrorType("case_closed", 409, "Case closed", "correct its verdict instead"),
    ErrorType("in_case", 409, "Event of this case", "nothing: a case is linked to events of others"),
    ErrorType("links_full", 409, "Too many links", "open a case of one of the others, and link that"),
    ErrorType("label_stays", 409, "Label cannot be withdrawn", "decide for fraud or legitimate"),
    ErrorType("letter_settled", 409, "Dead letter settled", "nothing: it was replayed, parked or discarded before"),
    ErrorType("letter_not_sent", 409, "Dead letter not sent", "repair what the message names, or discard the letter"),
    ErrorType("rules_not_passed", 409, "Rules go too far", "change them, or publish them with `force` and why"),
    ErrorType("lists_not_passed", 409, "Lists go too far", "change less, or make the change with `force` and why"),
    ErrorType("own_proposal", 409, "Own proposal", "ask a colleague to approve it"),
    ErrorType("proposal_closed", 409, "Proposal settled", "nothing, or propose it once more"),
    ErrorType(
        "proposal_outdated", 409, "Proposal of other rules or lists", "look at what is in force and propose again"
    ),
    ErrorType("last_admin_key", 409, "Last key of an administrator", "make another one first, on the command line"),
    ErrorType("upload_not_done", 409, "Upload not done", "ask for the upload until it is `done`"),
    ErrorType("body_too_large", 413, "Body too large", "send less"),
    ErrorType("unsupported_media_type", 415, "Unsupported media type", "send what the message names"),
    ErrorType("unsupported_encoding", 415, "Unsupported encoding", "send plain UTF-8, not compressed"),
    ErrorType("invalid_request", 422, "Invalid request", "correct the fields that `error.fields` names"),
    ErrorType("idempotency_key_reused", 422, "Idempotency key used before", "give another request another key"),
    ErrorType("dead_letter", 422, "Event refused by the stream", "see `error.reason`; the event is a dead letter"),
    ErrorType("rate_limited", 429, "Too much for this key", "ask again after `Retry-After`"),
    ErrorType("too_many_uploads", 429, "Too many uploads", "wait for one that is under way, or delete one"),
    ErrorType("headers_too_large", 431, "Headers too large", "send fewer headers"),
    ErrorType("internal", 500, "Internal error", "report the request id: the log has the cause"),
    ErrorType("busy", 503, "Too many requests at a time", "ask again after `Retry-After`; nothing was done"),
    ErrorType("not_published", 503, "Event not published", "ask again; the event is not in the log"),
    ErrorType("may_be_published", 503, "Event perhaps published", "send the same again: it is decided once"),
    ErrorType("unavailable", 503, "Dependency away", "ask again after `Retry-After`; it recovers by itself"),
    ErrorType("damaged", 503, "Damaged data", "ask again after `Retry-After`; what is damaged is written again"),
    ErrorType("not_audited", 503, "Change not audited", "ask again after `Retry-After`; nothing was changed"),
    ErrorType("refused", 503, "Needs an operator", "tell the operator what the message says; waiting does not help"),
)
ERROR_TYPES: Mapping[str, ErrorType] = {each.code: each for each in _TYPES}


def describe_type(code: str, status: int) -> tuple[str, str]:
    """Return the type's URI and its title.

    >>> describe_type("busy", 503), describe_type("http", 405)
    (('urn:weir:error:busy', 'Too many requests at a time'), ('about:blank', 'Method Not Allowed'))
    """
    if code == HTTP:  # a path or a method that there is not: the status says it all
        return _BLANK, HTTPStatus(status).phrase
    found = ERROR_TYPES.get(code)
    # one that the list lacks is still told, or a bug would hide the error; a test finds such in the source
    return (f"{_URN}{code}", HTTPStatus(status).phrase) if found is None else (found.uri, found.title)
