"""The simulator and the publisher against a real broker and registry; what arrives is read with the project's codec."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from tests.conftest import environment_of
from tests.payments import DAY_MS
from weir.generators import publish
from weir.generators.faults import Faults
from weir.generators.history import build_history, write_history
from weir.generators.live import LivePlan
from weir.generators.population import build_population
from weir.generators.stream import first_due_ms, run_live, run_replay
from weir.infra.kafka.clients import build_consumer
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec, Decoded
from weir.schemas.contracts import subject
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.validation import validate_events, validate_labels
from weir.schemas.streams.payments import payments as the_stream

pytestmark = pytest.mark.server
READ_SECONDS_MAX = 60.0


def read_topic(settings: Settings, topic: str) -> list[Message]:
    """Return every record of a topic, partition by partition in offset order."""
    consumer = build_consumer(settings.kafka, group=f"read-{topic}")
    try:
        return list(_read(consumer, topic, range(settings.topics.partitions)))
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, partitions: range) -> Iterator[Message]:
    for partition in partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, 0)])
        following, deadline = 0, time.monotonic() + READ_SECONDS_MAX
        while following < end:
            assert time.monotonic() < deadline, f"expected {end} records in {topic}[{partition}], read {following}"
            for message in consumer.consume(5_000, timeout=1.0):
                assert message.error() is None
                following = (message.offset() or 0) + 1
                yield message


def decode(settings: Settings, kind: str, topic: str, messages: list[Message]) -> Decoded:
    registry = Registry(settings.registry)
    try:
        return BatchCodec(kind).decode(
            [message.value() for message in messages],
            lambda schema_id: registry.writer_schema(schema_id, subject(topic)),
        )
    finally:
        registry.close()


def test_a_live_stream_arrives_whole_on_schedule_and_readable(deployment: Settings, tmp_path: Path) -> None:
    rate, seconds = 5_000.0, 3.0
    plan = LivePlan(first_due_ms(rate), rate, seconds, v1_share=0.1)
    sent = run_live(deployment, build_population(3, 2_000), plan, tmp_path / "truth.jsonl")

    topic = deployment.topics.transactions
    messages = read_topic(deployment, topic)
    decoded = decode(deployment, "transactions", topic, messages)
    keys = [message.key() for message in messages]
    appended = np.array([message.timestamp()[1] for message in messages])

    assert (sent.records, sent.failed) == (15_000, 0) == (len(messages), len(decoded.errors))
    assert validate_events(the_stream, decoded.batch, keys=keys, append_time_ms=appended, placeholders=BUILT_IN) == []
    # on a busy machine a sender may fall behind; the schedule that event times tell never does
    times = np.sort(decoded.batch["event_time_ms"].to_numpy())
    assert times[-1] - times[0] == pytest.approx(seconds * 1000, abs=2)
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert {row["transaction_id"] for row in truth} == set(decoded.batch["transaction_id"].to_pylist())
    assert 0 < sum(row["is_fraud"] for row in truth) < 150
    assert len(np.unique(decoded.schema_ids)) == 2


def test_a_card_stays_on_one_partition(deployment: Settings) -> None:
    run_live(deployment, build_population(3, 200), LivePlan(first_due_ms(2_000), 2_000, 1.0), None)
    messages = read_topic(deployment, deployment.topics.transactions)
    pairs = {(message.key(), message.partition()) for message in messages}
    assert len(pairs) == len({key for key, _ in pairs})
    assert {partition for _, partition in pairs} == {0, 1}


def test_injected_faults_are_refused_and_the_good_ones_are_not(deployment: Settings) -> None:
    faults = Faults(late=0.01, out_of_order=0.02, duplicates=0.02, malformed=0.05)
    sent = run_live(
        deployment, build_population(3, 2_000), LivePlan(first_due_ms(1_000), 1_000, 2.0, faults=faults), None
    )

    topic = deployment.topics.transactions
    messages = read_topic(deployment, topic)
    decoded = decode(deployment, "transactions", topic, messages)
    keys = [messages[row].key() for row in decoded.rows.tolist()]
    appended = np.array([messages[row].timestamp()[1] for row in decoded.rows.tolist()])
    refused = len(decoded.errors) + len(
        validate_events(the_stream, decoded.batch, keys=keys, append_time_ms=appended, placeholders=BUILT_IN)
    )

    malformed = sum(count for name, count in sent.kinds.items() if name.startswith("malformed."))
    assert len(messages) == sent.records == 2_000 + malformed + sent.kinds["duplicate"]
    # a reused id is sound by itself: only the processor, who knows the first one, refuses it
    assert refused == malformed - sent.kinds["malformed.id_reused"] > 0


def test_a_history_goes_through_the_topics_with_its_own_times_and_its_labels(
    deployment: Settings, tmp_path: Path
) -> None:
    end_ms = 1_785_000_000_000
    history = build_history(build_population(3, 300), end_ms - 30 * DAY_MS, end_ms)
    write_history(history, tmp_path)
    sent = run_replay(deployment, tmp_path, None)

    topics = deployment.topics
    payments = decode(deployment, "transactions", topics.transactions, read_topic(deployment, topics.transactions))
    messages = read_topic(deployment, topics.labels)
    labels = decode(deployment, "labels", topics.labels, messages)
    assert sent.records == payments.batch.num_rows + labels.batch.num_rows
    assert sent.failed == len(payments.errors) == len(labels.errors) == 0
    keys = [message.key() for message in messages]
    appended = np.array([message.timestamp()[1] for message in messages])
    assert validate_labels(the_stream, labels.batch, keys=keys, append_time_ms=appended, placeholders=BUILT_IN) == []
    assert sorted(payments.batch["event_time_ms"].to_pylist()) == history.transactions["event_time_ms"].to_pylist()
    assert sorted(labels.batch["label_time_ms"].to_pylist()) == history.labels["label_time_ms"].to_pylist()


def test_a_users_file_is_published_but_for_its_bad_lines(
    deployment: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {
        "transaction_id": "t1",
        "card_id": "card_1",
        "customer_id": "cust_1",
        "merchant_id": "mer_1",
        "mcc": "5411",
        "channel": "pos",
        "amount_minor": "1200",
        "currency": "EUR",
        "country": "DE",
        "event_time_ms": "2026-01-05T10:00:00Z",
    }
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | {"amount_minor": -(10**12)}) + "\nnonsense\n")
    for name, value in environment_of(deployment).items():
        monkeypatch.setenv(name, value)

    assert publish.main(["publish", str(path)]) == 1

    output = capsys.readouterr()
    assert "mine.jsonl:2: amount_out_of_range" in output.err
    assert "mine.jsonl:3: malformed_line" in output.err
    topic = deployment.topics.transactions
    messages = read_topic(deployment, topic)
    assert [message.key() for message in messages] == [b"card_1"]
    row = decode(deployment, "transactions", topic, messages).batch.to_pylist()[0]
    assert (row["amount_minor"], row["channel"], row["event_time_ms"]) == (1200, "POS", 1_767_607_200_000)
