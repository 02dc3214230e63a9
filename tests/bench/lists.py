"""What a long list costs a scorer: ``python -m tests.bench.lists``.

The middle of a scorer (decode, decide, encode; no broker, and a model of one node) on batches whose cards no list
names; then their cards are looked up in a block list of a million, as a scorer does. Both are timed batch by batch, so
that the ids are where a scorer has them. What a broker and a real model take would make the share smaller.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa

from tests.golden.decided import build_decider, build_reader
from tests.golden.log import Entry
from tests.golden.product import FEATURES_SCHEMA_ID
from tests.golden.records import Given
from weir.inference.core.lists import SIDES, Lists, ListsBuilder
from weir.inference.core.records import read_ids
from weir.inference.decide import Decider
from weir.schemas.contracts import DECIDED
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureBatch, FeatureRowWriter

ENTRIES = 1_000_000
ROWS, BATCHES, ROUNDS, SEED = 4_000, 10, 15, 1
SHARE_MAX = 0.03
"""Of a scorer's time."""


class _Current:
    """What is in force; the lists can be put."""

    def __init__(self, now: Any) -> None:
        self.bundle, self.rules, self.thresholds, self.lists = now.bundle, now.rules, None, Lists()


def build_messages(writer: FeatureRowWriter, number: int) -> list[Any]:
    """Return feature rows of cards of their own, as a scorer reads them."""
    chance = np.random.default_rng(SEED + number)
    columns = {field.name: _fill(field, number) for field in writer.plain}
    rows = pa.record_batch(columns, schema=writer.plain)
    features = chance.gamma(2, 0.02, size=(ROWS, len(payments.feature_names))).astype(np.float32)
    published = writer.to_avro(FeatureBatch(rows, features, payments.feature_names, [b"key"] * ROWS))
    return [Given(Entry("features", 0, n, 0, b"key", value)) for n, value in enumerate(published.values)]


def _fill(field: pa.Field, number: int) -> pa.Array:
    """Return ids that are all different, and of every other field something."""
    if field.name == DECIDED:
        return pa.nulls(ROWS, field.type)
    if pa.types.is_list(field.type):
        return pa.array([[]] * ROWS, field.type)
    plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if field.name == "channel":
        return pa.array(["POS"] * ROWS).cast(field.type)
    if pa.types.is_string(plain):
        return pa.array([f"{field.name}-{number:04d}-{row:08d}" for row in range(ROWS)]).cast(field.type)
    return pa.array(np.full(ROWS, 1), pa.int64()).cast(field.type)


def main() -> int:
    """Measure, print, and say by the exit code whether the target is met."""
    decider, decisions = build_decider()
    current = _Current(decider._current)
    decider = Decider(current, payments)
    reader, writer = build_reader(), FeatureRowWriter(payments, topic="features", schema_id=FEATURES_SCHEMA_ID)
    batches = [build_messages(writer, number) for number in range(BATCHES)]

    entries = [f"card_id-x-{number:08d}" for number in range(ENTRIES)]
    started = time.perf_counter()
    long = ListsBuilder(tuple(payments.id_field_of)).add({"block": {"card": entries}}).build("million")
    sys.stdout.write(f"{ENTRIES:,} entries put together in {time.perf_counter() - started:.2f} s\n")
    without, looks = [], []
    for messages in batches * ROUNDS:
        times = [time.thread_time_ns()]
        batch = reader.from_avro(messages).batch
        decisions.to_avro(decider.decide(batch), decision_time_ms=0)
        times.append(time.thread_time_ns())
        ids = read_ids(batch.rows, long.kinds, payments.id_field_of)
        assert not any((long.find_kinds(side, ids, ROWS) >= 0).any() for side in SIDES)
        times.append(time.thread_time_ns())
        without.append((times[1] - times[0]) / ROWS)
        looks.append((times[2] - times[1]) / ROWS)
    share = statistics.median(looks) / statistics.median(without)
    for name, each in (("no lists", without), ("a million cards", looks)):
        sys.stdout.write(f"{name:<20}{statistics.median(each):10.0f} ns a row\n")
    sys.stdout.write(f"{'share':<20}{share:10.1%}   target {SHARE_MAX:.0%}\n")
    return 0 if share <= SHARE_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
