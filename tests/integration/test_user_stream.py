"""A stream that is declared in a folder of a user's own goes through real servers, and equals an independent count."""

from __future__ import annotations

import io
import json
import re
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
from tests.integration.rides import DECLARATION, LISTS, SCHEMA, Row, build_rides, decide, expect, is_same
from tests.integration.rides_api import ask_the_api
from tests.integration.running import running
from weir.inference.cli import run_scorer
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, features_schema, subject
from weir.schemas.project import load_project
from weir.schemas.stream import Stream
from weir.streaming.cli import run_processor

pytestmark = [pytest.mark.server, pytest.mark.verify, pytest.mark.timeout(600)]
RIDES = 600
NEWEST = json.loads(SCHEMA)
VERSIONS = (NEWEST | {"fields": [field for field in NEWEST["fields"] if field["name"] != "voucher"]}, NEWEST)
"""The first version of the user's schema knows no vouchers; producers of both write at one time."""


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """A stream as a user declares it, under a name that no other test has."""
    name = f"rides-{uuid4().hex[:6]}"
    (tmp_path / "streams").mkdir()
    (tmp_path / "weir.toml").write_text(f'name = "{name}"\n')
    (tmp_path / "streams" / "rides.py").write_text(DECLARATION.replace("NAME", name))
    for version, schema in enumerate(VERSIONS, 1):
        (tmp_path / "streams" / f"rides.v{version}.avsc").write_text(json.dumps(schema))
    project = load_project(tmp_path)
    assert project.findings == ()
    return project.streams[name].stream


def test_a_users_stream_is_decided_by_its_rules_and_equals_a_count_by_hand(
    stack: Settings, stream: Stream, tmp_path: Path
) -> None:
    settings = settings_for(stack, "own-stream", partitions=1).model_copy(update={"home": tmp_path}).of_stream(stream)
    settings.lists_path.parent.mkdir()
    settings.lists_path.write_text(json.dumps(LISTS))
    ensure_topics(settings, (stream,))
    with closing(Registry(settings.registry)) as registry:
        register_contracts(registry, settings.topics, (stream,))
        versions = registry.version_texts(subject(settings.topics.transactions))
        schema_ids = [schema_id for _, schema_id, _ in versions]
        rides = build_rides(7, RIDES, int(time.time() * 1_000) - 11 * 86_400_000)
        twice, wrong = rides[5], rides[6] | {"ride_id": "ride-wrong", "city": "Berlin"}
        with (
            running(run_processor, settings, instance=0) as failed,
            running(run_scorer, settings, instance=0, with_index=True) as undecided,
            closing(Follower(settings, settings.topics.features)) as rows,
            closing(Follower(settings, settings.topics.decisions)) as decisions,
            closing(Follower(settings, settings.topics.dlq)) as letters,
        ):
            _publish(settings, schema_ids, [*rides, twice, wrong])
            _await(lambda: bool(failed + undecided) or (len(decisions.poll()) >= RIDES and len(letters.poll()) >= 2))
            assert not failed + undecided
            _await(lambda: len(rows.poll()) >= RIDES)
            indexed = ask_the_api(settings, rides)
        found = _decode(registry, settings.topics.features, features_schema(stream), rows)
        decided = _decode(registry, settings.topics.decisions, decisions_schema(stream), decisions)
    assert (len(found), len(decided), len(letters.messages)) == (RIDES, RIDES, 2)
    _compare(stream, rides, found)
    assert [_without_times(row) for row in decided] == [
        _decision(stream, offset, ride, features)
        for offset, (ride, features) in enumerate(zip(rides, expect(stream, rides), strict=True))
    ]
    assert len({row["decided_by"] for row in decided}) == 6
    assert indexed == decided


def _decode(registry: Registry, topic: str, schema: str, log: Follower) -> list[Row]:
    values = [message.value() for message in log.messages]
    decoded = BatchCodec(schema=schema).decode(values, lambda i: registry.writer_schema(i, subject(topic)))
    assert not decoded.errors
    return decoded.batch.to_pylist()


def _without_times(row: Row) -> Row:
    """Leave out what a clock said, which is in order, and the digest of the rules, which is like one."""
    assert row["ingest_time_ms"] <= row["decision_time_ms"] <= int(time.time() * 1_000)
    assert re.fullmatch(r"[0-9a-f]{8}\+lists-mine", row["rules_version"])
    return {name: row[name] for name in row if name not in {"ingest_time_ms", "decision_time_ms", "rules_version"}}


def _decision(stream: Stream, offset: int, ride: Row, features: Row) -> Row:
    """Return every other field of a ride's decision."""
    return {
        **{name: ride[name] for name in ("ride_id", "rider_id", "vehicle_id", "city", "at_ms")},
        **decide(ride, features),
        "score": None,
        "probability": None,
        "prediction_set": None,
        "tags": [],
        "shadow_rules": [],
        "shadow_score": None,
        "shadow_model_name": None,
        "shadow_model_version": None,
        "propensity": None,
        "model_name": "none",
        "model_version": "none",
        "degraded": True,
        "degraded_by": ["no_model"],
        "late": False,
        "declarations_hash": stream.declarations_hash,
        "source_partition": 0,
        "source_offset": offset,
    }


def _compare(stream: Stream, rides: list[Row], found: list[Row]) -> None:
    wrong = [
        f"{row['ride_id']} {name}: expected {value}, found {row[name]}"
        for row, expected in zip(found, expect(stream, rides), strict=True)
        for name, value in expected.items()
        if not is_same(row[name], value)
    ]
    assert wrong == []
    assert {name for name in found[0] if name in stream.feature_names} == set(stream.feature_names)


def _publish(settings: Settings, schema_ids: list[int], rows: list[Row]) -> None:
    """Publish rides, those without a voucher by the first version of the schema, which has none."""
    parsed = [fastavro.parse_schema(schema) for schema in VERSIONS]
    producer = build_producer(settings.kafka)
    for row in rows:
        body = io.BytesIO()
        version = 0 if row["voucher"] is None else 1
        fastavro.schemaless_writer(body, parsed[version], row)
        value = frame(schema_ids[version], body.getvalue())
        producer.produce(settings.topics.transactions, value, row["rider_id"].encode())
    assert producer.flush(30) == 0


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300  # the first run compiles the kernel for the stream's shape
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
