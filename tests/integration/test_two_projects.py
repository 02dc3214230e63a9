"""Two projects on one broker, one Redis and one registry, with a stream of the same name: each sees its own alone."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import fastavro
import pytest

from tests.conftest import settings_for
from tests.integration.command_line import Weir, run_in_process
from tests.integration.outputs import Follower
from tests.integration.payments import frame
from tests.integration.rides import DECLARATION, SCHEMA, Row, build_rides, expect, is_same
from tests.integration.running import running
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.redis.client import connect
from weir.infra.redis.decision_store import DecisionStore, read_entry
from weir.infra.redis.process_store import ProcessStore
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.rebuild_time import count_records
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import features_schema, subject
from weir.schemas.project import load_project
from weir.schemas.stream import Stream
from weir.streaming.cli import run_processor

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]
RIDES = 200
OTHER = (
    ("        vehicle.event.age", "        rider.event.age('1d'),\n        vehicle.event.age"),
    ('col("city") == "berlin"', 'col("city") == "bonn"'),
    ("bound=86_400", "bound=90_000"),
)
"""What the second project declares in another way; the shape stays, so that the kernel is compiled once."""


@dataclass
class Side:
    """One project: its folder, its stream and the settings of its processes."""

    folder: Path
    stream: Stream
    settings: Settings


def _make(folder: Path, name: str, declaration: str, schema: str) -> Stream:
    (folder / "streams").mkdir(parents=True)
    (folder / "weir.toml").write_text(f'name = "{name}"\n')
    (folder / "streams" / "rides.py").write_text(declaration)
    (folder / "streams" / "rides.avsc").write_text(schema)
    project = load_project(folder)
    assert project.findings == ()
    return project.streams["rides"].stream


@pytest.fixture
def sides(stack: Settings, tmp_path: Path) -> list[Side]:
    """Two projects with a stream ``rides`` each, of another declaration and an incompatible schema."""
    base, unique = settings_for(stack, "projects", partitions=1), uuid4().hex[:6]
    own = DECLARATION.replace("NAME", "rides")
    other, schema = own, SCHEMA.replace('"Ride"', '"Trip"')
    for before, after in OTHER:
        assert before in other
        other = other.replace(before, after)
    found = []
    for name, text, record in ((f"one-{unique}", own, SCHEMA), (f"two-{unique}", other, schema)):
        stream = _make(tmp_path / name, name, text, record)
        found.append(Side(tmp_path / name, stream, base.of_stream(stream)))
    assert found[0].stream.declarations_hash != found[1].stream.declarations_hash
    for side in found:
        ensure_topics(side.settings, (side.stream,))
        with closing(Registry(side.settings.registry)) as registry:
            register_contracts(registry, side.settings.topics, (side.stream,))
    return found


@pytest.mark.verify  # it compiles kernels of its own
def test_each_of_two_projects_computes_its_own_records_alone(sides: list[Side]) -> None:
    begin_ms = int(time.time() * 1_000) - 11 * 86_400_000
    sent = [build_rides(seed, RIDES, begin_ms) for seed in (7, 8)]  # of the same ids
    with ExitStack() as entered:
        failed = [entered.enter_context(running(run_processor, side.settings, instance=0)) for side in sides]
        rows = [entered.enter_context(closing(Follower(s.settings, s.settings.topics.features))) for s in sides]
        letters = [entered.enter_context(closing(Follower(s.settings, s.settings.topics.dlq))) for s in sides]
        for side, rides in zip(sides, sent, strict=True):
            _publish(side, [*rides, rides[5]])
        _await(failed, rows, letters)
    for side, rides, own, dead in zip(sides, sent, rows, letters, strict=True):
        found = _decode(side, own)
        assert len(found) == RIDES
        assert len(dead.messages) == 1
        _compare(side.stream, rides, found)
    groups = [side.settings.processor.group for side in sides]
    keys = [key.decode() for key in connect(sides[0].settings.redis).scan_iter(f"weir:{sides[0].settings.cluster}:*")]
    assert {key.split(":")[2] for key in keys} == set(groups)


def test_what_redis_holds_of_two_projects_has_two_names(sides: list[Side]) -> None:
    one, two = (side.settings for side in sides)
    client = connect(one.redis)
    for settings in (one, two):
        store = DecisionStore(client, space=settings.key_space, topic_id="topic", ttl_seconds=60)
        store.claim(0, 0)
        assert store.write([("ride-1", settings.stream.full_name.encode())], {0: (0, 1)})
        ProcessStore(client, cluster=settings.key_space).write("scorer 0", {"seen_ms": 1, "of": settings.key_space})
    for settings in (one, two):
        assert read_entry(client, settings.key_space, "ride-1") == settings.stream.full_name.encode()
        (report,) = ProcessStore(client, cluster=settings.key_space).read().values()
        assert report["of"] == settings.key_space


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


def test_a_removed_stream_leaves_its_topics_alone_and_says_so(
    sides: list[Side], weir: Weir, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, other = sides
    monkeypatch.chdir(side.folder)
    assert weir(stack, "topics", "check") == (0, "every topic is as it must be\n", "")
    assert weir(stack, "check")[0] == 0
    for path in ("rides.py", "rides.avsc"):
        shutil.copy(side.folder / "streams" / path, side.folder / "streams" / path.replace("rides", "trips"))
    text = (side.folder / "streams" / "trips.py").read_text()
    (side.folder / "streams" / "trips.py").write_text(text.replace("rides", "trips"))
    (side.folder / "streams" / "rides.py").unlink()
    assert weir(stack, "topics", "create")[0] == 0
    code, said, _ = weir(stack, "topics", "check")
    old = side.stream.topics
    assert code == 0
    for topic in (old.events, old.features, old.decisions, old.dlq, old.features_dlq, old.dlq_done):
        assert f"topic {topic} belongs to no stream of this project; it is left alone\n" in said
    assert other.folder.name not in said
    said = weir(stack, "check")[1]
    assert "rides: the stream is not declared any more: its topics and its state stay as they are" in said


def test_the_records_that_a_rebuild_computes_again_are_counted(sides: list[Side]) -> None:
    _publish(sides[0], build_rides(3, 40, int(time.time() * 1_000) - 11 * 86_400_000))
    assert [count_records(side.settings) for side in sides] == [40, 0]


def test_dead_letters_of_a_users_stream_are_shown_replayed_and_decided(
    sides: list[Side], weir: Weir, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`weir dlq`, `offsets` and `inspect` on the stream of the folder, with the servers' settings alone."""
    side, other = sides
    cluster = side.settings.cluster
    base = stack.model_copy(  # as the environment sets it: names of the stream are derived
        update={
            "cluster": cluster,
            "processor": stack.processor.model_copy(update={"group": f"{cluster}.processor"}),
        }
    )
    good, wrong = build_rides(3, 40, int(time.time() * 1_000) - 11 * 86_400_000)[:2]
    with (
        running(run_processor, base.of_stream(side.stream), instance=0) as failed,
        closing(Follower(side.settings, side.settings.topics.features)) as rows,
        closing(Follower(side.settings, side.settings.topics.dlq)) as letters,
    ):
        _publish(side, [good, wrong | {"city": "Berlin"}])
        _await([failed], [rows], [letters], rides=1)
        monkeypatch.chdir(side.folder)
        shown = json.loads(_done(weir, base, "dlq", "show", "--stream", "rides", "--stage", "validate", "--json"))
        assert (shown["reason"], shown["decoded"]["city"]) == ("bad_city", "Berlin")
        repaired = "replay", "--set", "city=berlin", "--set", "rider_id=rider-new", "--apply"
        told, letter = _done(weir, base, "dlq", *repaired).splitlines()
        assert told == "done: 1 replayed"
        assert "rider_id: rider-0 -> rider-new, city: Berlin -> berlin" in letter
        _await([failed], [rows], [letters], rides=2)
        assert rows.messages[1].key() == b"rider-new"
        assert _done(weir, base, "dlq", *repaired).splitlines()[0] == "done: 1 settled"
        weir.assert_refused(
            base, "dlq", "list", "--stage", "nosuch", says=["that a letter of", "(validate)", "'nosuch'"]
        )
        said = _done(weir, base, "inspect", "entity", "rider", "rider-new", "--stream", "rides", "--json")
        assert json.loads(said)["freshness"]["newest_event_ms"] == wrong["at_ms"]
        weir.assert_refused(base, "inspect", "entity", "ridr", "x", says=["found 'ridr'; did you mean rider?"])
        monkeypatch.chdir(other.folder)
        assert "bad_city" not in _done(weir, base, "dlq", "list")
    monkeypatch.chdir(side.folder)
    said = _done(weir, base, "offsets", "show", "--stream", "rides", "--json")
    (row,) = [row for row in json.loads(said) if row["topic"] == side.stream.topics.events]
    assert (row["committed"], row["log_end"]) == (3, 4)  # next to the record that was replayed there is a marker


def _done(weir: Weir, settings: Settings, *arguments: str) -> str:
    """Return what a command wrote; a topic that has no leader yet is waited for, as who typed it would."""
    deadline = time.monotonic() + 60
    while True:
        code, said, told = weir(settings, *arguments)
        if code == 0:
            return said
        assert (code, time.monotonic() < deadline) == (1, True), told


def _publish(side: Side, rows: list[Row]) -> None:
    topic = side.settings.topics.transactions
    with closing(Registry(side.settings.registry)) as registry:
        schema_id = registry.latest_id(subject(topic))
    parsed = fastavro.parse_schema(json.loads(SCHEMA))
    producer = build_producer(side.settings.kafka)
    for row in rows:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, row)
        producer.produce(topic, frame(schema_id, body.getvalue()), row["rider_id"].encode())
    assert producer.flush(30) == 0


def _await(
    failed: list[list[BaseException]], rows: list[Follower], letters: list[Follower], *, rides: int = RIDES
) -> None:
    deadline = time.monotonic() + 300  # the first run compiles the kernel for the streams' shape

    def is_done() -> bool:
        return all(len(own.poll()) >= rides for own in rows) and all(own.poll() for own in letters)

    while not any(failed) and not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _decode(side: Side, rows: Follower) -> list[dict[str, Any]]:
    of = subject(side.settings.topics.features)
    codec = BatchCodec(schema=features_schema(side.stream))
    with closing(Registry(side.settings.registry)) as registry:
        values = [message.value() for message in rows.messages]
        return codec.decode(values, lambda schema_id: registry.writer_schema(schema_id, of)).batch.to_pylist()


def _compare(stream: Stream, rides: list[Row], found: list[Row]) -> None:
    declared = {name for name in found[0] if name in stream.feature_names}
    assert declared == set(stream.feature_names)
    wrong = [
        f"{row['ride_id']} {name}: expected {value}, found {row[name]}"
        for row, expected in zip(found, expect(stream, rides), strict=True)
        for name, value in expected.items()
        if name != "vehicle_capital_ratio_1d" and not is_same(row[name], value)  # the oracle's is of one declaration
    ]
    assert wrong == []
