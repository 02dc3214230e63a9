"""Events and labels as the bytes that go on the wire, in any version of their schema."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyruhvro

from weir.generators.seeds import Bools
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.avro.compatibility import parse_plain
from weir.schemas.avro.framing import frame_bodies


class Encoder:
    """Encodes one kind of record.

    Args:
        schemas: Avro schemas of that kind, oldest version first.
        schema_ids: the registry's id of each.
    """

    def __init__(self, schemas: tuple[str, ...], schema_ids: Sequence[int]) -> None:
        self._schemas = schemas
        self._schema_ids = schema_ids
        self._codec = BatchCodec(schema=schemas[-1])
        self.arrow_schema: pa.Schema = self._codec.arrow_schema

    def encode(self, batch: pa.RecordBatch) -> list[bytes]:
        """Return framed values by the newest schema, in order."""
        return self._codec.encode(batch, self._schema_ids[-1])

    def encode_mixed(self, batch: pa.RecordBatch, oldest: Bools) -> list[bytes]:
        """Return framed values, those of the rows marked ``oldest`` by version 1."""
        values = np.empty(batch.num_rows, dtype=object)
        values[~oldest] = _objects(self.encode(batch.filter(pa.array(~oldest))))
        values[oldest] = _objects(self._encode_oldest(batch.filter(pa.array(oldest))))
        encoded: list[bytes] = values.tolist()
        return encoded

    def _encode_oldest(self, batch: pa.RecordBatch) -> list[bytes]:
        schema = json.dumps(parse_plain(self._schemas[0]))
        known = batch.select(pyruhvro.avro_to_arrow_schema(schema).names)
        bodies = pyruhvro.serialize_record_batch(known, schema, 1)
        return [value for array in bodies for value in frame_bodies(array, self._schema_ids[0])]


def _objects(values: Sequence[bytes]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
