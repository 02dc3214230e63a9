"""The stage of payments alone: how long a batch takes with all of its state in memory, and no server.

``python -m tests.bench.stage --records 4000``: payments of 200,000 cards in four partitions, of which every unit was
born empty, after 100,000 of them. It prints one line of JSON: processor time of a batch and of a payment.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tests.bench.drawn import draw_payments
from weir.archive.records import Consumed, Record
from weir.infra.redis.unit import Position, Unit
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import event_schemas
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.core.hashing import compute_partitions
from weir.streaming.event_stage import EventStage, EventStageConfig
from weir.streaming.kernels import shipped_kernel
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.empty_view import EmptyView

CARDS, PARTITIONS = 200_000, 4
WARM_UP_RECORDS, WARM_UP_BATCH = 100_000, 5_000
_SCHEMA = event_schemas(payments)[-1]
_WRITER = WriterSchema(1, subject_ok=True, schema=_SCHEMA)
_UNITS = [Unit(kind, partition) for kind in "tl" for partition in range(PARTITIONS)]
Batch = Mapping[int, list[Any]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=4_000, help="of a batch")
    parser.add_argument("--batches", type=int, default=20)
    given = parser.parse_args()
    run = Run()
    for batch in run.draw(WARM_UP_RECORDS // WARM_UP_BATCH, WARM_UP_BATCH):
        run.take(batch)
    batches = [*run.draw(given.batches, given.records)]
    began = time.process_time()
    for batch in batches:
        run.take(batch)
    seconds = (time.process_time() - began) / given.batches
    found = {
        "records": given.records,
        "cpu_ms_a_batch": 1e3 * seconds,
        "cpu_us_a_record": 1e6 * seconds / given.records,
    }
    sys.stdout.write(json.dumps({name: round(value, 2) for name, value in found.items()}) + "\n")
    return 0


class Run:
    """One process's stage and memory."""

    def __init__(self) -> None:
        """Own every unit, born empty."""
        names = ("transactions", "transactions.dlq", "features")
        config = EventStageConfig(
            *names, 2, PARTITIONS, PARTITIONS, "bench", "__dlq.errors.", BUILT_IN, shipped_kernel()
        )
        self._stage, self._codec = EventStage(config, lambda _: _WRITER), BatchCodec(schema=_SCHEMA)
        self._store = PartialStore(
            EmptyView(), declarations_hash=payments.declarations_hash, entities_max=1 << 40, bytes_max=1 << 50
        )
        for unit in _UNITS:
            self._store.own(unit, Position(0, partitions=PARTITIONS), born_empty=True)
        self._dice, self._drawn, self._began_ms = np.random.default_rng(1), 0, int(time.time() * 1_000)

    def take(self, batch: Batch) -> None:
        """Compute a batch, as if it were committed and written at once."""
        outcome = self._stage.process(dict(batch), self._store, dict.fromkeys(_UNITS, 0))
        for partition, records in batch.items():
            unit, end = Unit("t", partition), records[-1].offset() + 1
            self._store.pin(unit, end, outcome.changed.get(unit, []))
            self._store.confirm(unit, end)

    def draw(self, batches: int, size: int) -> Iterator[Batch]:
        """Yield batches of payments by partition, a millisecond apart."""
        for _ in range(batches):
            cards = self._dice.integers(0, CARDS, size)
            times = self._began_ms + self._drawn + np.arange(size)
            ips = [f"10.{card >> 16 & 255}.{card >> 8 & 255}.{card & 255}" for card in cards]
            events = draw_payments(self._dice, self._codec.arrow_schema, self._drawn, cards, times, ip=ips)
            partitions = compute_partitions(events.column("card_id"), PARTITIONS)
            batch: dict[int, list[Any]] = {}
            for place, value in enumerate(self._codec.encode(events, 1)):
                partition, key = int(partitions[place]), f"card-{cards[place]}".encode()
                row = {"partition": partition, "offset": self._drawn + place, "append_ms": int(times[place])}
                record = Record("transactions", row | {"key": key, "value": value, "headers": []})
                batch.setdefault(partition, []).append(Consumed(record))
            self._drawn += size
            yield batch


if __name__ == "__main__":
    sys.exit(main())
