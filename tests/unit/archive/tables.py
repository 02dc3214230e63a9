"""Small Delta tables with the archive's columns, for tests of what reads, seals and erases them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from weir.archive.place import Place
from weir.archive.table import ArchiveTable
from weir.archive.tree import leaf, row_bytes

DAY_MS = 86_400_000
T0_MS = 20_000 * DAY_MS
SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("append_ms", pa.int64()),
        ("day", pa.date32()),
        ("bucket", pa.int32()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
        ("id", pa.string()),
        ("id_hash", pa.int64()),
        ("salt", pa.binary()),
        ("leaf", pa.binary()),
        ("batch", pa.int64()),
        ("card_id", pa.string()),
    ]
)


def build_row(topic: str, partition: int, offset: int, *, card: str = "card-000001", batch: int = 1) -> dict[str, Any]:
    """One row of a table; what is random in a real one is derived from the coordinates."""
    append_ms, key, value = T0_MS + offset, card.encode(), f"\x00....{card} pays {offset}".encode()
    headers = [("h", str(offset).encode())]
    salt = hashlib.sha256(f"{topic}{partition}{offset}".encode()).digest()[:16]
    return {
        "partition": partition,
        "offset": offset,
        "append_ms": append_ms,
        "day": append_ms // DAY_MS,
        "bucket": 0,
        "key": key,
        "value": value,
        "headers": [{"name": name, "value": content} for name, content in headers],
        "id": f"t-{partition}-{offset}",
        "id_hash": offset,
        "salt": salt,
        "leaf": leaf(salt, row_bytes(topic, partition, offset, append_ms, key, value, headers)),
        "batch": batch,
        "card_id": card,
    }


def append(root: Path, topic: str, rows: Sequence[dict[str, Any]]) -> ArchiveTable:
    """Append rows to a topic's table in one commit; return the table as it is then."""
    folder = root / topic
    if not DeltaTable.is_deltatable(str(folder)):
        statistics = {"delta.dataSkippingStatsColumns": "partition,offset,append_ms,batch"}
        DeltaTable.create(str(folder), SCHEMA, partition_by=["day"], configuration=statistics)
    write_deltalake(str(folder), pa.Table.from_pylist(list(rows), schema=SCHEMA), mode="append")
    return open_plain(root, topic)


def open_plain(root: Path, topic: str) -> ArchiveTable:
    """Open a table that has the columns and no configuration."""
    return ArchiveTable(Place(str(root / topic)), DeltaTable(str(root / topic)))
