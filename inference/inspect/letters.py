"""Finds the dead letter of an event that has no decision, by the event's id."""

from __future__ import annotations

from contextlib import closing

from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.errors import PoisonRecord, Transient
from weir.streaming.dlq.letter import UNDECODED, DeadLetter
from weir.streaming.dlq.log import DeadLetterLog, Selection
from weir.streaming.dlq.repair import SchemaSource, decode_letter

LOOKED_AT_MAX = 100_000
"""Letters of a partition, the newest: some seconds of reading. Who asks about an event asks soon after it was sent."""


def find_letter(settings: Settings, event_id: str) -> DeadLetter | None:
    """Return the newest dead letter of an event.

    Raises:
        Refused: the stream has no topic of dead letters yet.
        Transient: the brokers or the registry did not answer in time.
    """
    found = None
    with DeadLetterLog(settings, settings.topics.dlq) as log, closing(Registry(settings.registry)) as schemas:
        ends = log.ends()
        for letter in log.scan(Selection(), ends, log.starts_of_newest(ends, LOOKED_AT_MAX)):
            newer = found is None or letter.appended_ms >= found.appended_ms
            if newer and is_about(letter, event_id, settings.stream.id, schemas):
                found = letter
    return found


def is_about(letter: DeadLetter, event_id: str, id_field: str, schemas: SchemaSource) -> bool:
    """Tell whether a letter holds an event of this id; of what cannot be decoded, whether the id is in its bytes."""
    if letter.value is None or event_id.encode() not in letter.value:
        return False
    if letter.reason in UNDECODED:
        return True
    try:
        datum, _ = decode_letter(letter, schemas)
    except (PoisonRecord, Transient):
        return True
    return bool(datum.get(id_field) == event_id)
