"""The archive: how fast an archiver is, what it takes, and how soon an id or a key is found.

``python -m tests.bench.archive backlog``: an event, a feature row and a decision each of so many payments are in the
log; one archiver is started and ends when it has them all.
``python -m tests.bench.archive shared``: one archiver takes such a backlog, then two at once half of the partitions
each, into another folder. Two on two cores are no faster than one next to its brokers; whether archivers that share the
work take more of it shows in the CPU of a row.
``python -m tests.bench.archive steady``: the same at a rate, what the archiver takes of a core meanwhile, and how old a
record is at most before its row can be read.
``python -m tests.bench.archive reading``: a table of decisions is written, and ids and keys are looked up in it, before
and after its files were joined.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Producer

from tests.bench.figures import percentile
from tests.conftest import create_deployment, environment_of, running_stack, settings_for
from tests.payments import DAY_MS
from tests.unit.inference.examples import DECISION
from weir.archive.columns import decoded_columns
from weir.archive.joining import find_days, join_day, utc_now
from weir.archive.place import Place
from weir.archive.reader import TableReader, open_reader
from weir.archive.rows import Raw, RowMaker
from weir.archive.table import find_table, no_step, open_table
from weir.infra.children import child_environment
from weir.infra.kafka.admin import TopicFacts
from weir.infra.kafka.clients import build_producer
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema, event_schemas, features_schema, subject
from weir.schemas.streams.payments import payments

CARDS = 20_000
BLOCK = 10_000
LOOKUPS = 200
BATCH_ROWS = 50_000
TICK_SECONDS = 0.05
Figures = dict[str, float]
PAYMENTS_A_SECOND_MIN = 10_000.0
AT_MOST = {"cores": 0.3, "memory_mb_max": 500.0, "age_seconds_max": 60.0}


def main() -> int:
    """Measure, write one line of JSON per figure, and say by the exit code whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["backlog", "shared", "steady", "reading"])
    parser.add_argument("--payments", type=int, default=300_000, help="of `backlog` and `shared`")
    parser.add_argument("--rate", type=int, default=2_000, help="payments a second of `steady`")
    parser.add_argument("--seconds", type=float, default=60.0, help="of `steady`")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of `reading`")
    given = parser.parse_args()
    measures = {
        "backlog": measure_backlog,
        "shared": measure_shared,
        "steady": measure_steady,
        "reading": measure_reading,
    }
    met = True
    for found in measures[given.what](given):
        sys.stdout.write(json.dumps({name: round(value, 4) for name, value in found.items()}) + "\n")
        sys.stdout.flush()
        met &= is_met(found)
    return 0 if met else 1


def is_met(found: Figures) -> bool:
    """True when every figure that has a target meets it."""
    rate = found.get("payments_a_second", PAYMENTS_A_SECOND_MIN)
    return rate >= PAYMENTS_A_SECOND_MIN and all(found.get(name, 0.0) <= most for name, most in AT_MOST.items())


def measure_backlog(given: argparse.Namespace) -> Iterator[Figures]:
    """Yield the rate of one archiver that has a backlog, its CPU and its memory."""
    with running_stack() as stack:
        settings = _deploy(load_settings({"WEIR_HOME": str(stack.home)}))
        _publish(settings, given.payments)
        began = time.monotonic()
        child = _start(settings, "--until-caught-up")
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
        assert status == 0, f"the archiver ended with {status}"
    cpu = used.ru_utime + used.ru_stime
    yield {
        "payments": given.payments,
        "seconds": seconds,
        "payments_a_second": given.payments / seconds,
        "cpu_seconds": cpu,
        "cpu_us_a_row": cpu / given.payments / 3 * 1e6,
        "memory_mb_max": used.ru_maxrss / 1_024,
    }


def measure_shared(given: argparse.Namespace) -> Iterator[Figures]:
    """Yield what one archiver takes for a backlog, then what each of two takes that share it."""
    with running_stack() as stack:
        settings = _deploy(load_settings({"WEIR_HOME": str(stack.home)}))
        _publish(settings, given.payments)
        for shares in (("0,1,2,3",), ("0,1", "2,3")):
            root = stack.home / f"by-{len(shares)}"
            began = time.monotonic()
            children = [
                _start(settings, "--until-caught-up", "--partitions", share, "--to", str(root)) for share in shares
            ]
            ended = [os.wait4(child.pid, 0) for child in children]
            seconds = time.monotonic() - began
            assert not any(status for _, status, _ in ended), "an archiver failed"
            rows = [_count_rows(settings, root, share) for share in shares]
            assert sum(rows) == 3 * given.payments
            for count, (_, _, used) in zip(rows, ended, strict=True):
                cpu = used.ru_utime + used.ru_stime
                yield {
                    "archivers": len(shares),
                    "rows": count,
                    "cpu_seconds": cpu,
                    "rows_a_cpu_second": count / cpu,
                    "cpu_us_a_row": cpu / count * 1e6,
                    "memory_mb_max": used.ru_maxrss / 1_024,
                }
            yield {"archivers": len(shares), "seconds": seconds, "together_payments_a_second": given.payments / seconds}


def _count_rows(settings: Settings, root: Path, share: str) -> int:
    """Return how many rows of the three topics are in the table of some partitions."""
    topics = [settings.topics.transactions, settings.topics.features, settings.topics.decisions]
    numbers = pa.array([int(each) for each in share.split(",")], pa.int32())
    batches = (rows for topic in topics for rows in _scan(root, topic))
    return sum(int(pc.sum(pc.is_in(rows.column("partition"), numbers)).as_py() or 0) for rows in batches)


def _scan(root: Path, topic: str) -> Iterator[pa.RecordBatch]:
    return open_reader(Place(str(root)), topic).scan(date.min, date.max, ["partition"])


def measure_steady(given: argparse.Namespace) -> Iterator[Figures]:
    """Yield what an archiver takes of a core while payments come at a rate."""
    with running_stack() as stack:
        settings = _deploy(load_settings({"WEIR_HOME": str(stack.home)}))
        blocks, producer = _build_blocks(settings, 1_000), build_producer(settings.kafka)
        child = _start(settings)
        with _watching_age(settings) as ages:
            _send_at(producer, blocks, given.rate, 10.0)  # starting, and its first commits
            before = _cpu_of(child.pid)
            began = time.monotonic()
            _send_at(producer, blocks, given.rate, given.seconds)
            cpu, seconds = _cpu_of(child.pid) - before, time.monotonic() - began
        child.terminate()
        _, _, used = os.wait4(child.pid, 0)
    yield {
        "rate": given.rate,
        "seconds": seconds,
        "cores": cpu / seconds,
        "memory_mb_max": used.ru_maxrss / 1_024,
        "age_seconds_max": max(ages),
    }


@contextmanager
def _watching_age(settings: Settings) -> Iterator[list[float]]:
    """Note each second how old the newest row of the table that is furthest behind is; of none, how long it waits."""
    names, began_ms, ages, done = settings.topics, time.time() * 1_000, list[float](), threading.Event()
    topics, place = [names.transactions, names.features, names.decisions], Place(settings.archive.root)

    def find_newest(topic: str) -> float:
        if find_table(place.below(topic)) is None:
            return began_ms
        newest = pc.max(open_reader(place, topic).files["max.append_ms"]).as_py()
        return began_ms if newest is None else float(newest)

    def watch() -> None:
        while not done.wait(1.0):
            ages.append(time.time() - min(map(find_newest, topics)) / 1_000)

    with ThreadPoolExecutor(1) as threads:
        watched = threads.submit(watch)
        try:
            yield ages
        finally:
            done.set()
        watched.result()


def measure_reading(given: argparse.Namespace) -> Iterator[Figures]:
    """Yield the times of look-ups in a table of decisions, then what joining takes, then the times after it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder).below("decisions")
        _write_table(place, given.rows)
        yield _look_up(place, given.rows)
        # in a process of its own: what this one took to write the table is no part of it
        with multiprocessing.get_context("spawn").Pool(1) as child:
            yield child.apply(_join, (place.uri,))
        yield _look_up(place, given.rows)


def _join(uri: str) -> Figures:
    table = open_table(Place(uri), TopicFacts("decisions", "bench", 1), "payments", pa.schema([]))
    began, cpu = time.monotonic(), time.process_time()
    joined = [join_day(table, day, no_step) for day in find_days(table, utc_now(), open_too=True)]
    return {
        "joined_files": sum(each.files for each in joined),
        "into": sum(each.joined for each in joined),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "memory_mb_max": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024,
    }


def _look_up(place: Place, rows: int) -> Figures:
    began = time.perf_counter()
    table = open_table(place, TopicFacts("decisions", "bench", 1), "payments", pa.schema([]))
    reader = TableReader(table)
    files = reader.files.num_rows
    opened, dice = time.perf_counter() - began, random.Random(1)
    ids, keys = [], []
    for _ in range(LOOKUPS):
        number = dice.randrange(rows)
        began = time.perf_counter()
        assert len(reader.find(f"t{number}")) == 1
        ids.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert reader.history(f"card-{number % CARDS}".encode()).num_rows == len(range(number % CARDS, rows, CARDS))
        keys.append(time.perf_counter() - began)
    return {
        "rows": rows,
        "files": files,
        "open_ms": 1e3 * opened,
        "by_id_ms_p50": 1e3 * percentile(ids, 50),
        "by_id_ms_max": 1e3 * max(ids),
        "by_key_ms_p50": 1e3 * percentile(keys, 50),
        "by_key_ms_max": 1e3 * max(keys),
    }


def _write_table(place: Place, rows: int) -> None:
    schema = decisions_schema(payments)
    codec, topic = BatchCodec(schema=schema), TopicFacts("decisions", "bench", 1)
    table = open_table(place, topic, "payments", codec.arrow_schema)
    table.begin([0])
    writer = WriterSchema(1, True, schema)
    maker = RowMaker(
        "decisions",
        decoded_columns(codec.arrow_schema),
        lambda values: codec.decode(values, lambda _: writer),
        payments.id,
        os.urandom,
    )
    now_ms = int(time.time() * 1_000) - 3 * DAY_MS
    for first in range(0, rows, BATCH_ROWS):
        numbers = range(first, min(rows, first + BATCH_ROWS))
        values: list[bytes | None] = [*codec.encode(_decisions(numbers), 1)]
        keys: list[bytes | None] = [f"card-{number % CARDS}".encode() for number in numbers]
        count = len(numbers)
        raw = Raw([0] * count, list(numbers), [now_ms + number // 10 for number in numbers], keys, values)
        raw.headers, raw.framed = [[] for _ in numbers], values
        table.append([maker.make(raw)], {0: numbers.stop}, no_step)


def _decisions(numbers: range) -> pa.RecordBatch:
    schema = BatchCodec(schema=decisions_schema(payments)).arrow_schema
    rows = [DECISION | {"transaction_id": f"t{each}", "card_id": f"card-{each % CARDS}"} for each in numbers]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _deploy(base: Settings) -> Settings:
    settings = settings_for(base, "archive", partitions=4)
    archive = settings.archive.model_copy(update={"root": str(settings.home / "archive")})
    settings = settings.model_copy(update={"archive": archive})
    create_deployment(settings)
    return settings


def _start(settings: Settings, *flags: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "weir", "archive", *flags]
    return subprocess.Popen(command, env=child_environment(environment_of(settings)), stderr=subprocess.DEVNULL)


Block = list[tuple[str, bytes, bytes]]
_SYMBOLS = {"channel": "POS", "outcome": "ACCEPTED", "decision": "APPROVE", "prediction_set": "BOTH"}
"""Of fields that take only some texts."""


def _build_blocks(settings: Settings, count: int) -> Block:
    """Return topic, key and value of an event, a feature row and a decision of each of so many payments, mixed."""
    names, registry = settings.topics, Registry(settings.registry)
    kinds = [
        (names.transactions, event_schemas(payments)[-1]),
        (names.features, features_schema(payments)),
        (names.decisions, decisions_schema(payments)),
    ]
    dice = np.random.default_rng(1)
    found: Block = []
    for topic, schema in kinds:
        codec, schema_id = BatchCodec(schema=schema), registry.register(subject(topic), schema)
        values = codec.encode(any_rows(codec.arrow_schema, count, dice), schema_id)
        found += [(topic, f"card-{number % CARDS}".encode(), value) for number, value in enumerate(values)]
    registry.close()
    random.Random(1).shuffle(found)
    return found


def any_rows(schema: pa.Schema, count: int, dice: np.random.Generator) -> pa.RecordBatch:
    """Return rows whose numbers are random, so that nothing is compressed which would not be in life."""
    return pa.RecordBatch.from_arrays([_any_column(each, count, dice) for each in schema], schema=schema)


def _any_column(field: pa.Field, count: int, dice: np.random.Generator) -> pa.Array:
    if pa.types.is_floating(field.type):
        return pa.array(dice.normal(size=count), pa.float64()).cast(field.type, safe=False)
    if pa.types.is_boolean(field.type):
        return pa.array([False] * count)
    if pa.types.is_integer(field.type):
        return pa.array(dice.integers(0, 100_000, count)).cast(field.type)
    if pa.types.is_list(field.type):
        return pa.array([[]] * count, field.type)
    symbol = _SYMBOLS.get(field.name)
    return pa.array([symbol or f"{field.name}-{number}" for number in dice.integers(0, 1 << 30, count)])


def _publish(settings: Settings, count: int) -> None:
    producer, block = build_producer(settings.kafka), _build_blocks(settings, min(count, BLOCK))
    for first in range(0, count, BLOCK):
        _send(producer, block[: 3 * (count - first)])
    assert producer.flush(120) == 0


def _send(producer: Producer, records: Sequence[tuple[str, bytes, bytes]]) -> None:
    for topic, key, value in records:
        producer.produce(topic, value, key)
    producer.poll(0)


def _send_at(producer: Producer, block: Block, rate: int, seconds: float) -> None:
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate * 3)
        while sent < due:
            step = min(due - sent, len(block))
            _send(producer, block[:step])
            sent += step
        time.sleep(TICK_SECONDS)
    assert producer.flush(60) == 0


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
