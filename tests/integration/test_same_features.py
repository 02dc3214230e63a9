"""One log, two paths: what the stream published equals what training computes from it, bit for bit."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from infra.settings import Settings
from schemas.features import FEATURE_NAMES
from streaming.core.backfill import backfill
from tests.integration.outputs import Outputs, decode
from tests.integration.payments import Publisher, build_label, publish_labels
from tests.integration.services import Services
from tests.integration.streams import SPAN_MS, await_applied, build_stream, publish
from tests.integration.test_exactly_once import deploy

pytestmark = pytest.mark.server

RECORDS = 300
LABELS = 60
DAY_MS = 86_400_000


def run_stream(settings: Settings, log_dir: Path, *, then_records_max: int) -> None:
    """Publish labels and two halves of a stream; a processor of another batch size takes over after the first."""
    services, publisher = Services(settings, log_dir), Publisher(settings)
    try:
        first = services.start("process")
        ends = publish_labels(settings, [_label(number) for number in range(LABELS)])
        await_applied(settings, {f"l{partition:02d}": end for partition, end in ends.items()}, services.await_true)
        with closing(Outputs(settings)) as outputs:
            publish(publisher, build_stream(seed=21, count=RECORDS))
            outputs.await_settled(RECORDS, services.await_true)
            services.end(first)
            publish(publisher, build_stream(seed=22, count=RECORDS, first=RECORDS))
            processor = settings.processor.model_copy(update={"batch_records_max": then_records_max})
            services.change(settings.model_copy(update={"processor": processor}))
            services.start("process")
            outputs.await_settled(2 * RECORDS, services.await_true)
    finally:
        services.stop()


def _label(number: int) -> dict[str, object]:
    """Return a label that was known before the stream began, on a transaction old enough for the hold."""
    began_ms = int(time.time() * 1_000) - SPAN_MS
    return build_label(
        f"old-{number}",
        card_id=f"card-{number % 40}",
        merchant_id=f"merchant-{number % 50}",
        device_id=f"device-{number % 30}",
        event_time_ms=began_ms - 4 * DAY_MS - number * DAY_MS // 8,
        label_time_ms=began_ms - DAY_MS,
        is_fraud=number % 3 == 0,
    )


def published(settings: Settings) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Return each feature row's vector by source coordinate; missing is NaN."""
    with closing(Outputs(settings)) as outputs:
        return {(r["source_partition"], r["source_offset"]): _vector(r) for r in outputs.rows()}


def _vector(row: dict[str, float | None]) -> NDArray[np.float32]:
    return np.array([np.nan if row[name] is None else row[name] for name in FEATURE_NAMES], dtype=np.float32)


def trained(settings: Settings) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Read the log back and take it through the training path."""
    with closing(Outputs(settings)) as outputs:
        messages = outputs.await_inputs(2 * RECORDS)
        bad = {(x.source.partition, x.source.offset) for x in outputs.letters() if x.source and x.stage == "decode"}
        labels = decode(settings, "labels", settings.topics.labels, outputs.labels())
    good = [m for m in messages if (m.partition(), m.offset()) not in bad]
    batch = decode(settings, "transactions", settings.topics.transactions, good)
    batch = batch.append_column("append_time_ms", pa.array([m.timestamp()[1] for m in good], pa.int64()))
    partitions = settings.topics.partitions
    found: dict[tuple[int, int], NDArray[np.float32]] = {}
    at = 0
    for piece, step in backfill([batch], pa.Table.from_batches([labels]), partitions=partitions):
        for row in range(piece.num_rows):
            if step.verdicts[row] == 0:
                found[good[at + row].partition(), good[at + row].offset()] = step.features[row]
        at += piece.num_rows
    return found


def assert_same_bits(settings: Settings, names: list[str]) -> None:
    stream, training = published(settings), trained(settings)
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


def test_on_one_partition_every_feature_is_the_training_paths_across_a_restart_and_other_batches(
    stack: Settings, tmp_path: Path
) -> None:
    settings = deploy(stack, "same-one", partitions=1, batch_records_max=7)
    run_stream(settings, tmp_path / "logs", then_records_max=1_000)
    assert_same_bits(settings, list(FEATURE_NAMES))


def test_on_two_partitions_every_card_feature_is_the_training_paths_across_a_restart_and_other_batches(
    stack: Settings, tmp_path: Path
) -> None:
    settings = deploy(stack, "same-two", partitions=2, batch_records_max=7)
    run_stream(settings, tmp_path / "logs", then_records_max=1_000)
    assert_same_bits(settings, [name for name in FEATURE_NAMES if name.startswith(("card_", "transaction_"))])
