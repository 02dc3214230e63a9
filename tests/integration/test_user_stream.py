"""A stream that is declared in a folder of a user's own goes through real servers, and equals an independent count."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import fastavro
import pytest

from tests.conftest import settings_for
from tests.integration.outputs import Follower
from tests.integration.payments import frame
from tests.integration.rides import DECLARATION, SCHEMA, Row, build_rides, expect, is_same
from tests.integration.running import running
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import features_schema, subject
from weir.schemas.project import load_project
from weir.schemas.stream import Stream
from weir.streaming.cli import run_processor

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]
RIDES = 600


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """A stream as a user declares it, under a name that no other test has."""
    name = f"rides-{uuid4().hex[:6]}"
    (tmp_path / "streams").mkdir()
    (tmp_path / "weir.toml").write_text(f'name = "{name}"\n')
    (tmp_path / "streams" / "rides.py").write_text(DECLARATION.replace("NAME", name))
    (tmp_path / "streams" / "rides.avsc").write_text(SCHEMA)
    project = load_project(tmp_path)
    assert project.findings == ()
    return project.streams[name].stream


def test_a_users_stream_goes_through_and_equals_a_count_by_hand(stack: Settings, stream: Stream) -> None:
    settings = settings_for(stack, "own-stream", partitions=1).of_stream(stream)
    ensure_topics(settings, (stream,))
    with closing(Registry(settings.registry)) as registry:
        register_contracts(registry, settings.topics, (stream,))
        schema_id = registry.latest_id(subject(settings.topics.transactions))
        writer = registry.writer_schema
        rides = build_rides(7, RIDES, int(time.time() * 1_000) - 11 * 86_400_000)
        twice, wrong = rides[5], rides[6] | {"ride_id": "ride-wrong", "city": "Berlin"}
        with (
            running(run_processor, settings, instance=0) as failed,
            closing(Follower(settings, settings.topics.features)) as rows,
            closing(Follower(settings, settings.topics.dlq)) as letters,
        ):
            _publish(settings, schema_id, [*rides, twice, wrong])
            _await(lambda: bool(failed) or (len(rows.poll()) >= RIDES and len(letters.poll()) >= 2))
            assert not failed
        codec = BatchCodec(schema=features_schema(stream))
        decoded = codec.decode(
            [message.value() for message in rows.messages], lambda i: writer(i, subject(settings.topics.features))
        )
    found = decoded.batch.to_pylist()
    assert len(found) == RIDES
    assert len(letters.messages) == 2
    _compare(stream, rides, found)


def _compare(stream: Stream, rides: list[Row], found: list[Row]) -> None:
    wrong = [
        f"{row['ride_id']} {name}: expected {value}, found {row[name]}"
        for row, expected in zip(found, expect(stream, rides), strict=True)
        for name, value in expected.items()
        if not is_same(row[name], value)
    ]
    assert wrong == []
    assert {name for name in found[0] if name in stream.feature_names} == set(stream.feature_names)


def _publish(settings: Settings, schema_id: int, rows: list[Row]) -> None:
    parsed = fastavro.parse_schema(json.loads(SCHEMA))
    producer = build_producer(settings.kafka)
    for row in rows:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, row)
        producer.produce(settings.topics.transactions, frame(schema_id, body.getvalue()), row["rider_id"].encode())
    assert producer.flush(30) == 0


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300  # the first run compiles the kernel for the stream's shape
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
