"""What a client of the registry remembers: schemas within a number of bytes, and unknown ids for a while."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable

from weir.schemas.avro.codec import WriterSchema

UNKNOWN_SECONDS = 30.0
"""How long an id is remembered as unknown: a schema that is registered late is seen after that."""
UNKNOWN_MAX = 1024
"""Unknown ids remembered at once. When that many are new in 30 s the bytes are noise, and the rest are not asked."""
SECONDS_ASKING_MAX = 10.0
"""Of every ``UNKNOWN_SECONDS``, for unknown ids together: a slow registry and a flood would stop the stream."""
KEPT_BYTES_MAX = 64 << 20
"""Of schemas that are kept; a topic has a handful, of some kilobytes each."""
_ID_OVERHEAD_BYTES = 200


class UnknownIds:
    """Remembers unknown ids for a bounded time, so that a flood of them is not a flood on the registry.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._expiry: OrderedDict[tuple[int | uuid.UUID, str], float] = OrderedDict()  # in order of expiry
        self._cost: dict[tuple[int | uuid.UUID, str], float] = {}

    def add(self, schema_id: int | uuid.UUID, subject: str, asked_seconds: float = 0.0) -> None:
        """Remember that an id was asked for in vain, and for how long."""
        self._expiry[(schema_id, subject)] = self._monotonic() + UNKNOWN_SECONDS
        self._cost[(schema_id, subject)] = asked_seconds

    def remembers(self, schema_id: int | uuid.UUID, subject: str) -> bool:
        """True while the id need not be asked again."""
        self._forget_expired()
        return (schema_id, subject) in self._expiry

    def is_full(self) -> bool:
        """True when no further id may be asked: too many are remembered, or they took too long."""
        self._forget_expired()
        return len(self._expiry) >= UNKNOWN_MAX or sum(self._cost.values()) >= SECONDS_ASKING_MAX

    def _forget_expired(self) -> None:
        now = self._monotonic()
        while self._expiry and next(iter(self._expiry.values())) <= now:
            key, _ = self._expiry.popitem(last=False)
            del self._cost[key]


class KeptSchemas:
    """Schemas by id and subject, the latest used, up to a number of bytes."""

    def __init__(self) -> None:
        self._schemas: OrderedDict[tuple[int, str], WriterSchema] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[int, str]) -> WriterSchema | None:
        """Return a schema that is kept."""
        if key in self._schemas:
            self._schemas.move_to_end(key)
        return self._schemas.get(key)

    def put(self, key: tuple[int, str], schema: WriterSchema) -> None:
        """Keep a schema, and as many of the others as there is room for."""
        self.drop(key)
        self._schemas[key] = schema
        self._bytes += _size(schema)
        while self._bytes > KEPT_BYTES_MAX:
            _, oldest = self._schemas.popitem(last=False)
            self._bytes -= _size(oldest)

    def drop(self, key: tuple[int, str]) -> None:
        """Keep it no longer."""
        if key in self._schemas:
            self._bytes -= _size(self._schemas.pop(key))


def _size(schema: WriterSchema) -> int:
    return len(schema.schema) + _ID_OVERHEAD_BYTES
