"""An archive of decided payments, made without a broker: the golden log through the product's own stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from tests.golden.decided import DECISION_TIME_MS, LISTS, decide
from tests.golden.log import Entry, build_log
from tests.golden.product import FEATURES_SCHEMA_ID, Run
from tests.golden.records import read_schema
from tests.golden.shipped import bundle_folder
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.rows import Headers, Raw, RowMaker
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.seals.sealing import seal_new
from weir.archive.table import ArchiveTable, open_table
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema, event_schemas, features_schema, label_schemas
from weir.schemas.errors import PoisonRecord
from weir.schemas.streams.payments import payments
from weir.streaming.stage import do_nothing

RECORDS = 600
BATCHES = 3
DECISIONS_SCHEMA_ID = 13
"""A registry gives another schema another id; the release before wrote decisions by 12, with fewer fields."""
WRITERS = {
    1: read_schema("transactions.v1"),
    2: read_schema("transactions.v2"),
    3: read_schema("labels"),
    FEATURES_SCHEMA_ID: features_schema(payments),
    DECISIONS_SCHEMA_ID: decisions_schema(payments),
}
NEWEST = {
    "transactions": event_schemas(payments)[-1],
    "labels": label_schemas(payments)[-1],
    "features": features_schema(payments),
    "decisions": decisions_schema(payments),
    "transactions.dlq": "",
}


class Topic(NamedTuple):
    """A topic, as a cluster knows it."""

    name: str
    topic_id: str


class Logged(NamedTuple):
    """A record of a topic."""

    entry: Entry
    headers: Headers


@cache
def topics(partitions: int = 1) -> dict[str, list[Logged]]:
    """Return the records of all topics of one run."""
    log = build_log(partitions)[:RECORDS]
    run = Run(partitions).take(log)
    given = {name: [Logged(each, []) for each in log if each.topic == name] for name in ("transactions", "labels")}
    features = [Logged(_entry("features", n, row.key, row.value), []) for n, row in enumerate(run.rows)]
    made = decide(run.rows, DECISIONS_SCHEMA_ID)
    decided = [Logged(_entry("decisions", n, row.key, row.value), headers) for n, (row, headers) in enumerate(made)]
    letters = [each for each in run.letters if each.topic == "transactions.dlq"]
    dead = [Logged(_entry(each.topic, n, each.key, each.value), list(each.headers)) for n, each in enumerate(letters)]
    return {**given, "features": features, "decisions": decided, "transactions.dlq": dead}


def _entry(topic: str, offset: int, key: bytes | None, value: bytes | None) -> Entry:
    return Entry(topic, 0, offset, DECISION_TIME_MS + offset, key, value)


def build_archive(home: Path, partitions: int = 1, records: Mapping[str, Sequence[Logged]] | None = None) -> Path:
    """Write the archive of a run over so many partitions, or of other records, and the lists that were in force.

    Returns:
        Its root.
    """
    records = topics(partitions) if records is None else records
    root = home / "archive"
    place, key = Place(str(root)), load_key(key_path(home))
    (home / "lists.json").write_bytes(orjson.dumps(LISTS))
    objects = Objects(place)
    objects.keep_bundle(bundle_folder())
    for topic, logged in records.items():
        _fill(place, objects, topic, logged)
    for batch in range(BATCHES):
        for topic in records:
            table = _open(place, topic)
            if table.batch > batch:
                seal_new(Chain(Place(str(root))), key, name=topic, table=table)
    return root


def continue_archive(home: Path) -> None:
    """Add the records of the log that an archive in a home does not have yet, and seal them."""
    place, key = Place(str(home / "archive")), load_key(key_path(home))
    for topic, records in topics().items():
        _fill(place, Objects(place), topic, records, batches=1)
        seal_new(Chain(place), key, name=topic, table=_open(place, topic))


def _open(place: Place, topic: str) -> ArchiveTable:
    return open_table(place.below(topic), Topic(topic, "1"), "transactions", _codec(topic)[1])


def _codec(topic: str) -> tuple[BatchCodec | None, Any]:
    codec = BatchCodec(schema=NEWEST[topic]) if NEWEST[topic] else None
    return codec, codec.arrow_schema if codec else pa.schema([])


def _fill(place: Place, objects: Objects, topic: str, records: Sequence[Logged], batches: int = BATCHES) -> None:
    (codec, record), table = _codec(topic), _open(place, topic)

    def schema_of(schema_id: int) -> WriterSchema | PoisonRecord:
        if schema_id not in WRITERS:
            return PoisonRecord("unknown_schema_id", "expected a registered schema id, found another")
        found = WriterSchema(schema_id, subject_ok=True, schema=WRITERS[schema_id])
        objects.keep_schema(topic, found)
        return found

    decode: Callable[..., Any] | None = (lambda values: codec.decode(values, schema_of)) if codec else None
    maker = RowMaker(topic, table.columns(record), decode, payments.id, os.urandom)
    table.begin([0])
    first = sum(table.list_files()["num_records"].to_pylist())
    size = (len(records) - first) // batches + 1
    for at in range(first, len(records), size):
        table.append([maker.make(_raw(records[at : at + size]))], {0: at + size}, do_nothing)


def _raw(records: Sequence[Logged]) -> Raw:
    entries, values = [each.entry for each in records], [each.entry.value for each in records]
    return Raw(
        [each.partition for each in entries],
        [each.offset for each in entries],
        [each.append_ms for each in entries],
        [each.key for each in entries],
        values,
        [each.headers for each in records],
        values,
    )
