"""What is noted of each call of the API: a contract of the deployment, next to those of its streams.

A call that reads is one record, written after it. A change is two: what is to be done, before it is, and what came of
it. No record has an id of an event or of an entity: those are replaced by pseudonyms (``access/audit/pseudonym.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from weir.schemas.errors import Transient

GIVEN: Final = "given="
"""Before a request id that the client gave: it may be an id of theirs, and is replaced by a pseudonym like one."""


class Phase(StrEnum):
    """When a record was written."""

    CALL = "call"
    """After a call that changes nothing that people decide."""
    INTENT = "intent"
    """Before a change; without it the change is not made."""
    RESULT = "result"
    """After a change. Without one nobody knows whether it was made: the process died, or lost the record."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record.

    Attributes:
        phase: one of ``Phase``.
        time_ms: when the call came, UTC epoch ms.
        request_id: of the call; its intent and its result have the same. One that the client gave is a pseudonym.
        key_id: who asked; empty without a valid key.
        address: where from, as the server sees it; empty where that is not known.
        method: of the call.
        route: its path with names in place of ids; empty for a call that was refused before its path was looked at.
        stream: that the path is of; empty for none.
        about: pseudonym of the event, entity or case that it is about; empty for none.
        status: of the answer; 0 where there was none, and in an intent.
        micros: until the answer began.
        missed: records that this process could not write since the one before.
    """

    phase: str
    time_ms: int
    request_id: str
    key_id: str
    address: str
    method: str
    route: str
    stream: str
    about: str
    status: int
    micros: int
    missed: int = 0

    @property
    def call(self) -> tuple[str, str, str, int]:
        """What the two halves of a change have in common; a client may use a request id again."""
        return self.key_id, self.request_id, self.route, self.time_ms


class Placed(NamedTuple):
    """A record and where it was in the log: with the topic's id its place is its name in each copy of it.

    Attributes:
        topic_id: of the topic as that cluster had it.
        append_ms: when the brokers appended it, UTC epoch ms.
    """

    topic_id: str
    partition: int
    offset: int
    append_ms: int
    record: AuditRecord


ID_FIELD: Final = "request_id"
"""Of a record: the two halves of a change have the same."""
_TEXTS: Final = ("request_id", "key_id", "address", "method", "route", "stream", "about")
SCHEMA: Final[str] = json.dumps(
    {
        "type": "record",
        "name": "AuditRecord",
        "namespace": "weir",
        "doc": "One call of the API, or one half of a change. No ids of events or entities.",
        "fields": [
            {"name": "phase", "type": "string", "doc": "call, intent or result."},
            {"name": "time_ms", "type": "long"},
            *({"name": name, "type": "string"} for name in _TEXTS),
            {"name": "status", "type": "int"},
            {"name": "micros", "type": "long"},
            {"name": "missed", "type": "long", "default": 0},
        ],
    }
)
"""Avro, as JSON text."""


def read_record(document: dict[str, Any]) -> AuditRecord:
    """Return a record from its decoded fields."""
    return AuditRecord(**{name: document[name] for name in AuditRecord.__slots__})


class NotAudited(Transient):
    """A change was not made, because it could not be noted before."""
