"""Values of records as the decoder takes them, wherever their producers sent the schema's id."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import Message

from weir.infra.kafka.clients import read_headers
from weir.schemas.avro.framing import IdOfGuid, frame_by_header
from weir.schemas.errors import PoisonRecord
from weir.schemas.request_id import find_request_id


class ReadValues(NamedTuple):
    """What messages hold, by their position.

    Attributes:
        values: framed; None where there is none.
        refused: why there is none.
        request_ids: of the requests that published them, of those that have one.
    """

    values: list[bytes | None]
    refused: dict[int, PoisonRecord]
    request_ids: dict[int, bytes]


def read_values(messages: Sequence[Message], id_of_guid: IdOfGuid) -> ReadValues:
    """Return what messages hold.

    Raises:
        Transient: the registry is unreachable.
    """
    values = [message.value() for message in messages]
    refused: dict[int, PoisonRecord] = {}
    request_ids: dict[int, bytes] = {}
    # most records carry none, and then nothing is done for them
    for row, headers in [(row, held) for row, message in enumerate(messages) if (held := read_headers(message))]:
        if (request_id := find_request_id(headers)) is not None:
            request_ids[row] = request_id
        framed = frame_by_header(values[row], headers, id_of_guid)
        if isinstance(framed, PoisonRecord):
            refused[row] = framed
        values[row] = None if isinstance(framed, PoisonRecord) else framed
    return ReadValues(values, refused, request_ids)


def find_no_guid(guid: uuid.UUID) -> PoisonRecord:
    """Answer for a place where no registry is asked for GUIDs."""
    return PoisonRecord("unsupported_schema_guid", f"expected a schema id of 4 bytes, found GUID {guid} in the header")
