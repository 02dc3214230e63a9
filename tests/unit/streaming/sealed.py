"""Partials of a test's own with the seal that the store asks for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tests.payments import Entity
from weir.infra.redis.unit import Unit
from weir.schemas.streams.payments import payments
from weir.streaming.core.seal import SEAL_BYTES, compute_seeds, put_seal


def sealed(unit: Unit, entity: Entity, entity_id: str, body: bytes) -> bytes:
    """Return a body with the seal of its key."""
    data = np.frombuffer(body + bytes(SEAL_BYTES), np.uint8).copy()
    seed = compute_seeds(
        payments.declarations_hash, unit.kind, entity, pa.array([entity_id]), np.array([unit.partition], np.int32)
    )[0]
    put_seal(data, 0, len(body), seed)
    return data.tobytes()
