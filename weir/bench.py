"""``weir bench``: what this machine does, measured on servers of its own from an empty folder.

Three figures, in order: how fast a processor works off a backlog, how fast a scorer does, and how long a payment takes
from its sending to its committed decision while payments arrive on an open-loop schedule. Rates are taken from the
broker's append times, first batch excluded, so that neither start-up nor this command's own reading is in them.
A run that decides less than was sent fails: a benchmark of nothing must not pass.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from confluent_kafka import KafkaError, Message, TopicPartition

from weir.demo.watch import Watch, percentiles
from weir.generators.cli import CARDS_MIN
from weir.infra.arguments import Parser, at_least
from weir.infra.children import Children, ended_by_signals, undisturbed
from weir.infra.embedded.leftover import children_record, demo_runs, end_left_over, only_demo
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.clients import build_consumer, check_message
from weir.infra.kafka.offsets import end_offsets
from weir.infra.kafka.topics import ensure_topics
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import WeirError

_HOME_PREFIX = "weir-bench-"
_DAYS_MIN = 46
"""Of history: a model that is trained on less is refused."""
_STEP_SECONDS_MAX = 600.0
_DRAIN_SECONDS_MAX = 30.0
_QUIET_SECONDS = 2.0
_POLL_SECONDS = 0.1
_READ_AT_ONCE = 10_000


@dataclass
class Figures:
    """What was measured; rates in records per second of one process, latencies in milliseconds."""

    machine: str
    date: str
    backlog_events: int = 0
    processor_events_per_second: float = 0.0
    scorer_events_per_second: float = 0.0
    live_rate: int = 0
    live_sent: int = 0
    live_decided: int = 0
    latency_ms: dict[str, float] = field(default_factory=dict)


def main(argv: list[str]) -> int:
    """Run ``weir bench``. Exit codes: 0 done, 1 failed or something was not decided."""
    parser = Parser(prog="weir bench", description="Measure throughput and latency on this machine.")
    parser.add_argument(
        "--cards", type=at_least(CARDS_MIN), default=2_000, help="of the backlog (default: %(default)s)"
    )
    parser.add_argument("--days", type=at_least(_DAYS_MIN), default=60, help="of the backlog (default: %(default)s)")
    parser.add_argument("--rate", type=at_least(1), default=500, help="live payments a second (default: %(default)s)")
    parser.add_argument("--seconds", type=at_least(1), default=30, help="of live payments (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv[1:])
    _end_predecessors()
    home = Path(tempfile.mkdtemp(prefix=_HOME_PREFIX))
    with only_demo(home), ended_by_signals():
        bench = Bench(home, options)
        try:
            figures = bench.run()
        finally:
            with undisturbed():
                bench.close()
                shutil.rmtree(home)
    _show(figures, as_json=options.json)
    return 0 if figures.live_decided == figures.live_sent > 0 else 1


def _end_predecessors() -> None:
    """End what a measurement that was killed left running, and delete its folder; one that runs is left alone."""
    for home in Path(tempfile.gettempdir()).glob(f"{_HOME_PREFIX}*"):
        if home.stat().st_uid == os.getuid() and (home / "demo.lock").is_file() and not demo_runs(home):
            ended = [*end_left_over(home), *Stack(home).stop()]
            _say(f"found {home}, left by a measurement that was killed; ended {', '.join(ended) or 'nothing'}")
            shutil.rmtree(home)


class Bench:
    """One measurement, with servers and processes of its own in ``home``."""

    def __init__(self, home: Path, options: argparse.Namespace) -> None:
        """Start the servers."""
        self._options = options
        self._stack = Stack(home)
        # explicit, so that addresses in this shell's environment cannot lead the children elsewhere
        self._environment = {"WEIR_HOME": str(home), **self._stack.environment()}
        self._children = Children(home / "logs", self._environment, record=children_record(home))
        self._settings: Settings = load_settings(self._environment)
        self._history = home / "history"

    def run(self) -> Figures:
        """Measure everything.

        Raises:
            WeirError: a process died, or a step did not end in time.
        """
        figures = Figures(_machine(), datetime.now(UTC).strftime("%Y-%m-%d"), live_rate=self._options.rate)
        figures.backlog_events = self._prepare()
        figures.processor_events_per_second = self._measure_backlog(
            "process", self._settings.topics.features, figures.backlog_events
        )
        figures.scorer_events_per_second = self._measure_backlog(
            "score", self._settings.topics.decisions, figures.backlog_events
        )
        self._measure_live(figures)
        return figures

    def close(self) -> None:
        """End every process and server."""
        self._children.stop()
        self._stack.stop()

    def _prepare(self) -> int:
        """Start servers, train a model and publish its history as the backlog; return the number of events in it."""
        _say("servers, topics, history and model")
        self._stack.start()
        ensure_topics(self._settings)
        self._verb("schemas", "register")
        world = ("--cards", str(self._options.cards), "--days", str(self._options.days))
        self._verb("generate", "--to", "parquet", "--out", str(self._history), *world)
        self._verb("train", "--history", str(self._history), "--quick", "--promote", "--no-track")
        self._verb("generate", "--from-parquet", str(self._history), "--history-speed", "max")
        return int(pq.ParquetFile(self._history / "transactions.parquet").metadata.num_rows)

    def _measure_backlog(self, verb: str, output: str, expected: int) -> float:
        """Start a process on a full input topic and return its rate from the times of what it wrote.

        Raises:
            WeirError: it wrote another number of records than there was input.
        """
        _say(f"weir {verb} on a backlog of {expected:,}")
        self._children.start(verb, _weir(verb))
        self._await_quiet(output, expected)
        times_ms = np.sort(self._append_times(output))
        if len(times_ms) != expected:
            raise WeirError(f"expected {expected} records in {output}, found {len(times_ms)}; see weir dlq list")
        return _rate(times_ms)

    def _await_quiet(self, topic: str, records_min: int) -> None:
        """Wait until a topic has that many records and gets no more; reading it meanwhile would cost the measured."""
        seen, since, deadline = -1, time.monotonic(), time.monotonic() + _STEP_SECONDS_MAX
        while seen < records_min or time.monotonic() - since < _QUIET_SECONDS:
            self._children.check()
            if time.monotonic() > deadline:
                raise WeirError(f"expected {records_min} records in {topic}, found at most {seen} in time")
            now = sum(end_offsets(self._settings.kafka, topic).values())
            seen, since = (now, time.monotonic()) if now != seen else (seen, since)
            time.sleep(_POLL_SECONDS)

    def _append_times(self, topic: str) -> list[int]:
        """Return the broker's append time of every committed record of a topic, in milliseconds."""
        unread = set(end_offsets(self._settings.kafka, topic))
        consumer = build_consumer(self._settings.kafka, group="weir-bench", enable_partition_eof=True)
        times: list[int] = []
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in unread])
            while unread:
                for message in consumer.consume(_READ_AT_ONCE, _POLL_SECONDS):
                    if _is_end(message):
                        unread.discard(message.partition())
                    else:
                        times.append(check_message(message).timestamp()[1])
        finally:
            consumer.close()
        return times

    def _measure_live(self, figures: Figures) -> None:
        options = self._options
        _say(f"{options.rate} payments a second for {options.seconds} s")
        watch = Watch(self._settings, latency_seconds=math.inf)
        watch.begin()
        try:
            flags = ("--rate", str(options.rate), "--seconds", str(options.seconds), "--cards", str(options.cards))
            summary = _json_line(self._verb("generate", *flags, "--json"))
            figures.live_sent = int(summary["records"])
            deadline = time.monotonic() + _DRAIN_SECONDS_MAX
            while _decided(watch) < figures.live_sent and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        finally:
            watch.close()
        figures.live_decided = _decided(watch)
        figures.latency_ms = percentiles(watch.tally.latency.values())

    def _verb(self, verb: str, *flags: str) -> str:
        """Run one command to its end and return what it wrote."""
        child = self._children.start(verb, _weir(verb, *flags))
        code = child.process.wait(_STEP_SECONDS_MAX)
        self._children.running.remove(child)
        text = child.log_file.read_text(errors="replace")
        if code != 0:
            raise WeirError(f"`weir {verb} {' '.join(flags)}` failed with exit code {code}:\n{text[-2_000:]}")
        return text


def _rate(times_ms: np.ndarray) -> float:
    """Return records per second after the first batch, whose own work began before its append time."""
    later = times_ms[times_ms > times_ms[0]]
    if not len(later):
        raise WeirError("expected a backlog of several batches, found one; raise --days")
    return float(len(later) / (later[-1] - times_ms[0]) * 1_000)


def _decided(watch: Watch) -> int:
    with watch.lock:
        return sum(watch.tally.decisions.values())


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _json_line(text: str) -> dict[str, Any]:
    """Return the summary from among the log lines of the same file."""
    found: dict[str, Any] = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    return found


def _weir(verb: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "weir", verb, *flags]


def _machine() -> str:
    # what else was running belongs to the figure: on a busy machine it is a lower bound
    busy = f"load {os.getloadavg()[0]:.1f} before"
    return (
        f"{os.cpu_count()} cores, {busy}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _show(figures: Figures, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(figures)) + "\n")
        return
    latency = ", ".join(f"{name} {value:.0f} ms" for name, value in figures.latency_ms.items())
    sys.stdout.write(
        f"machine    {figures.machine}, {figures.date}\n"
        f"processor  {figures.processor_events_per_second:,.0f} events/s, backlog of {figures.backlog_events:,}\n"
        f"scorer     {figures.scorer_events_per_second:,.0f} events/s, the same backlog\n"
        f"live       {figures.live_decided:,} of {figures.live_sent:,} decided at {figures.live_rate:,}/s\n"
        f"latency    {latency or 'nothing was decided'}, sent to committed decision\n"
    )
