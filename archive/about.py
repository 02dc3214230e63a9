"""Reads what an archive and its topics hold about an entity, row by row: for who asks what is known of them."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Iterator
from contextlib import closing
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.archive.columns import FIXED, decoded_columns
from weir.archive.holding import Wanted, holds
from weir.archive.log import read_raw
from weir.archive.rows import RowMaker
from weir.archive.run import Followed
from weir.archive.table import ArchiveTable
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject
from weir.schemas.stream import Stream

_SHOWN: Final = ("partition", "offset", "append_ms", "undecoded")
_ROWS_AT_ONCE: Final = 16_384


def each_archived(table: ArchiveTable, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table that are about an entity, as documents.

    Raises:
        Damaged: a file is missing or is not what was written.
        Transient: the store cannot be read.
    """
    with table.place.errors("read"):
        for path in pa.table(table.delta.get_add_actions(flatten=True))["path"].to_pylist():
            with table.place.files.open_input_file(path) as data:
                for batch in pq.ParquetFile(data).iter_batches(_ROWS_AT_ONCE):
                    yield from _each_document(batch, wanted)


def each_archived_id(table: ArchiveTable, stream: Stream) -> Iterator[tuple[str, str]]:
    """Yield kind and id of the entities that rows of a table are about, once for each of its files.

    Of a record that was not decoded the key says it.

    Raises:
        Damaged: a file is missing or is not what was written.
        Transient: the store cannot be read.
    """
    with table.place.errors("read"):
        for path in pa.table(table.delta.get_add_actions(flatten=True))["path"].to_pylist():
            with table.place.files.open_input_file(path) as data:
                file = pq.ParquetFile(data)
                own = {kind: field for kind, field in stream.id_field_of.items() if field in file.schema_arrow.names}
                rows = file.read(columns=[*dict.fromkeys(["key", *own.values()])])
            for kind, field in own.items():
                yield from ((kind, each) for each in pc.unique(rows[field]).to_pylist() if isinstance(each, str))
            for key in pc.unique(rows["key"]).to_pylist():
                if key is not None:
                    yield stream.key.name, key.decode(errors="replace")


def each_logged(
    settings: Settings, followed: Followed, wanted: Wanted, without: Collection[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """Yield the records of a topic that are about an entity, as documents; the topic is read whole.

    Args:
        settings: of this deployment.
        followed: the topic.
        wanted: the entity.
        without: partitions and offsets that are left out, because the archive has them.

    Raises:
        Transient: brokers or registry did not answer in time.
    """
    of_subject = subject(followed.topic)
    with closing(History(settings.kafka)) as history, closing(Registry(settings.registry)) as registry:
        maker, guids = RowMaker(followed.topic, {}, None, "", bytes), None
        if followed.schema and followed.stream is not None:
            codec = BatchCodec(schema=followed.schema)
            schema_of = partial(registry.writer_schema, subject=of_subject)
            columns = decoded_columns(codec.arrow_schema)
            maker = RowMaker(
                followed.topic, columns, lambda values: codec.decode(values, schema_of), followed.stream.id, bytes
            )
            guids = partial(registry.id_of_guid, subject=of_subject)
        for number, end in end_offsets(settings.kafka, followed.topic).items():
            at = (followed.topic, number)
            for messages in history.read(at, history.low(at), end):
                for row in _each_document(maker.make(read_raw(messages, guids)), wanted):
                    if (row["partition"], row["offset"]) not in without:
                        yield row


def _each_document(rows: pa.RecordBatch, wanted: Wanted) -> Iterator[dict[str, Any]]:
    mask = holds(rows, wanted)
    if not pc.any(mask).as_py():
        return
    own = [name for name in rows.schema.names if name in _SHOWN or name not in FIXED.names]
    for row in rows.filter(mask).to_pylist():
        bare = {name: _to_plain(row[name]) for name in own if row[name] is not None}
        yield bare if row["id"] is not None else bare | {name: _encode(row[name]) for name in ("key", "value")}


def _to_plain(value: Any) -> Any:
    """Return what JSON can hold: bytes as Base64, and nothing for a number that is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _encode(value) if isinstance(value, bytes) else value


def _encode(content: bytes | None) -> str | None:
    """Return bytes that could not be decoded, as text."""
    return None if content is None else base64.b64encode(content).decode()
