"""What a long list costs a scorer: ``python -m tests.bench.lists``.

The middle of a scorer (decode, decide, encode; no broker, and a model of one node) on batches whose cards no list
names, without lists and with a block list of a million cards, in turns; the best round of each, because everything
else that runs makes it slower. What a broker and a real model take would make the share smaller.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from tests.golden.decided import build_decider, build_reader
from tests.golden.log import Entry
from tests.golden.product import FEATURES_SCHEMA_ID
from tests.golden.records import Given
from weir.inference.core.lists import Lists, ListsBuilder
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


def measure_ns(run: Callable[[list[Any]], object], batches: list[list[Any]]) -> float:
    """Return nanoseconds of processor time a row, of one round."""
    started = time.process_time_ns()
    for messages in batches:
        run(messages)
    return (time.process_time_ns() - started) / (ROWS * len(batches))


def main() -> int:
    """Measure, print, and say by the exit code whether the target is met."""
    decider, decisions = build_decider()
    current = _Current(decider._current)
    decider = Decider(current, payments)
    reader, writer = build_reader(), FeatureRowWriter(payments, topic="features", schema_id=FEATURES_SCHEMA_ID)
    batches = [build_messages(writer, number) for number in range(BATCHES)]

    def run(messages: list[Any]) -> None:
        decisions.to_avro(decider.decide(reader.from_avro(messages).batch), decision_time_ms=0)

    entries = [f"card_id-x-{number:08d}" for number in range(ENTRIES)]
    started = time.perf_counter()
    long = ListsBuilder(tuple(payments.id_field_of)).add({"block": {"card": entries}}).build("million")
    sys.stdout.write(f"{ENTRIES:,} entries put together in {time.perf_counter() - started:.2f} s\n")
    best = {"no lists": float("inf"), "a million cards": float("inf")}
    for _ in range(ROUNDS):
        for name, lists in zip(best, (Lists(), long), strict=True):
            current.lists = lists
            best[name] = min(best[name], measure_ns(run, batches))
    none, million = best.values()
    share = million / none - 1
    for name, cost in best.items():
        sys.stdout.write(f"{name:<20}{cost:10.0f} ns a row\n")
    sys.stdout.write(f"{'share':<20}{share:10.1%}   target {SHARE_MAX:.0%}\n")
    return 0 if share <= SHARE_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
