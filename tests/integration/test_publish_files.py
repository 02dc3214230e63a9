"""``weir publish`` of users' files against a real broker: a mapping with labels, a stop half way, a misspelt topic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.conftest import environment_of
from tests.house.source import ROOT
from tests.integration.rides import DECLARATION, SCHEMA, build_rides
from tests.integration.test_generate import decode, read_topic
from tests.payments import DAY_MS
from tests.unit.infra.user_files import layouts
from tests.unit.infra.user_files.files import payments, write_csv
from tests.unit.infra.user_files.test_mapping import SHOWN, expect_cents
from weir.cli import main
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas, subject
from weir.schemas.project import find_stream

pytestmark = pytest.mark.server
STARTED_SECONDS_MAX = 60.0


@pytest.fixture
def settings(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment_of(deployment).items():
        monkeypatch.setenv(name, value)
    return deployment


def test_a_mapped_file_arrives_with_exact_amounts_and_its_labels_after_their_delay(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = layouts.paysim(3_000)
    path = layouts.write(tmp_path / "paysim.csv", rows)
    (tmp_path / "map.toml").write_text(SHOWN["paysim"])
    assert main(["publish", str(path), "--map", str(tmp_path / "map.toml"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["published"], summary["labels"], summary["failed"]) == (3_000, 3_000, 0)

    topics = settings.topics
    sent = decode(settings, "transactions", topics.transactions, read_topic(settings, topics.transactions)).batch
    amounts = {row["transaction_id"]: row["amount_minor"] for row in sent.to_pylist()}
    assert amounts == {f"paysim-{number}": expect_cents(row["amount"]) for number, row in enumerate(rows, 2)}
    messages = read_topic(settings, topics.labels)
    labels = decode(settings, "labels", topics.labels, messages).batch.to_pylist()
    assert [message.key() for message in messages] == [label["card_id"].encode() for label in labels]
    assert {label["label_time_ms"] - label["event_time_ms"] for label in labels} == {7 * DAY_MS}
    frauds = {label["transaction_id"] for label in labels if label["is_fraud"]}
    assert frauds == {f"paysim-{number}" for number, row in enumerate(rows, 2) if row["isFraud"]}


def test_a_misspelt_topic_is_refused_before_anything_is_registered_or_sent(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = f"{settings.topics.transactions}s"
    path = write_csv(tmp_path / "a.csv", payments(3))
    began = time.monotonic()
    assert main(["publish", str(path), "--topic", topic]) == 2
    assert time.monotonic() - began < 15
    written = capsys.readouterr().err
    assert f"expected topic {topic}, found none" in written
    assert "nothing was registered or sent" in written
    registry = Registry(settings.registry)
    try:
        assert registry.version_texts(f"{topic}-value") == []
    finally:
        registry.close()


def test_a_file_of_a_users_stream_arrives_in_its_topic_by_its_own_schema(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"rides-{uuid4().hex[:6]}"
    (tmp_path / "streams").mkdir()
    (tmp_path / "weir.toml").write_text('name = "town"\n')
    (tmp_path / "streams" / "rides.py").write_text(DECLARATION.replace("NAME", name))
    (tmp_path / "streams" / "rides.avsc").write_text(SCHEMA)
    monkeypatch.chdir(tmp_path)
    own = settings.of_stream(find_stream(tmp_path))
    ensure_topics(own, (own.stream,))
    rides = build_rides(7, 400, 1_750_000_000_000)
    assert main(["publish", str(write_csv(tmp_path / "rides.csv", rides)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["published"] == 400

    messages = read_topic(own, own.topics.transactions)
    registry = Registry(own.registry)
    try:
        codec, of_topic = BatchCodec(schema=event_schemas(own.stream)[-1]), subject(own.topics.transactions)
        decoded = codec.decode([each.value() for each in messages], lambda id_: registry.writer_schema(id_, of_topic))
    finally:
        registry.close()
    assert {row["ride_id"]: row for row in decoded.batch.to_pylist()} == {row["ride_id"]: row for row in rides}
    assert {each.key() for each in messages} == {row["rider_id"].encode() for row in rides}


def _count(consumer: Consumer, settings: Settings) -> int:
    topic = settings.topics.transactions
    parts = [TopicPartition(topic, number) for number in range(settings.topics.partitions)]
    return sum(consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts)


def test_a_run_that_sigterm_ends_prints_how_much_of_it_is_in_the_log(settings: Settings, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", payments(300_000))
    command = [sys.executable, "-m", "weir", "publish", str(path), "--json"]
    consumer = build_consumer(settings.kafka, group="watch")
    child = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment_of(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + STARTED_SECONDS_MAX
        while not _count(consumer, settings):
            assert child.poll() is None
            assert time.monotonic() < deadline
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
        in_log = _count(consumer, settings)
    finally:
        child.kill()
        child.wait()
        consumer.close()
    summary = json.loads(out)
    assert child.returncode == 128 + signal.SIGTERM, err
    assert b"stopped by signal 15; what follows line" in err
    assert 0 < summary["published"] == summary["good"] == in_log < 300_000
