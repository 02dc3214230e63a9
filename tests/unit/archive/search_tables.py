"""A table of decisions for tests of search: what is decided is drawn, and known to the test as plain dictionaries."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.unit.archive.decided import Topic
from tests.unit.inference.examples import DECISION
from weir.archive.columns import decoded_columns
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.rows import Raw, RowMaker
from weir.archive.table import ArchiveTable, no_step, open_table
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.streams.payments import payments

DAY_MS = 86_400_000
T0_MS = 20_000 * DAY_MS
PARTITIONS = 3
SCHEMA = decisions_schema(payments)
WRITER = WriterSchema(1, True, SCHEMA)
CODEC = BatchCodec(schema=SCHEMA)
Decision = dict[str, Any]
At = tuple[int, int, int]


class DecidedTable:
    """A table, and each decision in it by its append time, partition and offset."""

    def __init__(self, folder: Path, *, topic: str = "decisions") -> None:
        self.root = Place(str(folder))
        self.table: ArchiveTable = open_table(
            self.root.below(topic), Topic(topic, "1"), payments.full_name, CODEC.arrow_schema
        )
        Objects(self.root).keep_schema(topic, WRITER)
        self.decisions: dict[At, Decision] = {}
        self._topic = topic
        self._ends = dict.fromkeys(range(PARTITIONS), 0)
        self.table.begin(range(PARTITIONS))

    def add(self, rows: list[tuple[int, Decision]], request_id: str = "") -> list[At]:
        """Archive decisions with their append times in one commit; one request published all their events."""
        headers = [("x-request-id", request_id.encode())] if request_id else []
        raw, places = Raw(), []
        values = CODEC.encode(pa.RecordBatch.from_pylist([row for _, row in rows], schema=CODEC.arrow_schema), 1)
        for (at_ms, row), value in zip(rows, values, strict=True):
            partition = sum(row["card_id"].encode()) % PARTITIONS
            place = (at_ms, partition, self._ends[partition])
            self._ends[partition] += 1
            self.decisions[place] = row
            places.append(place)
            for column, each in zip(
                (raw.append_ms, raw.partitions, raw.offsets, raw.keys, raw.values, raw.headers, raw.framed),
                (*place, row["card_id"].encode(), value, headers, value),
                strict=True,
            ):
                column.append(each)  # type: ignore[attr-defined]
        maker = RowMaker(
            self._topic,
            decoded_columns(CODEC.arrow_schema),
            lambda each: CODEC.decode(each, lambda _: WRITER),
            payments.id,
            os.urandom,
        )
        self.table.append([maker.make(raw)], dict(self._ends), no_step)
        return places


def draw(dice: random.Random, number: int, **changes: Any) -> Decision:
    """Return a decision of a few cards and merchants, so that each has some."""
    score = None if dice.random() < 0.1 else round(dice.random(), 2)
    return DECISION | {
        "transaction_id": f"t{number}",
        "card_id": f"card-{dice.randrange(7)}",
        "merchant_id": f"merchant-{dice.randrange(4)}",
        "decision": dice.choice(["APPROVE", "APPROVE", "REVIEW", "DECLINE"]),
        "score": score,
        "decided_by": dice.choice(["model", "model", "rule:a", "rule:b"]),
        "shadow_rules": dice.choice([[], [], ["rule:b"], ["rule:a", "rule:c"]]),
        "amount_minor": dice.randrange(1, 9_000),
        "currency": dice.choice(["EUR", "USD", "JPY"]),
        "event_time_ms": T0_MS + number,
        **changes,
    }
