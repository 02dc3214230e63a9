"""Whole events of a stream, made up by its profile: the same seed, stream and start give the same events."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.generators.profiles.distributions import Request
from weir.generators.profiles.profile import FieldProfile, Profile
from weir.generators.profiles.simulators import SIMULATORS
from weir.generators.seeds import Ints, key_of, rng_for, uuid_strings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas


class EventSource:
    """Draws events, block after block.

    Args:
        profile: how they are made up.
        seed: of the world; its ids are the same whenever it is met.
        start_ms: of the first event; another start gives other events.
    """

    def __init__(self, profile: Profile, seed: int, start_ms: int) -> None:
        self._profile = profile
        self._name = profile.stream.name
        self._rng = rng_for(seed, "profile", self._name, start_ms)
        self._key = key_of(seed, "event ids", self._name, start_ms)
        self._seed = seed
        self._drawn = 0
        self._simulator = SIMULATORS[profile.simulator](seed, start_ms) if profile.simulator else None
        self.arrow_schema: pa.Schema = BatchCodec(schema=event_schemas(profile.stream)[-1]).arrow_schema

    def draw(self, times_ms: Ints) -> pa.RecordBatch:
        """Return an event for each moment, with the fields of the newest schema in its order; moments ascend."""
        stream, count = self._profile.stream, len(times_ms)
        columns = {stream.id: self._ids(count)} | self._simulate(times_ms) | {stream.time: pa.array(times_ms)}
        numbers: dict[str, Ints] = {}
        for name, each in self._profile.fields.items():
            salt = zlib.crc32(f"{self._seed} {name}".encode())
            drawn = each.distribution.draw(Request(self._rng, count, numbers.get(each.of), salt))
            numbers[name] = drawn.numbers
            columns[name] = self._leave_out(drawn.values, each)
        none = pa.nulls(count)
        arrays = [_cast(columns.get(field.name, none), field.type) for field in self.arrow_schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow_schema)

    def _simulate(self, times_ms: Ints) -> dict[str, pa.Array]:
        if self._simulator is None:
            return {}
        batch = self._simulator.draw(times_ms)
        return dict(zip(batch.schema.names, batch.columns, strict=True))

    def _ids(self, count: int) -> pa.Array:
        low = np.arange(self._drawn, self._drawn + count, dtype=np.uint64)
        self._drawn += count
        return uuid_strings(np.full(count, self._key), low)

    def _leave_out(self, values: pa.Array, each: FieldProfile) -> pa.Array:
        if not each.missing:
            return values
        missing = pa.array(self._rng.random(len(values)) < each.missing)
        return pc.if_else(missing, pa.scalar(None, values.type), values)


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return values if values.type.equals(kind) else values.cast(kind)
