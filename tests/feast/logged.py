"""Feature rows as an archiver would have kept them, made from a seed: few ids and few times, so that many share one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from tests.golden.log import EXPECTED
from weir.archive.columns import HEADERS
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.table import open_table
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import features_schema
from weir.schemas.durations import DAY_MS, HOUR_MS
from weir.schemas.streams.payments import payments

T0_MS = 20_000 * DAY_MS
DAYS = 60
LATE = 0.1
"""This share of rows is appended up to three days after its time."""
IDS = ("card_id", "customer_id", "device_id", "ip", "merchant_id")


class Topic(NamedTuple):
    """A topic, as a cluster knows it."""

    name: str
    topic_id: str


def build_rows(count: int, ids: int, seed: int = 1) -> pa.Table:
    """Return rows of the features table, in the order of the log.

    Args:
        count: of rows.
        ids: how many of each entity there are.
        seed: of all of it.
    """
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(0, DAYS * 24, count))
    times = T0_MS + hours * HOUR_MS
    late = rng.random(count) < LATE
    appended = times + 20 + np.where(late, rng.integers(0, 3 * DAY_MS, count), 0)
    fixed = {
        "partition": pa.array(rng.integers(0, 3, count), pa.int32()),
        "offset": pa.array(np.arange(count)),
        "append_ms": pa.array(appended),
        "day": pa.array(appended // DAY_MS, pa.int32()).cast(pa.date32()),
        "bucket": pa.array(np.zeros(count), pa.int32()),
        "headers": pa.array([[]] * count, HEADERS),
        "id": pa.array([f"t-{number}" for number in range(count)]),
        "salt": pa.array([b"0" * 16] * count),
        "batch": pa.array(np.ones(count), pa.int64()),
        payments.id: pa.array([f"t-{number}" for number in range(count)]),
        payments.time: pa.array(times),
    }
    known = {name: pa.array([f"{name}-{each}" for each in rng.integers(0, ids, count)]) for name in IDS}
    known["device_id"] = pa.array(known["device_id"].to_pylist(), mask=rng.random(count) < 0.2)
    numbers = {name: _draw_numbers(rng, count) for name in payments.feature_names}
    return pa.table(fixed | known | numbers)


def _draw_numbers(rng: np.random.Generator, count: int) -> pa.Array:
    """Return any bits that are a number, and some nulls."""
    bits = rng.integers(0, 1 << 32, count, np.uint32)
    values = bits.view(np.float32)
    values[np.isnan(values)] = 0.1
    return pa.array(values, mask=rng.random(count) < 0.1)


def build_archive(root: Path, rows: pa.Table) -> None:
    """Write an archive with these feature rows and one bundle, out of order and in several files."""
    root.mkdir(parents=True)
    codec = BatchCodec(schema=features_schema(payments))
    table = open_table(Place(str(root)).below("features"), Topic("features", "1"), "transactions", codec.arrow_schema)
    for name in (each for each in table.schema().names if each not in rows.schema.names):
        rows = rows.append_column(name, pa.nulls(len(rows), table.schema().field(name).type))
    rows = rows.select(table.schema().names).cast(table.schema())
    order = np.random.default_rng(7).permutation(len(rows))
    for part in np.array_split(order, 3):
        write_deltalake(table.place.uri, rows.take(pa.array(part)), mode="append")
    Objects(Place(str(root))).keep_bundle(EXPECTED / "bundle")
