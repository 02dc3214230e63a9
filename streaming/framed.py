"""Values of records as the decoder takes them, wherever their producers sent the schema's id."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from confluent_kafka import Message

from weir.infra.kafka.clients import read_headers
from weir.schemas.avro.framing import IdOfGuid, frame_by_header
from weir.schemas.errors import PoisonRecord


def read_values(
    messages: Sequence[Message], id_of_guid: IdOfGuid
) -> tuple[list[bytes | None], dict[int, PoisonRecord]]:
    """Return the framed value of each message, and why those that have none have none, by position.

    Raises:
        Transient: the registry is unreachable.
    """
    values = [message.value() for message in messages]
    refused: dict[int, PoisonRecord] = {}
    # most records carry none, and then nothing is done for them
    for row, headers in [(row, held) for row, message in enumerate(messages) if (held := read_headers(message))]:
        framed = frame_by_header(values[row], headers, id_of_guid)
        if isinstance(framed, PoisonRecord):
            refused[row] = framed
        values[row] = None if isinstance(framed, PoisonRecord) else framed
    return values, refused


def find_no_guid(guid: uuid.UUID) -> PoisonRecord:
    """Answer for a place where no registry is asked for GUIDs."""
    return PoisonRecord("unsupported_schema_guid", f"expected a schema id of 4 bytes, found GUID {guid} in the header")
