"""``/v1/decide``: what reading every decision costs a process, and how long an answer takes.

``python -m tests.bench.decide reader``: CPU of processes that listen, all of their threads, and of the broker that they
read from, at several rates of decisions and for several numbers of processes, while so many keys are waited for.
``python -m tests.bench.decide latency``: ``weir process``, ``weir score`` (or ``weir run``) and ``weir serve`` next to
an open-loop client.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

import pyarrow as pa

from tests.bench.figures import percentile
from tests.conftest import create_deployment, environment_of, running_stack, settings_for
from tests.integration.forked import Program
from tests.integration.services import Services, log_of
from tests.soak.probe import read_usage
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.examples import DECISION
from weir.inference.api.decide.listener import DecisionListener
from weir.inference.api.decide.waiting import Places, Record, WaitingRequests
from weir.inference.api.live.feed import Feed
from weir.infra.children import child_environment
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.tail import Tail
from weir.infra.settings import Settings, load_settings
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.streams.payments import payments

COMMIT_SECONDS = 0.02
WARM_RATE, WARM_SECONDS = 5_000, 15.0
CARDS = 20_000
READY = "listening"
SCHEMA_ID = 1


def main() -> None:
    """Measure, and write one line of JSON per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["reader", "latency", "child"])
    parser.add_argument("--rates", type=int, nargs="+", default=[0, 1_000, 2_000, 5_000])
    parser.add_argument("--waiting", type=int, default=100, help="keys that are waited for")
    parser.add_argument("--processes", type=int, nargs="+", default=[0, 1], help="how many listen at one time")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--one", action="store_true", help="`weir run` in place of `weir process` and `weir score`")
    given = parser.parse_args()
    if given.what == "child":
        listen(load_settings(), given.waiting, given.seconds)
        return
    measure = measure_readers if given.what == "reader" else measure_latencies
    for found in measure(given):
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def measure_readers(given: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Yield the CPU of each process that listens, and of the broker, while decisions come at a rate."""
    command = [sys.executable, "-m", "tests.bench.decide", "child", "--waiting", str(given.waiting)]
    command += ["--seconds", str(given.seconds)]
    with running_stack() as stack:
        settings = settings_for(load_settings({"WEIR_HOME": str(stack.home)}), "decide", partitions=4)
        create_deployment(settings)
        broker = stack.processes["kafka"].find_running()
        assert broker is not None
        publisher = Publisher(settings)
        publisher.publish(WARM_RATE, WARM_SECONDS)  # a broker compiles what it does often
        for processes, rate in product(given.processes, given.rates):
            with ExitStack() as ends:
                children = [ends.enter_context(start_listener(settings, command)) for _ in range(processes)]
                for child in children:
                    tell(child)
                before, began = read_usage(broker.pid).cpu_seconds, time.monotonic()
                publisher.publish(rate, given.seconds)
                used, took = read_usage(broker.pid).cpu_seconds - before, time.monotonic() - began
                found: list[dict[str, float]] = [json.loads(hear(child)) for child in children]
            means = {name: round(sum(each[name] for each in found) / len(found), 2) for name in (found or [{}])[0]}
            of_broker = {"broker_cpu_percent": round(100 * used / took, 1)}
            yield {"rate": rate, "waiting": given.waiting, "processes": processes} | means | of_broker


@contextmanager
def start_listener(settings: Settings, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a process that listens, and measures once it is told to."""
    environment = child_environment(environment_of(settings))
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert hear(child) == READY
        yield child


def tell(child: subprocess.Popen[str]) -> None:
    """Have a process begin to measure."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def hear(child: subprocess.Popen[str]) -> str:
    """Return the next line of a process."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def listen(settings: Settings, waiting_keys: int, seconds: float) -> None:
    """Listen as an API does, and say what it cost."""
    waiting = WaitingRequests(
        payments,
        Places(number_max=1 << 20, bytes_max=1 << 40),
        events_topic=settings.topics.transactions,
        clock=time.monotonic,
    )
    for number in range(waiting_keys):
        waiting.enter(f"card-{number}".encode(), "none", 0, lambda: None)
    codec = BatchCodec(schema=decisions_schema(payments))
    schema = WriterSchema(SCHEMA_ID, subject_ok=True, schema=decisions_schema(payments))
    read, decoded = [0], [0]

    def decode(values: Sequence[bytes]) -> Sequence[Record]:
        decoded[0] += len(values)
        records: list[Record] = codec.decode(values, lambda _: schema).batch.to_pylist()
        return records

    class Counted(Tail):
        def read(self, records_max: int, timeout_seconds: float) -> list[object]:
            found = super().read(records_max, timeout_seconds)
            read[0] += len(found)
            return found

    listener = DecisionListener(
        waiting,
        Feed(),
        lambda: Counted(settings.kafka, (settings.topics.decisions, settings.topics.dlq)),
        decode,
        stream_name="bench",
        decisions_topic=settings.topics.decisions,
    )
    listener.start()
    assert listener.wait_until_reading(30)
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    sys.stdin.readline()
    time.sleep(1.0)
    began, cpu, before = time.monotonic(), time.process_time(), (read[0], decoded[0])
    time.sleep(seconds - 1.0)
    took, used = time.monotonic() - began, time.process_time() - cpu
    rates = {"read_per_s": (read[0] - before[0]) / took, "decoded_per_s": (decoded[0] - before[1]) / took}
    found = {name: round(rate, 1) for name, rate in rates.items()} | {"cpu_percent": round(100 * used / took, 2)}
    sys.stdout.write(json.dumps(found) + "\n")
    listener.close()


class Publisher:
    """Commits decisions as a scorer does, as many at a time as come in ``COMMIT_SECONDS``."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.decisions
        codec = BatchCodec(schema=decisions_schema(payments))
        row = pa.RecordBatch.from_pylist([DECISION | {"card_id": "card-000000"}], schema=codec.arrow_schema)
        (self._value,) = codec.encode(row, SCHEMA_ID)
        self._producer = build_producer(settings.kafka, transactional_id="decide-bench")
        self._producer.init_transactions(30)

    def publish(self, rate: int, seconds: float) -> None:
        """Send at a rate for a while."""
        began, sent = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            if due := int(now * rate) - sent:
                self._producer.begin_transaction()
                for number in range(sent, sent + due):
                    self._producer.produce(self._topic, self._value, f"card-{number % CARDS}".encode())
                self._producer.commit_transaction(30)
                sent += due
            time.sleep(max(0.0, COMMIT_SECONDS - (time.monotonic() - began - now)))


def measure_latencies(given: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield percentiles of the time to an answer at each rate."""
    with running_stack() as stack:
        settings = settings_for(load_settings({"WEIR_HOME": str(stack.home)}), "decide", partitions=4)
        create_deployment(settings)
        for rate in given.rates:
            yield measure_latency(settings, rate, given)


def measure_latency(settings: Settings, rate: int, given: argparse.Namespace) -> dict[str, object]:
    """Return percentiles of the time to an answer, from when a request was due."""
    home = Path(settings.home) / f"at-{rate}"
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    services = Services(settings.model_copy(update={"home": home}), home / "logs", child=Program)
    try:
        for stage in ("run",) if given.one else ("process", "score"):
            services.start(stage)
        api = services.start("serve", "--port", "0", ready="serving http")
        address = log_of(api).partition("serving http://")[2].split()[0]
        flags = ["--kind", "decide", "--address", address, "--cards", str(CARDS), "--rate", str(rate)]
        client = [sys.executable, "-m", "tests.bench.load_client", *flags, "--seconds"]
        subprocess.run([*client, "3"], check=True, capture_output=True)  # what is compiled or cached at first use
        done = subprocess.run([*client, str(given.seconds)], check=True, capture_output=True, text=True)
    finally:
        services.stop()
    found = json.loads(done.stdout.splitlines()[-1])
    latency = found["latency_ms"]
    shares = {f"p{share}_ms": round(percentile(latency, share), 1) for share in (50, 90, 99)}
    rest = {name: found[name] for name in ("failed", "first_failure", "unanswered", "lag_ms_p99")}
    return {"rate": rate, "one_process": given.one, "requests": len(latency)} | shares | rest


if __name__ == "__main__":
    main()
