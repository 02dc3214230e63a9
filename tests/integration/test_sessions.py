"""Clicks become steps of visits by a Faust agent, and features by our kernel: fresh, and once each whatever dies."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from tests import binaries
from tests.conftest import settings_for
from tests.house.source import ROOT
from tests.integration.outputs import Follower
from tests.integration.running import running
from weir.cli import main
from weir.generators.encoding import Encoder
from weir.generators.population import build_population
from weir.generators.visits.live import Visits
from weir.generators.visits.steps import compute_clicks
from weir.infra.kafka.clients import build_producer, header_text
from weir.infra.kafka.topics import ensure_topics
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas, features_schema, subject
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.sessions import sessions
from weir.streaming.cli import run_processor
from weir.streaming.dlq.letter import REASON
from weir.streaming.sessions.cli import build_command, build_contract
from weir.streaming.sessions.visit import Names, advance

PYTHON = ROOT / "build" / "peers" / "bin" / "python"
LATE_BROKERS = "tests.integration.late_brokers"
FRESH_MS = 2_000
STRETCHES = 5
"""Other work on the machine only adds to an age, so one stretch of ten seconds that is fresh shows what ours takes."""
Row = dict[str, Any]


def test_without_faust_the_command_names_what_brings_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessionise", "--python", str(tmp_path / "python")]) == 2
    assert "`make peers` makes it" in capsys.readouterr().err
    made = subprocess.run(["make", "--dry-run", "peers"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not made or "requirements/peers.lock" in made or "Nothing to be done" in made
    assert "faust-streaming==" in (ROOT / "requirements" / "peers.lock").read_text()


@pytest.fixture
def streams(stack: Settings) -> tuple[Settings, Stream, Stream]:
    """Streams of clicks and of visits under names of their own, with topics and subjects."""
    unique = uuid4().hex[:6]
    source, target = (dataclasses.replace(each, name=f"{each.name}-{unique}") for each in (clicks, sessions))
    settings = settings_for(stack, "visits", partitions=2)
    ensure_topics(settings, (source, target))
    with closing(Registry(settings.registry)) as registry:
        register_contracts(registry, settings.topics, (source, target))
    return settings, source, target


@contextmanager
def agent(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.server
@pytest.mark.verify
@pytest.mark.timeout(900)
def test_features_of_visits_are_fresh_and_once_each_though_the_agent_is_killed(
    streams: tuple[Settings, Stream, Stream],
) -> None:
    if not PYTHON.is_file():
        binaries.leave_out(f"expected Python with Faust at {PYTHON}, found none; `make peers` makes it")
    settings, source, target = streams
    feed, own = Feed(settings, source), settings.of_stream(target)
    command = build_command(settings, python=PYTHON, group=f"agent-{uuid4().hex[:6]}", source=source, target=target)
    with (
        closing(Follower(own, own.topics.transactions)) as steps,
        closing(Follower(own, own.topics.features)) as rows,
        closing(Follower(own, own.topics.dlq)) as letters,
        running(run_processor, own, instance=0) as failed,
    ):
        with agent(command):
            feed.send(seconds=2)
            _await(lambda: bool(failed) or len(rows.poll()) >= feed.count)
            slow: list[Any] = []
            while (ages := _send_and_measure(feed, own, rows, failed))[1] > FRESH_MS:
                slow.append(ages)
                assert len(slow) < STRETCHES, slow
            feed.send(seconds=3)  # it is killed with clicks that it has not answered
        with agent([command[0], "-m", LATE_BROKERS, *command[3:]]):
            feed.send(seconds=2, rate=250)
            try:
                _await(lambda: bool(failed) or len(rows.poll()) >= feed.count)
            finally:
                steps.poll_to_end()
                letters.poll_to_end()
                _tell(feed, steps, rows, letters)
        assert not failed
    found = _decode(own, event_schemas(target)[-1], own.topics.transactions, steps)
    by_id = {row["click_id"]: row for row in found}
    assert all(by_id[row["click_id"]] == row for row in found), "a click that came again gave another row"
    assert by_id == feed.expect()
    assert len(rows.messages) == feed.count == len(by_id)
    reason = settings.processor.dlq_header_prefix + REASON
    assert {header_text(each, reason) for each in letters.messages} <= {"duplicate"}
    assert len(letters.messages) == len(found) - feed.count


class Feed:
    """Clicks of simulated visits, sent when they happen."""

    def __init__(self, settings: Settings, stream: Stream) -> None:
        self._topic = settings.of_stream(stream).topics.transactions
        self._producer = build_producer(settings.kafka, linger_ms=2)
        with closing(Registry(settings.registry)) as registry:
            self._encoder = Encoder(event_schemas(stream), [registry.latest_id(subject(self._topic))])
        self._population = build_population(7, 400)
        self._visits = Visits(self._population, int(time.time() * 1_000))
        self._sent: list[Row] = []

    @property
    def count(self) -> int:
        return len(self._sent)

    @property
    def ids(self) -> list[str]:
        return [row["click_id"] for row in self._sent]

    def send(self, *, seconds: int, rate: int = 50) -> None:
        """Send so many clicks a second, each at its own moment."""
        times_ms = int(time.time() * 1_000) + np.arange(0, seconds * 1_000, 1_000 // rate)
        batch = compute_clicks(self._visits.fill(times_ms), self._population)
        for row, value in zip(batch.to_pylist(), self._encoder.encode(batch), strict=True):
            while (left := row["event_time_ms"] / 1_000 - time.time()) > 0:
                self._producer.poll(left)
            self._producer.produce(self._topic, value, row["customer_id"].encode())
            self._sent.append(row)
        assert self._producer.flush(30) == 0

    def expect(self) -> dict[str, Row]:
        """Return each click's row by the pure step, in the order in which the customer's clicks were sent."""
        visits: dict[str, Any] = {}
        names, rows = Names(**build_contract()["names"]), {}
        for click in self._sent:
            key = click["customer_id"]
            visits[key], rows[click["click_id"]] = advance(visits.get(key), click, names)
        return rows


def _decode(settings: Settings, schema: str, topic: str, follower: Follower) -> list[Row]:
    with closing(Registry(settings.registry)) as registry:
        codec = BatchCodec(schema=schema)
        values = [message.value() for message in follower.messages]
        decoded = codec.decode(values, lambda schema_id: registry.writer_schema(schema_id, subject(topic)))
    assert decoded.errors == []
    found: list[Row] = decoded.batch.to_pylist()
    return found


def _ages_ms(settings: Settings, rows: Follower, ids: list[str]) -> list[int]:
    """Return how old each of some clicks was when its features were committed to the log."""
    found = _decode(settings, features_schema(settings.stream), settings.topics.features, rows)
    wanted = set(ids)
    return [
        message.timestamp()[1] - row["event_time_ms"]
        for row, message in zip(found, rows.messages, strict=True)
        if row["click_id"] in wanted
    ]


def _send_and_measure(feed: Feed, settings: Settings, rows: Follower, failed: list[Any]) -> Any:
    """Send for ten seconds; return how old these clicks became in ms: median, 95th percentile, largest."""
    before = feed.count
    feed.send(seconds=10)
    _await(lambda: bool(failed) or len(rows.poll()) >= feed.count)
    return np.percentile(_ages_ms(settings, rows, feed.ids[before:]), [50, 95, 100])


def _tell(feed: Feed, *followers: Follower) -> None:
    """Print how far each topic is, which is seen when the test fails: the agent may have stopped, or left some out."""
    steps, rows, letters = (len(follower.messages) for follower in followers)
    print(f"{feed.count} clicks sent; {steps} steps, {rows} feature rows, {letters} dead letters")  # noqa: T201


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300  # the first run compiles the kernel for the stream's shape
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
