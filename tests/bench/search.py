"""Search of decisions: how soon a page of each kind of question is answered, and what it takes of a core.

``python -m tests.bench.search``: an archive with a million decisions is written, of closed days whose files are joined
and of an open day with a file for each commit. Each kind of question is asked many times, with other ids each time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from tests.bench.figures import percentile
from tests.payments import DAY_MS
from weir.archive.columns import decoded_columns
from weir.archive.joining import find_days, join_day, utc_now
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.rows import Raw, RowMaker
from weir.archive.search.days import DayCounter
from weir.archive.search.find import DecisionSearch
from weir.archive.table import ArchiveTable, no_step, open_table
from weir.infra.kafka.admin import TopicFacts
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema, features_schema
from weir.schemas.search import Place as At
from weir.schemas.search import Search
from weir.schemas.streams.payments import payments
from weir.schemas.wanted import Wanted

CARDS, MERCHANTS = 20_000, 3_000
PARTITIONS = 8
COMMIT_MS = 30_000
TARGET_MS = 500.0
Figures = dict[str, float]
Ask = Callable[[random.Random], Search]
WRITER = WriterSchema(1, True, decisions_schema(payments))


def main() -> int:
    """Measure, write one line of JSON per kind of question, and say by the exit code whether each meets the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=10, help="closed days before the open one")
    parser.add_argument("--commits", type=int, default=1_440, help="files of the open day, each of 30 s")
    parser.add_argument("--asked", type=int, default=60, help="questions of each kind")
    parser.add_argument("--root", default="", help="of an archive that an earlier run wrote, or where this one does")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Place(given.root or folder)
        if not Path(root.uri, "decisions").exists():
            write_archive(root, given.rows, given.days, given.commits)
        met = True
        for name, found in measure(root, given.asked):
            sys.stdout.write(f"{name:34}{json.dumps({key: round(value, 1) for key, value in found.items()})}\n")
            sys.stdout.flush()
            met &= found.get("p95_ms", 0.0) < TARGET_MS
    return 0 if met else 1


def measure(root: Place, asked: int) -> Iterator[tuple[str, Figures]]:
    """Yield the name of each kind of question, and its times."""
    began = time.perf_counter()
    search = DecisionSearch(root, payments, "decisions", time.monotonic)
    search.find(Search(limit=1))
    yield "the first page of a process", {"ms": 1e3 * (time.perf_counter() - began), "files": search.files}
    newest_ms = search.find(Search(limit=1)).archived_to_ms
    assert newest_ms is not None
    for name, ask in list_kinds(newest_ms).items():
        dice, times, found, pages = random.Random(1), [], 0, 0
        cpu = time.process_time()
        for _ in range(asked):
            question = ask(dice)
            began = time.perf_counter()
            page = search.find(question)
            times.append(1e3 * (time.perf_counter() - began))
            found += len(page.decisions)
            pages += page.next is not None
        used = {"cpu_ms": 1e3 * (time.process_time() - cpu) / asked, "found": found / asked, "more": pages / asked}
        yield name, {"p50_ms": percentile(times, 50), "p95_ms": percentile(times, 95), "max_ms": max(times)} | used
    counter = DayCounter(root, payments, "decisions")
    for name in ("30 days, first time", "30 days, again"):
        began = time.perf_counter()
        assert counter.count(30).days
        yield name, {"ms": 1e3 * (time.perf_counter() - began)}
    yield "memory", {"mb_max": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024}


def list_kinds(newest_ms: int) -> dict[str, Ask]:
    """Return the questions by what they ask for."""

    def card(dice: random.Random) -> Wanted:
        return Wanted(ids={"card_id": f"card-{dice.randrange(CARDS):06d}"})

    def merchant(dice: random.Random) -> Wanted:
        return Wanted(ids={"merchant_id": f"merchant-{dice.randrange(MERCHANTS):05d}"})

    def hour(dice: random.Random) -> tuple[int, int]:
        first = newest_ms - dice.randrange(9 * DAY_MS)
        return first, first + DAY_MS // 24

    return {
        "the newest": lambda _: Search(),
        "the newest 200": lambda _: Search(limit=200),
        "a card": lambda dice: Search(card(dice)),
        "a merchant": lambda dice: Search(merchant(dice)),
        "DECLINE": lambda _: Search(Wanted(frozenset({"DECLINE"}))),
        "a rule": lambda _: Search(Wanted(rule="rule:impossible_travel")),
        "a rule that there is not": lambda _: Search(Wanted(rule="nothing")),
        "score from 0.99": lambda _: Search(Wanted(score_min=0.99)),
        "a request": lambda dice: Search(request_id=f"r{dice.randrange(1 << 60):032x}"),
        "an hour": lambda dice: Search(Wanted(), *hour(dice)),
        "DECLINE within an hour": lambda dice: Search(Wanted(frozenset({"DECLINE"})), *hour(dice)),
        "the page after one of a closed day": lambda dice: Search(
            after=At(newest_ms - dice.randrange(DAY_MS, 9 * DAY_MS), 0, 0)
        ),
    }


def write_archive(root: Place, rows: int, days: int, commits: int) -> None:
    """Write decisions of some closed days, whose files are joined, and of an open one with a file for each commit."""
    codec = BatchCodec(schema=WRITER.schema)
    table = open_table(root.below("decisions"), TopicFacts("decisions", "bench", 1), "payments", codec.arrow_schema)
    Objects(root).keep_schema("decisions", WRITER)
    table.begin(range(PARTITIONS))
    dice, now_ms = np.random.default_rng(1), int(time.time() * 1_000)
    midnight = now_ms // DAY_MS * DAY_MS
    a_ms = rows / (days * DAY_MS + commits * COMMIT_MS)
    offsets = [0] * PARTITIONS
    for day in range(days):
        _append(table, codec, dice, offsets, midnight - (days - day) * DAY_MS, DAY_MS, round(a_ms * DAY_MS))
    _join(table)
    for begin in range(midnight, midnight + commits * COMMIT_MS, COMMIT_MS):
        _append(table, codec, dice, offsets, begin, COMMIT_MS, max(1, round(a_ms * COMMIT_MS)))


def write_no_rows(root: Place) -> None:
    """Write a table of feature rows without any, so that what wants one next to decisions finds it."""
    record = BatchCodec(schema=features_schema(payments)).arrow_schema
    open_table(root.below("features"), TopicFacts("features", "bench", 1), "payments", record).begin(range(PARTITIONS))


def _join(table: ArchiveTable) -> None:
    for day in find_days(table, utc_now(), open_too=True):
        join_day(table, day, no_step)


def _append(
    table: ArchiveTable,
    codec: BatchCodec,
    dice: np.random.Generator,
    offsets: list[int],
    begin_ms: int,
    length_ms: int,
    count: int,
) -> None:
    at = np.sort(dice.integers(begin_ms, begin_ms + length_ms, count))
    cards = dice.integers(0, CARDS, count)
    batch = _decisions(codec.arrow_schema, at, cards, dice)
    values: list[bytes | None] = [*codec.encode(batch, 1)]
    partitions = (cards % PARTITIONS).tolist()
    places = []
    for partition in partitions:
        places.append(offsets[partition])
        offsets[partition] += 1
    keys: list[bytes | None] = [f"card-{card:06d}".encode() for card in cards]
    raw = Raw(partitions, places, at.tolist(), keys, values)
    requests = dice.integers(0, 1 << 60, count).tolist()
    raw.headers, raw.framed = [[("x-request-id", f"r{each:032x}".encode())] for each in requests], values
    maker = RowMaker(
        "decisions", decoded_columns(codec.arrow_schema), lambda each: codec.decode(each, lambda _: WRITER),
        payments.id, os.urandom,
    )  # fmt: skip
    table.append([maker.make(raw)], dict(enumerate(offsets)), no_step)


def _decisions(schema: pa.Schema, at: np.ndarray, cards: np.ndarray, dice: np.random.Generator) -> pa.RecordBatch:
    count = len(at)
    score = dice.beta(0.4, 8.0, count)
    decision = np.where(score > 0.6, "DECLINE", np.where(score > 0.35, "REVIEW", "APPROVE"))
    by_rule = dice.random(count) < 0.002
    reasons = [[{"code": "CARD_BURST", "detail": "card_event_count_5m = 9 (typical 1)"}]] * count
    made = {
        payments.id: [f"t{number:x}" for number in dice.integers(0, 1 << 60, count)],
        "card_id": [f"card-{card:06d}" for card in cards],
        "merchant_id": [f"merchant-{number:05d}" for number in dice.integers(0, MERCHANTS, count)],
        "decision": decision.tolist(),
        "score": score.tolist(),
        "decided_by": np.where(by_rule, "rule:impossible_travel", "model").tolist(),
        "reasons": reasons,
        "event_time_ms": (at - 200).tolist(),
        "decision_time_ms": (at - 5).tolist(),
        "amount_minor": dice.integers(100, 90_000, count).tolist(),
        "currency": ["EUR"] * count,
    }
    samples = orjson.loads(orjson.dumps(_sample()))
    return pa.RecordBatch.from_arrays(
        [_fit(made.get(field.name, [samples[field.name]] * count), field) for field in schema], schema=schema
    )


def _fit(values: list[object], field: pa.Field) -> pa.Array:
    return pa.array(values, field.type)


def _sample() -> dict[str, object]:
    from tests.unit.inference.examples import DECISION  # noqa: PLC0415

    return DECISION


if __name__ == "__main__":
    sys.exit(main())
