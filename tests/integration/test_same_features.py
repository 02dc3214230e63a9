"""One log, three paths: what the stream published equals what training and the archive compute from it, bit for bit."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from confluent_kafka import TopicPartition
from numpy.typing import NDArray

from tests.integration.oracle import Event
from tests.integration.outputs import Outputs, decode
from tests.integration.payments import Publisher, build_label, publish_labels
from tests.integration.services import Services
from tests.integration.streams import SPAN_MS, await_applied, build_stream, publish
from tests.integration.test_exactly_once import deploy
from tests.payments import FEATURE_NAMES
from weir.archive.features.backfill import backfill_archive
from weir.archive.features.history import Snapshot
from weir.archive.features.source import LOG, open_archive
from weir.archive.place import Place
from weir.archive.run import Task, run_archiver
from weir.infra.kafka.clients import build_admin
from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import Settings
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.core.backfill import backfill
from weir.streaming.kernels import shipped_kernel

pytestmark = pytest.mark.server

RECORDS = 300
LABELS = 60
DAY_MS = 86_400_000
BEGAN_MS = int(time.time() * 1_000) - SPAN_MS
"""About when the stream's first payment was; read once, since a correction names its transaction's time again."""


def run_stream(settings: Settings, log_dir: Path, *, then_records_max: int) -> None:
    """Publish labels, half of a stream, labels that correct those, and the other half.

    A processor of another batch size takes over after the first half. The second begins with a payment that is as new
    as the corrections, so by the stream's clock they are known from there on.
    """
    services, publisher = Services(settings, log_dir), Publisher(settings)
    try:
        first = services.start("process")
        _await_labels(settings, [_label(number) for number in range(LABELS)], services)
        with closing(Outputs(settings)) as outputs:
            half = _with_refunds(build_stream(seed=21, count=RECORDS))
            publish(publisher, half)
            outputs.await_settled(RECORDS, services.await_true)
            known_ms = 1 + max(event["event_time_ms"] for _, event in half if event is not None)
            _await_labels(settings, [_correction(number, known_ms) for number in range(LABELS)], services)
            services.end(first)
            publish(
                publisher, _beginning_at(known_ms, _with_refunds(build_stream(seed=22, count=RECORDS, first=RECORDS)))
            )
            processor = settings.processor.model_copy(update={"batch_records_max": then_records_max})
            services.change(settings.model_copy(update={"processor": processor}))
            services.start("process")
            outputs.await_settled(2 * RECORDS, services.await_true)
    finally:
        services.stop()


def _await_labels(settings: Settings, labels: list[dict[str, object]], services: Services) -> None:
    ends = publish_labels(settings, labels)
    await_applied(settings, {f"l{partition:02d}": end for partition, end in ends.items()}, services.await_true)


def _with_refunds(stream: list[tuple[str, Event | None]]) -> list[tuple[str, Event | None]]:
    """Turn one payment in seven around, wherever it is repeated too."""
    turned = {f"t{number}" for number in range(0, 2 * RECORDS, 7)}
    return [
        (
            key,
            event | {"amount_minor": -event["amount_minor"]} if event and event["transaction_id"] in turned else event,
        )
        for key, event in stream
    ]


def _beginning_at(time_ms: int, stream: list[tuple[str, Event | None]]) -> list[tuple[str, Event | None]]:
    """Give the first payment of the stream this time and put it first."""
    at = next(at for at, (_, event) in enumerate(stream) if event is not None)
    key, first = stream.pop(at)
    assert first is not None
    return [(key, first | {"event_time_ms": time_ms}), *stream]


def _correction(number: int, known_ms: int) -> dict[str, object]:
    """Return a label of the same transaction that was known later and says the contrary."""
    before = _label(number)
    return before | {"label_time_ms": known_ms, "is_fraud": not before["is_fraud"]}


def _label(number: int) -> dict[str, object]:
    """Return a label that was known before the stream began, on a transaction old enough for the hold."""
    return build_label(
        f"old-{number}",
        card_id=f"card-{number % 40}",
        merchant_id=f"merchant-{number % 50}",
        device_id=f"device-{number % 30}",
        event_time_ms=BEGAN_MS - 4 * DAY_MS - number * DAY_MS // 8,
        label_time_ms=BEGAN_MS - DAY_MS,
        is_fraud=number % 3 == 0,
    )


def published(settings: Settings) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Return each feature row's vector by source coordinate; missing is NaN."""
    with closing(Outputs(settings)) as outputs:
        return {(r["source_partition"], r["source_offset"]): _vector(r) for r in outputs.rows()}


def _vector(row: dict[str, float | None]) -> NDArray[np.float32]:
    return np.array([np.nan if row[name] is None else row[name] for name in FEATURE_NAMES], dtype=np.float32)


def trained(settings: Settings, *, known_until_ms: int = 1 << 62) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Read the log back and take it through the training path, without the labels known after a time."""
    with closing(Outputs(settings)) as outputs:
        messages = outputs.await_inputs(2 * RECORDS)
        bad = {(x.source.partition, x.source.offset) for x in outputs.letters() if x.source and x.stage == "decode"}
        labels = decode(settings, "labels", settings.topics.labels, outputs.labels())
    good = [m for m in messages if (m.partition(), m.offset()) not in bad]
    batch = decode(settings, "transactions", settings.topics.transactions, good)
    batch = batch.append_column("append_time_ms", pa.array([m.timestamp()[1] for m in good], pa.int64()))
    partitions = settings.topics.partitions
    labels = labels.filter(pc.less_equal(labels["label_time_ms"], known_until_ms))
    found: dict[tuple[int, int], NDArray[np.float32]] = {}
    at = 0
    for piece, step in backfill(
        shipped_kernel(), [batch], pa.Table.from_batches([labels]), partitions=partitions, placeholders=BUILT_IN
    ):
        for row in range(piece.num_rows):
            if step.verdicts[row] == 0:
                found[good[at + row].partition(), good[at + row].offset()] = step.features[row]
        at += piece.num_rows
    return found


def archived(settings: Settings, home: Path) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Archive the log, let Kafka forget all of it, and backfill the features from the archive."""
    root = Place(str(home / "archive"))
    run_archiver(settings, Task([payments], root, until_caught_up=True), should_stop=lambda: False)
    forget(settings)
    return backfilled(settings, root, home / "features.parquet")


def logged(settings: Settings, home: Path) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Backfill the features from what Kafka has."""
    with open_archive(LOG, settings.of_stream(payments)) as root:
        return backfilled(settings, root, home / "features.parquet")


def backfilled(settings: Settings, root: Place, out: Path) -> dict[tuple[int, int], NDArray[np.float32]]:
    counts = backfill_archive(settings.of_stream(payments), Snapshot(root), out)
    assert (counts["erased"], counts["duplicates"], counts["bad"]) == (0, 0, 0)
    assert counts["dead"] > 0
    rows = pq.read_table(out).to_pylist()
    return {(row["source_partition"], row["source_offset"]): _vector(row) for row in rows}


def forget(settings: Settings) -> None:
    """Delete what the topics of events and labels hold, as retention would."""
    admin, topics = build_admin(settings.kafka), (settings.topics.transactions, settings.topics.labels)
    ends = [(topic, *end) for topic in topics for end in end_offsets(settings.kafka, topic).items()]
    for future in admin.delete_records([TopicPartition(*end) for end in ends]).values():
        future.result(30)


def assert_same_bits(
    stream: dict[tuple[int, int], NDArray[np.float32]],
    training: dict[tuple[int, int], NDArray[np.float32]],
    names: list[str],
) -> None:
    assert stream.keys() == training.keys()
    assert len(stream) > RECORDS
    columns = [FEATURE_NAMES.index(name) for name in names]
    keys = sorted(stream)
    left = np.stack([stream[key] for key in keys])[:, columns]
    right = np.stack([training[key] for key in keys])[:, columns]
    assert np.array_equal(np.isnan(left), np.isnan(right))
    same = (left.view(np.uint32) == right.view(np.uint32)) | np.isnan(left)
    assert [names[column] for column in np.flatnonzero(~same.all(axis=0))] == []
    silent = [name for name, column in zip(names, np.nan_to_num(left).T, strict=True) if not column.any()]
    assert silent == [], "features that say nothing here are not compared"


def assert_corrections_are_seen(settings: Settings) -> None:
    """Without the labels that came in the middle, every risk after them would be another, and none before them."""
    stream, without = published(settings), trained(settings, known_until_ms=BEGAN_MS)
    column = FEATURE_NAMES.index("merchant_label_risk_30d")
    both = [(float(stream[key][column]), float(without[key][column])) for key in sorted(stream)]
    differs = [one != other and not np.isnan([one, other]).all() for one, other in both]
    first = differs.index(True)
    assert first > RECORDS // 2
    assert len(differs) - first > RECORDS // 2
    assert sum(differs[first:]) > RECORDS // 4


def test_on_one_partition_every_feature_is_the_training_paths_across_a_restart_and_other_batches(
    stack: Settings, tmp_path: Path
) -> None:
    settings = deploy(stack, "same-one", partitions=1, batch_records_max=7)
    run_stream(settings, tmp_path / "logs", then_records_max=1_000)
    assert_corrections_are_seen(settings)
    assert_same_bits(published(settings), trained(settings), list(FEATURE_NAMES))
    assert_same_bits(published(settings), archived(settings, tmp_path), list(FEATURE_NAMES))


def test_on_two_partitions_every_card_feature_is_the_training_paths_across_a_restart_and_other_batches(
    stack: Settings, tmp_path: Path
) -> None:
    settings = deploy(stack, "same-two", partitions=2, batch_records_max=7)
    run_stream(settings, tmp_path / "logs", then_records_max=1_000)
    own = [name for name in FEATURE_NAMES if name.startswith(("card_", "transaction_"))]
    assert_same_bits(published(settings), trained(settings), own)
    assert_same_bits(published(settings), logged(settings, tmp_path), own)
