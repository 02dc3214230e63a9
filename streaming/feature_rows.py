"""Feature rows between the kernel's matrix and their Avro.

``FeatureRowWriter`` writes the topic of feature rows, which is also the training log. ``FeatureRowReader`` is for a
process that decides the rows of another: values come back bit for bit as the kernel made them, a missing one as NaN, so
it does not matter where a row is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import Message

from weir.infra.kafka.clients import read_headers
from weir.infra.kafka.sink import Headers, Rows
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import DECIDED, features_schema
from weir.schemas.errors import PoisonRecord
from weir.schemas.request_id import HEADER, find_request_id
from weir.schemas.stream import Stream

Matrix = npt.NDArray[np.float32]
SchemaLookup = Callable[[int], "WriterSchema | PoisonRecord"]


@dataclass(frozen=True)
class FeatureBatch:
    """Feature rows of one batch, in input order.

    Attributes:
        rows: the columns of a feature row that are no features: what is passed on, where the event was, the hash of the
            declarations, and what was incomplete.
        features: float32, shape (rows, len(names)); NaN is a missing one.
        names: of the features.
        keys: of the records, one per row.
        request_ids: of the requests that published the events, one per row; None where no row has one.
    """

    rows: pa.RecordBatch
    features: Matrix
    names: Sequence[str]
    keys: Sequence[bytes | None]
    request_ids: Sequence[bytes | None] | None = None

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def undecided(self) -> FeatureBatch:
        """Return the rows whose decision was not committed together with them."""
        decided = self.rows.column(DECIDED)
        if decided.null_count == len(self):
            return self
        return self.keep(~decided.fill_null(False).to_numpy(zero_copy_only=False))

    def keep(self, kept: npt.NDArray[np.bool_]) -> FeatureBatch:
        """Return some of the rows, in their order."""
        rows = self.rows.filter(pa.array(kept))
        request_ids = None if self.request_ids is None else list(compress(self.request_ids, kept))
        return FeatureBatch(rows, self.features[kept], self.names, list(compress(self.keys, kept)), request_ids)

    def build_headers(self) -> list[Headers]:
        """Return the headers of each row's record: the id of the request, where there is one; empty for none at all."""
        return [[] if each is None else [(HEADER, each)] for each in self.request_ids or ()]


class FeatureRowWriter:
    """Writes the rows of one stream.

    Attributes:
        plain: schema of the columns that are no features.
    """

    def __init__(self, stream: Stream, *, topic: str, schema_id: int) -> None:
        """Bind to a topic and to the registry's id of the stream's feature schema."""
        self._topic = topic
        self._schema_id = schema_id
        self._codec = BatchCodec(schema=features_schema(stream))
        self.plain = _plain_schema(self._codec, stream)

    def to_avro(self, batch: FeatureBatch) -> Rows:
        """Return the records of a batch."""
        if not len(batch):  # Arrow repeats no list no times
            return Rows(self._topic, [], [])
        columns = dict(zip(batch.rows.schema.names, batch.rows.columns, strict=True))
        columns |= _build_feature_columns(batch.names, batch.features)
        schema = self._codec.arrow_schema
        values = self._codec.encode(pa.record_batch([columns[name] for name in schema.names], schema), self._schema_id)
        return Rows(self._topic, batch.keys, values, batch.build_headers())


class ReadRows(NamedTuple):
    """What messages held: every one is in ``batch`` or in ``unreadable``, once."""

    batch: FeatureBatch
    unreadable: list[tuple[Message, PoisonRecord]]


class FeatureRowReader:
    """Reads the rows of one stream."""

    def __init__(self, stream: Stream, schema_of: SchemaLookup, codec: BatchCodec | None = None) -> None:
        """Bind to what answers for the writer schema of a row's id; it may raise ``Transient``.

        Args:
            stream: whose rows.
            schema_of: the schema of their writer.
            codec: of these rows, where there is one already; to make its plans takes some 20 ms.
        """
        self._schema_of = schema_of
        self._codec = codec or BatchCodec(schema=features_schema(stream))
        self._names = stream.feature_names
        self._plain = _plain_schema(self._codec, stream)

    def from_avro(self, messages: Sequence[Message], *, with_request_ids: bool = False) -> ReadRows:
        """Return the rows that messages hold, and the messages that are no feature row, with the reason.

        Args:
            messages: of the topic of feature rows.
            with_request_ids: whether their headers are read too.

        Raises:
            Transient: the registry is unreachable.
        """
        decoded = self._codec.decode([message.value() for message in messages], self._schema_of)
        columns = [decoded.batch.column(name) for name in self._plain.names]
        kept = [messages[index] for index in decoded.rows.tolist()]
        keys = [message.key() for message in kept]
        request_ids = _read_request_ids(kept) if with_request_ids else None
        features = _read_features(decoded.batch, self._names)
        batch = FeatureBatch(pa.record_batch(columns, self._plain), features, self._names, keys, request_ids)
        return ReadRows(batch, [(messages[index], error) for index, error in decoded.errors])


def _read_request_ids(messages: Sequence[Message]) -> list[bytes | None] | None:
    """Return the ids in the headers of messages, or None where no message has one."""
    found = [find_request_id(held) if (held := read_headers(message)) else None for message in messages]
    return found if any(found) else None


def _plain_schema(codec: BatchCodec, stream: Stream) -> pa.Schema:
    features = set(stream.feature_names)
    return pa.schema([field for field in codec.arrow_schema if field.name not in features])


def _build_feature_columns(names: Sequence[str], features: Matrix) -> dict[str, pa.Array]:
    """Cut features, shape (rows, features), into a nullable column each, all of one array: NaN is looked for once."""
    n = len(features)
    flat = np.ascontiguousarray(features.T).ravel()
    column = pa.array(flat, mask=np.isnan(flat))
    return {name: column.slice(position * n, n) for position, name in enumerate(names)}


def _read_features(rows: pa.RecordBatch, names: Sequence[str]) -> Matrix:
    """Return the columns of these names as float32, shape (rows, len(names)), NaN where a value is null."""
    matrix = np.empty((len(names), rows.num_rows), dtype=np.float32)
    for position, name in enumerate(names):
        matrix[position] = rows.column(name).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(matrix.T)
