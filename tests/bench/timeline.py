"""Time travel: how long a card's past takes out of an archive, a decision by its id, and many decisions made again.

``python -m tests.bench.timeline --rows 10000000``: an archive of so many rows is written, a third each of events, of
feature rows as the stream's own stage computes them, and of decisions by a small model, over closed days and today.
Closed days have a file a topic, as joining leaves them; today has one a commit. Then cards are walked through the
closed days and through all of it, decisions are looked up, and a sample of them is made again.
``--keep FOLDER`` keeps the archive, or takes the one that is there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.bench.drawn import draw_payments
from tests.bench.figures import percentile
from tests.golden.decided import LISTS, decide
from tests.golden.product import DECISIONS_SCHEMA_ID, FEATURES_SCHEMA_ID, Row
from tests.golden.shipped import bundle_folder
from tests.payments import DAY_MS
from weir.archive.columns import decoded_columns
from weir.archive.evidence.case import collect
from weir.archive.evidence.sample import Sampler
from weir.archive.in_force.given import Given
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.records import Consumed, Record
from weir.archive.rows import Raw, RowMaker
from weir.archive.table import no_step, open_table
from weir.archive.timeline.moments import Moment
from weir.archive.timeline.past import Asked
from weir.archive.timeline.walk import walk
from weir.infra.kafka.admin import TopicFacts
from weir.infra.redis.unit import Position, Unit
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema, event_schemas, features_schema
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.event_stage import EventStage, EventStageConfig
from weir.streaming.kernels import shipped_kernel
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.empty_view import EmptyView

COMMITS_TODAY = 40
WALKS = 50
BLOCK_ROWS = 20_000
_IDS = {"transactions": 1, "features": FEATURES_SCHEMA_ID, "decisions": DECISIONS_SCHEMA_ID}
_SCHEMAS = {
    "transactions": event_schemas(payments)[-1],
    "features": features_schema(payments),
    "decisions": decisions_schema(payments),
}
_CODECS = {topic: BatchCodec(schema=schema) for topic, schema in _SCHEMAS.items()}
_WRITERS = {_IDS[topic]: WriterSchema(_IDS[topic], True, schema) for topic, schema in _SCHEMAS.items()}
Figures = dict[str, float]
Values = list[bytes | None]
AT_MOST = {
    "closed_days_ms_p50": 300.0,
    "with_today_ms_p50": 2_000.0,
    "decision_by_id_ms_p50": 1_000.0,
    "different": 0.0,
    "unexplained": 0.0,
}


def main() -> int:
    """Measure, write one line of JSON per figure, and say by the exit code whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of all three tables")
    parser.add_argument("--cards", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=30, help="that are closed")
    parser.add_argument("--again", type=int, default=1_000_000, help="decisions that are made again")
    parser.add_argument("--keep", type=Path, help="a home folder with the archive")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = given.keep or Path(folder)
        if not (home / "archive").exists():
            began = time.monotonic()
            Builder(home, given.cards).build(given.rows // 3, given.days)
            _tell({"rows_written": given.rows // 3 * 3, "seconds": time.monotonic() - began})
        met = True
        for found in (*measure(home, given.cards, given.days), make_again(home, given.again)):
            _tell(found)
            met &= is_met(found)
    return 0 if met else 1


def is_met(found: Figures) -> bool:
    """True when every figure that has a target meets it."""
    return all(found.get(name, 0.0) <= most for name, most in AT_MOST.items())


def measure(home: Path, cards: int, days: int) -> Iterator[Figures]:
    """Yield the times of walks and look-ups."""
    settings, root, kernel, dice = Settings(home=home), Place(str(home / "archive")), shipped_kernel(), random.Random(1)
    end_ms = json.loads((home / "end.json").read_text())["today_ms"]
    first, closed, now = Moment(end_ms - days * DAY_MS), Moment(end_ms - 1), Moment(end_ms + DAY_MS)
    for what, until in (("closed_days", closed), ("with_today", now)):
        times, cpu, events, different = [], time.process_time(), 0, 0
        for _ in range(WALKS):
            card = f"card-{dice.randrange(cards)}"
            asked = Asked("card", card, first, until)
            seconds, found = _time(partial(walk, settings, root, kernel, asked))
            times.append(seconds)
            events += found["check"]["events"]
            different += found["check"]["own"]["compared"] - found["check"]["own"]["equal"]
        yield {
            f"{what}_ms_p50": 1e3 * percentile(times, 50),
            f"{what}_ms_max": 1e3 * max(times),
            f"{what}_cpu_ms": 1e3 * (time.process_time() - cpu) / WALKS,
            "events_a_walk": events / WALKS,
            "different": different,
        }
    count = json.loads((home / "end.json").read_text())["events"]
    times = [_time(partial(collect, settings, root, f"t{dice.randrange(count)}"))[0] for _ in range(WALKS)]
    yield {"decision_by_id_ms_p50": 1e3 * percentile(times, 50), "decision_by_id_ms_max": 1e3 * max(times)}


def make_again(home: Path, count: int) -> Figures:
    """Make a sample of decisions again."""
    began, cpu = time.monotonic(), time.process_time()
    found = Sampler(Settings(home=home), Place(str(home / "archive")), Given()).run(count)
    return {
        "made_again": found.made,
        "different": len(found.different),
        "unexplained": found.unexplained,
        "not_made": sum(found.not_made.values()),
        "seconds": time.monotonic() - began,
        "cpu_us_each": (time.process_time() - cpu) / max(found.made, 1) * 1e6,
    }


def _time(run: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = run()
    return time.perf_counter() - began, found


class Builder:
    """Writes the three tables."""

    def __init__(self, home: Path, cards: int) -> None:
        self._home, self._cards, self._dice = home, cards, np.random.default_rng(1)
        self._root, self._number = Place(str(home / "archive")), 0
        objects = Objects(self._root)
        objects.keep_bundle(bundle_folder())
        (home / "lists.json").write_text(json.dumps(LISTS))
        self._tables, self._makers = {}, {}
        for topic, codec in _CODECS.items():
            objects.keep_schema(topic, _WRITERS[_IDS[topic]])
            self._tables[topic] = open_table(
                self._root.below(topic), TopicFacts(topic, "bench", 1), "transactions", codec.arrow_schema
            )
            self._tables[topic].begin([0])
            self._makers[topic] = RowMaker(
                topic,
                decoded_columns(codec.arrow_schema),
                partial(codec.decode, schema_of=_WRITERS.__getitem__),
                payments.id,
                os.urandom,
            )
        names = ("transactions", "transactions.dlq", "features")
        config = EventStageConfig(
            *names, FEATURES_SCHEMA_ID, 1, 0, "bench", "__dlq.errors.", BUILT_IN, shipped_kernel()
        )
        self._stage = EventStage(config, _WRITERS.__getitem__)
        self._store = PartialStore(
            EmptyView(), declarations_hash=payments.declarations_hash, entities_max=1 << 40, bytes_max=1 << 50
        )
        self._store.own(Unit("t", 0), Position(0, partitions=1), born_empty=True)

    def build(self, events: int, days: int) -> None:
        """Write so many events, and what was made of them."""
        today_ms = int(time.time() * 1_000) // DAY_MS * DAY_MS
        a_day = events // (days + 1)
        for day in range(days):
            self._commit([*self._blocks(a_day, today_ms - (days - day) * DAY_MS, DAY_MS)])
        passed_ms = int(time.time() * 1_000) - today_ms
        for part in range(COMMITS_TODAY):
            start_ms = today_ms + part * passed_ms // COMMITS_TODAY
            self._commit([*self._blocks(a_day // COMMITS_TODAY, start_ms, passed_ms // COMMITS_TODAY)])
        (self._home / "end.json").write_text(json.dumps({"today_ms": today_ms, "events": self._number}))

    def _commit(self, blocks: list[dict[str, pa.RecordBatch]]) -> None:
        for topic, table in self._tables.items():
            table.append([block[topic] for block in blocks], {0: self._number}, no_step)

    def _blocks(self, count: int, start_ms: int, span_ms: int) -> Iterator[dict[str, pa.RecordBatch]]:
        for at in range(0, count, BLOCK_ROWS):
            size = min(BLOCK_ROWS, count - at)
            times = start_ms + (at + np.arange(size)) * span_ms // count
            numbers = range(self._number, self._number + size)
            self._number += size
            yield self._make(numbers, times)

    def _make(self, numbers: range, times: np.ndarray) -> dict[str, pa.RecordBatch]:
        cards = self._dice.integers(0, self._cards, len(numbers))
        keys: Values = [f"card-{card}".encode() for card in cards]
        schema = _CODECS["transactions"].arrow_schema
        drawn = draw_payments(self._dice, schema, numbers.start, cards, times)
        events: Values = [*_CODECS["transactions"].encode(drawn, 1)]
        rows: list[dict[str, Any]] = [
            {"partition": 0, "offset": number, "append_ms": int(at), "key": key, "value": value, "headers": []}
            for number, at, key, value in zip(numbers, times, keys, events, strict=True)
        ]
        messages: list[Any] = [Consumed(Record("transactions", row)) for row in rows]
        outcome = self._stage.process({0: messages}, self._store, {Unit("t", 0): 0})
        assert not outcome.refused
        self._store.pin(Unit("t", 0), numbers.stop, outcome.changed[Unit("t", 0)])
        features: Values = [*outcome.rows[0].values]
        decided: Values = [row.value for row, _ in decide([*map(Row, keys, outcome.rows[0].values)])]
        made = {"transactions": events, "features": features, "decisions": decided}
        return {topic: self._makers[topic].make(_raw(numbers, times, keys, values)) for topic, values in made.items()}


def _raw(numbers: range, times: np.ndarray, keys: Values, values: Values) -> Raw:
    n = len(numbers)
    return Raw([0] * n, list(numbers), times.tolist(), keys, values, [[] for _ in numbers], values)


def _tell(found: Figures) -> None:
    sys.stdout.write(json.dumps({name: round(value, 2) for name, value in found.items()}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
