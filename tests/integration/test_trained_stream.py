"""A user's stream with labels: trained by its name, decided by its model, and equal to the model's own arithmetic."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import fastavro
import numpy as np
import pytest

from tests.conftest import settings_for
from tests.integration.outputs import Follower
from tests.integration.payments import frame
from tests.integration.running import running
from tests.unit.inference.occlusion import Oracle, Row
from tests.unit.infra.user_files.files import write_json
from tests.unit.training.transfers import DAY_MS, build_history, write_project
from weir import train
from weir.inference.api.lookup import look_up
from weir.inference.api.reader import build_feature_reader
from weir.inference.cli import run_scorer
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.redis.client import connect
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, event_schemas, features_schema, label_schemas, subject
from weir.schemas.project import find_stream
from weir.streaming.cli import run_processor
from weir.streaming.kernels import kernel_of
from weir.training.topics import load_topics

pytestmark = [pytest.mark.server, pytest.mark.verify, pytest.mark.timeout(900)]
TRANSFERS = 6_000
WEEK_MS = 7 * DAY_MS


@pytest.fixture
def settings(stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment of a stream under a name that no other test has, whose champion `weir train` made."""
    name = f"transfers-{uuid4().hex[:6]}"
    write_project(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    settings = settings_for(stack, "trained", partitions=1).model_copy(update={"home": tmp_path})
    settings = settings.of_stream(find_stream(Path.cwd(), name))
    events, labels = build_history(11, TRANSFERS, _weeks_ago(20))
    settings.history_dir.mkdir(parents=True)
    write_json(settings.history_dir / f"{name}.jsonl", events)
    write_json(settings.history_dir / "labels.jsonl", labels)
    assert train.main(["train", "--stream", name, "--maturity-days", "3", "--trees", "40", "--no-track"]) == 0
    return settings


def test_a_users_stream_is_trained_scored_and_decided_as_its_model_says(settings: Settings) -> None:
    stream, topics = settings.stream, settings.topics
    events, labels = build_history(12, TRANSFERS, _weeks_ago(7))
    ensure_topics(settings, (stream,))
    with closing(Registry(settings.registry)) as registry:
        register_contracts(registry, topics, (stream,))
        with (
            running(run_processor, settings, instance=0) as failed,
            running(run_scorer, settings, instance=0) as undecided,
            closing(Follower(settings, topics.features)) as rows,
            closing(Follower(settings, topics.decisions)) as decisions,
        ):
            kernel = kernel_of(stream)
            reader = build_feature_reader(settings, connect(settings.redis), kernel)
            look = partial(look_up, kernel, reader, "sender", "nobody", now_ms=_now_ms())
            # units of labels begin with a member of their own; what is decided before says that they lacked
            _await(lambda: bool(failed + undecided) or look()["complete"])
            _publish(settings, registry, topics.transactions, event_schemas(stream)[-1], events)
            _publish(settings, registry, topics.labels, label_schemas(stream)[-1], labels)
            _await(lambda: bool(failed + undecided) or len(decisions.poll()) >= len(events))
            assert not failed + undecided
            _await(lambda: len(rows.poll()) >= len(events))
        found = _decode(registry, topics.features, features_schema(stream), rows)
        decided = _decode(registry, topics.decisions, decisions_schema(stream), decisions)
    oracle = Oracle(settings.models_dir / "champion", stream)
    _compare_decisions(oracle, found, decided)
    _compare_figures(oracle, decided, labels)
    examples, known = load_topics(settings)
    logged = np.array([[row[name] for name in stream.feature_names] for row in found], np.float32)
    assert examples.features.tobytes() == logged.tobytes()
    assert sorted(known["transfer_id"].to_pylist()) == sorted(label["transfer_id"] for label in labels)


def _compare_decisions(oracle: Oracle, rows: list[Row], decided: list[Row]) -> None:
    kept = ["transfer_id", "sender_id", "receiver_id", "amount_minor", "currency", "channel", "event_time_ms"]
    kept += ["declarations_hash", "late", "ingest_time_ms", "source_partition", "source_offset"]
    expected = [
        {name: row[name] for name in kept}
        | oracle.decide(row)
        | {"rules_version": "none", "degraded": False, "degraded_by": [], "tags": [], "shadow_rules": []}
        | {"shadow_score": None, "shadow_model_name": None, "shadow_model_version": None, "propensity": None}
        for row in rows
    ]
    times = [row.pop("decision_time_ms") for row in decided]
    assert all(row["ingest_time_ms"] <= at_ms <= _now_ms() for row, at_ms in zip(decided, times, strict=True))
    assert decided == expected


def _compare_figures(oracle: Oracle, decided: list[Row], labels: list[Row]) -> None:
    """The model learnt something that a transfer alone does not say, and finds mules in weeks that it never saw."""
    test = oracle.manifest["metrics"]["test"]
    assert test["lightgbm"]["pr_auc"] > 5 * test["stateless_rule"]["pr_auc"]
    mules = {label["transfer_id"] for label in labels if label["is_mule"]}
    stopped = Counter(row["transfer_id"] in mules for row in decided if row["decision"] != "APPROVE")
    assert stopped[True] / stopped.total() > 5 * len(mules) / len(labels)


def _publish(settings: Settings, registry: Registry, topic: str, schema: str, rows: list[Row]) -> None:
    parsed, schema_id = fastavro.parse_schema(json.loads(schema)), registry.latest_id(subject(topic))
    producer = build_producer(settings.kafka)
    for row in rows:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, row)
        producer.produce(topic, frame(schema_id, body.getvalue()), row["sender_id"].encode())
    assert producer.flush(30) == 0


def _decode(registry: Registry, topic: str, schema: str, log: Follower) -> list[Row]:
    values = [message.value() for message in log.messages]
    decoded = BatchCodec(schema=schema).decode(values, lambda i: registry.writer_schema(i, subject(topic)))
    assert not decoded.errors
    return decoded.batch.to_pylist()


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300  # the first run compiles the kernel for the stream's shape
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _now_ms() -> int:
    return int(time.time() * 1_000)


def _weeks_ago(count: int) -> int:
    """Return the start of a week of the epoch: weekends fall on the same transfers in every run."""
    return (_now_ms() // WEEK_MS - count) * WEEK_MS
