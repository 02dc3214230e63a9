"""From a click to a score, by the commands of the documents: fresh, once each, and decided by the model it trained."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from tests import binaries
from tests.conftest import running_stack
from tests.house.source import ROOT
from tests.integration.forked import Program
from tests.integration.outputs import Follower
from tests.integration.services import Child, Services, log_of
from weir.inference.api.examples import build_event
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, event_schemas, subject
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.sessions import sessions

pytestmark = [pytest.mark.server, pytest.mark.verify, pytest.mark.timeout(1_200)]
PYTHON = ROOT / "build" / "peers" / "bin" / "python"
PAGE = ROOT / "docs" / "streams.md"
FRESH_MS = 2_000
SAMPLES = 40
SENDERS_MAX = 4
"""One sends for twenty seconds, in which a busy machine answers fewer questions than are wanted."""
WORKED_OFF_SECONDS = 240.0
READY = {"run": '"event": "started"', "index": '"event": "started"', "serve": "serving http", "sessionise": ""}
Row = dict[str, Any]


def read_commands() -> list[str]:
    """Return the commands of the page, in order."""
    block = re.search(r"From a fresh clone.*?```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    return block[1].splitlines()


class World:
    """The servers of a fresh home, and what the commands started on them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.services = Services(settings, settings.home / "logs", child=Program)
        self.children: dict[str, Child] = {}
        self.sent = 0
        self.clicks = Feed(settings.of_stream(clicks), "transactions", event_schemas(clicks)[-1])
        own = settings.of_stream(sessions)
        self.steps = Feed(own, "transactions", event_schemas(sessions)[-1])
        self.decisions = Feed(own, "decisions", decisions_schema(sessions))
        self.feeds = self.clicks, self.steps, self.decisions

    def follow(self, line: str) -> str:
        """Run a command as it is written, or start what runs on; a home of our own stands for the clone's."""
        words = shlex.split(line.replace(".weir", str(self.settings.home)))[1:]
        if words[-1] != "&":
            return self.note_sent(self.services.run(*words, seconds=WORKED_OFF_SECONDS))
        verb, *flags = words[:-1]
        flags += ["--port", "0"] if verb == "serve" else []
        self.children[verb] = self.services.start(verb, *flags, ready=READY[verb])
        return ""

    def send_meanwhile(self, line: str) -> Child:
        """Start a command that sends clicks; ``note_sent`` of its log once it has ended."""
        return self.services.start(*shlex.split(line)[1:], ready="")

    def note_sent(self, said: str) -> str:
        """Count the clicks of which a command says that it has sent them."""
        self.sent += sum(map(int, re.findall(r"^records +(\d+)$", said, re.MULTILINE)))
        return said

    def await_worked_off(self) -> None:
        """Wait until each click that was sent is in the log, and decided."""

        def count() -> tuple[int, int, int]:
            """Return how many there are of clicks, of their steps and of decisions."""
            clicks, *made = ({row["click_id"] for row, _ in each.read()} for each in self.feeds)
            assert all(ids <= clicks or len(clicks) < self.sent for ids in made)
            return len(clicks), len(made[0]), len(made[1])

        assert self.sent
        try:
            self.services.await_true(lambda: set(count()) == {self.sent}, "", WORKED_OFF_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"of {self.sent} clicks there are {count()} with steps and decisions{error}") from None

    def close(self) -> None:
        self.services.stop()
        for each in self.feeds:
            each.close()


class Feed:
    """The records of a topic as they come: rows, each with its append time."""

    def __init__(self, settings: Settings, topic: str, schema: str) -> None:
        self._settings, self._name, self._codec = settings, getattr(settings.topics, topic), BatchCodec(schema=schema)
        self._follower: Follower | None = None
        self.rows: list[tuple[Row, int]] = []

    def read(self) -> list[tuple[Row, int]]:
        """Take what has come; the topic is there by then."""
        self._follower = self._follower or Follower(self._settings, self._name)
        fresh = self._follower.poll()[len(self.rows) :]
        if fresh:
            with closing(Registry(self._settings.registry)) as registry:
                schema_of = lambda schema_id: registry.writer_schema(schema_id, subject(self._name))  # noqa: E731
                decoded = self._codec.decode([each.value() for each in fresh], schema_of)
            assert decoded.errors == []
            times = [each.timestamp()[1] for each in fresh]
            self.rows += zip(decoded.batch.to_pylist(), times, strict=True)
        return self.rows

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()


@contextmanager
def fresh_world() -> Iterator[World]:
    with running_stack() as stack:
        world = World(load_settings({"WEIR_HOME": str(stack.home)}))
        try:
            yield world
        finally:
            world.close()


def test_clicks_are_scored_by_a_trained_model_fresh_and_once_each_though_the_agent_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not PYTHON.is_file():
        binaries.leave_out(f"expected Python with Faust at {PYTHON}, found none; `make peers` makes it")
    monkeypatch.chdir(ROOT)
    commands = read_commands()
    assert commands[:2] == ["make setup peers", "weir up"]  # a test has both
    with fresh_world() as world:
        for line in itertools.takewhile(lambda line: not line.startswith("curl"), commands[2:]):
            world.follow(line)
        world.await_worked_off()
        (send,) = [line for line in commands if "--stream clicks --rate" in line]
        _assert_api_is_fresh(world, send)
        _assert_decided_soon(world)
        _assert_scored_by_the_champion(world)
        _assert_once_each(world)
        _kill_agent_under_load(world, send)
        _assert_once_each(world)


def _assert_api_is_fresh(world: World, send: str) -> None:
    """Ask for the features of who clicked last until they tell of it, again and again while clicks come."""
    address, ages = log_of(world.children["serve"]).partition("serving ")[2].split()[0], list[float]()
    with httpx.Client(base_url=address, timeout=30) as api:
        for _ in range(SENDERS_MAX):
            sender = world.send_meanwhile(send)
            while len(ages) < SAMPLES and sender.process.poll() is None:
                _ask_about_newest(world, api, ages)
            assert sender.process.wait(60) == 0
            world.note_sent(log_of(sender))
            world.clicks.read()  # the last ones of this sender are no news to the next
            if len(ages) >= SAMPLES:
                break
    assert len(ages) >= SAMPLES
    assert np.percentile(ages, 95) <= FRESH_MS, np.percentile(ages, [50, 95, 100])


def _ask_about_newest(world: World, api: httpx.Client, ages: list[float]) -> None:
    """Note the age of the newest click, where one has come, once the API tells of it."""
    before = len(world.clicks.rows)
    if len(world.clicks.read()) == before:
        return
    click = world.clicks.rows[-1][0]
    path = f"/v1/streams/sessions/features/customer/{click['customer_id']}"
    world.services.await_true(
        lambda: (api.get(path).json()["freshness"]["newest_event_ms"] or 0) >= click["event_time_ms"], f"{path} telling"
    )
    ages.append(time.time() * 1_000 - click["event_time_ms"])


def _assert_decided_soon(world: World) -> None:
    """Of the clicks that were sent while everything ran, how long it took to the decision in the log."""
    world.await_worked_off()
    sent = {row["click_id"] for row, _ in world.clicks.rows[-20 * 50 :]}
    ages = [at - row["event_time_ms"] for row, at in world.decisions.rows if row["click_id"] in sent]
    assert np.percentile(ages, 95) <= FRESH_MS, np.percentile(ages, [50, 95, 100])


def _kill_agent_under_load(world: World, send: str) -> None:
    """Kill it with clicks that it has not answered; the next one continues, with some of them again."""
    sender = world.send_meanwhile(send)
    seen = len(world.clicks.read())
    world.services.await_true(lambda: len(world.clicks.read()) > seen + 100, "clicks under way")
    agent = world.children["sessionise"]
    os.kill(agent.process.pid, signal.SIGKILL)
    world.services.await_killed(agent)
    world.follow("weir sessionise &")
    assert sender.process.wait(60) == 0
    world.note_sent(log_of(sender))
    world.await_worked_off()


def _assert_once_each(world: World) -> None:
    """One decision a click; what the agent made twice are equal rows, each of which is a dead letter."""
    made = Counter(row["click_id"] for row, _ in world.decisions.read())
    assert set(made.values()) == {1}
    rows: dict[str, Row] = {}
    again = [row for row, _ in world.steps.read() if rows.setdefault(row["click_id"], row) is not row]
    assert all(rows[row["click_id"]] == row for row in again), "a click that came again gave another row"
    said = world.services.run("dlq", "stats", "--stream", "sessions", "--json").splitlines()
    counts = {row["reason"]: row["letters"] for row in map(json.loads, said)}
    assert counts == ({"duplicate": len(again)} if again else {})


def _assert_scored_by_the_champion(world: World) -> None:
    """Decisions and the API name the model that was trained, which tells buyers from others."""
    home = world.settings.of_stream(sessions)
    version = json.loads((home.models_dir / "champion" / "manifest.json").read_text())["version"]
    decided = [row for row, _ in world.decisions.rows]
    assert {(row["decided_by"], row["model_name"], row["model_version"]) for row in decided} == {
        ("model", "sessions", version)
    }
    assert not any(row["degraded"] for row in decided)
    scores = [row["score"] for row in decided]
    assert 0.0 <= min(scores) < max(scores) <= 1.0
    address = log_of(world.children["serve"]).partition("serving ")[2].split()[0]
    step = build_event(sessions) | {"click_id": "asked", "customer_id": decided[-1]["customer_id"]}
    answer = httpx.post(f"{address}/v1/streams/sessions/score", json=step, timeout=30).json()
    assert answer["model"] == {"name": "sessions", "version": version}
    assert 0.0 <= answer["score"] <= 1.0
    recorded = httpx.get(f"{address}/v1/streams/sessions/decisions/{decided[0]['click_id']}", timeout=30)
    assert recorded.json() == decided[0]
