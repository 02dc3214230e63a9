"""``weir publish FILE``: the user's own payments or labels, checked line by line before anything is sent.

What would become a dead letter is refused here, with its line number and field, by the same rules as the processor's.
Delivery: at least once; publishing a file twice sends its records twice, and the processor refuses the repeats.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaError, Message, Producer

from generators.cli import write_summary
from generators.coercion import Coercer, Value, to_batch
from generators.encoding import Encoder
from generators.stream import build_encoder, now_ms
from generators.user_rows import NumberedRow, read_rows
from infra.arguments import Parser
from infra.kafka import build_producer
from infra.registry import Registry
from infra.settings import Settings, load_settings
from schemas.codec import BatchCodec
from schemas.errors import PoisonRecord, Transient
from schemas.printable import escape
from schemas.validation import validate_labels, validate_transactions

BLOCK_ROWS = 5_000
_FLUSH_SECONDS = 60.0
KINDS = ("transactions", "labels")


@dataclass
class Outcome:
    """What became of a file's rows."""

    good: int = 0
    bad: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Checked:
    """A block of rows that may be sent."""

    batch: pa.RecordBatch
    keys: list[bytes]


@dataclass
class Checker:
    """Turns numbered raw rows into blocks that may be sent, and reports every other row.

    Attributes:
        kind: ``transactions`` or ``labels``.
        report: told line number and error of each bad row, in order within a block.
    """

    kind: str
    report: Callable[[int, PoisonRecord], None]
    outcome: Outcome = field(default_factory=Outcome)

    def check(self, rows: Iterable[NumberedRow]) -> Iterator[Checked]:
        """Yield what is good, in file order."""
        coercer, schema = Coercer(self.kind), BatchCodec(self.kind).arrow_schema
        for block in _blocks(rows):
            bad: list[tuple[int, PoisonRecord]] = []
            good: list[tuple[int, dict[str, Value]]] = []
            for number, row in block:
                try:
                    good.append((number, coercer.coerce(_or_raise(row))))
                except PoisonRecord as error:
                    bad.append((number, error))
            checked = self._validate(good, bad, schema)
            for number, reason in sorted(bad, key=lambda each: each[0]):
                self.report(number, reason)
            self.outcome.bad += len(bad)
            self.outcome.good += checked.batch.num_rows
            if checked.batch.num_rows:
                yield checked

    def _validate(
        self, rows: list[tuple[int, dict[str, Value]]], bad: list[tuple[int, PoisonRecord]], schema: pa.Schema
    ) -> Checked:
        batch = to_batch([row for _, row in rows], schema)
        keys = [str(row["card_id"]).encode() for _, row in rows]
        validate = validate_labels if self.kind == "labels" else validate_transactions
        # the broker will stamp it with about this time
        errors = validate(batch, keys=keys, append_time_ms=np.full(len(rows), now_ms()))
        bad += [(rows[position][0], error) for position, error in errors]
        refused = {position for position, _ in errors}
        kept = [position for position in range(len(rows)) if position not in refused]
        return Checked(batch.take(pa.array(kept, pa.int64())), [keys[position] for position in kept])


def _or_raise(row: dict[str, object] | PoisonRecord) -> dict[str, object]:
    if isinstance(row, PoisonRecord):
        raise row
    return row


def _blocks(rows: Iterable[NumberedRow]) -> Iterator[list[NumberedRow]]:
    block: list[NumberedRow] = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK_ROWS:
            yield block
            block = []
    if block:
        yield block


def main(argv: list[str]) -> int:
    """Run ``weir publish``. Exit codes: 0 all published, 1 some bad, refused or none at all, 2 misused."""
    arguments = build_parser().parse_args(argv[1:])
    checker = Checker(arguments.kind, _reporter(arguments.file))
    blocks = checker.check(read_rows(arguments.file))
    started = time.monotonic()
    if arguments.dry_run:
        for _ in blocks:
            pass
    else:
        checker.outcome.failed = _publish(load_settings(), arguments, blocks)
    outcome = checker.outcome
    summary: dict[str, object] = {
        "file": str(arguments.file),
        "published": 0 if arguments.dry_run else outcome.good - outcome.failed,
        "good": outcome.good,
        "bad": outcome.bad,
        "failed": outcome.failed,
        "seconds": round(time.monotonic() - started, 2),
    }
    write_summary(summary, as_json=arguments.json)
    forgiven = arguments.skip_bad or not outcome.bad
    return 0 if outcome.good and not outcome.failed and forgiven else 1


def build_parser() -> argparse.ArgumentParser:
    """Return the flags of ``weir publish``."""
    parser = Parser(
        prog="weir publish",
        description="Publish a CSV, JSON lines or Parquet file. Columns are the fields of the Avro schema; "
        "those that may be null may be missing, times may be ISO 8601.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--kind", choices=KINDS, default="transactions", help="what the rows are")
    parser.add_argument("--topic", help="where to; by default the topic of that kind")
    parser.add_argument("--dry-run", action="store_true", help="check every line and send nothing")
    parser.add_argument("--skip-bad", action="store_true", help="exit 0 although bad lines were left out")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


def _reporter(path: Path) -> Callable[[int, PoisonRecord], None]:
    def report(number: int, error: PoisonRecord) -> None:
        sys.stderr.write(escape(f"{path.name}:{number}: {error.reason}: {error}") + "\n")

    return report


def _publish(settings: Settings, arguments: argparse.Namespace, blocks: Iterable[Checked]) -> int:
    """Send blocks and return how many records were not acknowledged."""
    topic = arguments.topic or getattr(settings.topics, arguments.kind)
    registry = Registry(settings.registry)
    try:
        encoder = build_encoder(registry, arguments.kind, topic)
    finally:
        registry.close()
    return send(build_producer(settings.kafka, delivery_report_only_error=True), encoder, topic, blocks)


def send(producer: Producer, encoder: Encoder, topic: str, blocks: Iterable[Checked]) -> int:
    """Send blocks and return how many records were not acknowledged.

    Raises:
        Transient: the broker did not take a block in time.
    """
    failures: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    for block in blocks:
        for key, value in zip(block.keys, encoder.encode(block.batch), strict=True):
            producer.produce(topic, value, key, on_delivery=on_delivery)
        # a block at a time: the producer's queue never fills, and a broker that is away is noticed early
        if producer.flush(_FLUSH_SECONDS):
            raise Transient(f"expected the broker to take a block for {topic} within {_FLUSH_SECONDS:.0f} s; try again")
    return len(failures)
