"""Latency under an open-loop load: what is due when is fixed before anything is sent, and a wait counts as latency.

A payment's event time is the moment at which it was due, so a sender that falls behind makes the figures worse, not
better (no coordinated omission). A decision's time is when a read_committed consumer in another process has it in
hand, which no decision is before its transaction is committed. One machine, one clock. The cards are those of the
shared input, which the deployment has decided before: windows are warm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cache
from typing import TypeVar

from tests.bench import steps
from tests.bench.figures import NothingMeasured, Sample, percentile
from tests.bench.kafka_log import Lag, await_quiet
from tests.bench.lab import Deployment, Lab, Processes
from tests.bench.records import SEED
from tests.bench.rounds import Scenario
from tests.bench.targets import short
from tests.bench.warm import keep_live
from weir.generators.live import LivePlan, live_blocks
from weir.generators.outgoing import Outgoing
from weir.generators.population import Population, build_population
from weir.generators.sender import Sender, Sent
from weir.infra.children import Child
from weir.infra.kafka.clients import build_producer

PROBED_RATE = 5_000
_LEAD_SECONDS, _LEAD_SECONDS_PER_RECORD = 6.0, 40e-6
"""Between now and the first record: time to draw and encode all of them, and for another process to be there."""
_READY_SECONDS_MAX = 60.0
_WARM_UP_RATE, _WARM_UP_SECONDS = 500, 2.0
_POLL_SECONDS = 0.05

T = TypeVar("T")
Pairs = list[tuple[float, float]]
"""When something was due, UTC epoch ms, and how long after that it was there, ms."""


SEPARATE, FUSED = ("process", "score"), ("run",)
"""The commands of the two modes."""


def end_to_end(rate: int, verbs: tuple[str, ...] = SEPARATE) -> Scenario:
    """Return the scenario of one rate and mode: scheduled send to committed decision."""
    prefix = "" if verbs == SEPARATE else f"{verbs[0]}_"

    def scenario(lab: Lab, name: str) -> list[Sample]:
        del name  # one warm deployment serves all loads of a round
        deployment = keep_live(lab)
        with lab.processes(deployment) as processes:
            stages = _start_stages(lab, deployment, processes, verbs)
            watcher = start_watching(processes, deployment.settings.topics.decisions)
            begun = list[Future[steps.Reading]]()

            def read_when_settled(begin_ms: int) -> None:
                begun.append(
                    _in_background(begin_ms + lab.sizes.settle_seconds * 1_000, lambda: steps.read(lab, stages))
                )

            begin_ms, sent = _send(lab, deployment, rate, seconds=_seconds(lab), at_plan=read_when_settled)
            processes.check()
            done = steps.samples(
                begun[0].result(_READY_SECONDS_MAX), steps.read(lab, stages), suffix=f"{prefix}{short(rate)}"
            )
            _await_decisions(deployment, processes)
            watcher.process.terminate()
            pairs = read_pairs(processes, watcher)
        counted = [pair for pair in pairs if pair[0] >= begin_ms]
        if len(counted) != sent.records:
            raise NothingMeasured(f"expected {sent.records} decisions at {rate}/s, found {len(counted)}")
        latencies = _settled(lab, counted, begin_ms)
        return [*_samples(f"{prefix}e2e_ms_{{}}_{short(rate)}", latencies, sent, (50, 99, 99.9)), *done]

    return scenario


def freshness(lab: Lab, name: str) -> list[Sample]:
    """Measure publish to visible in the lookup, by probes next to a load of 5,000/s."""
    del name
    deployment = keep_live(lab)
    seconds = _seconds(lab)
    with lab.processes(deployment) as processes:
        _start_stages(lab, deployment, processes)
        began = list[Child]()

        def probe(begin_ms: int) -> None:
            began.append(processes.module("prober", "--begin-ms", str(begin_ms), "--seconds", str(seconds)))

        begin_ms, sent = _send(lab, deployment, PROBED_RATE, seconds=seconds, at_plan=probe)
        pairs = read_pairs(processes, began[0])
    return _samples(f"freshness_ms_{{}}_{short(PROBED_RATE)}", _settled(lab, pairs, begin_ms), sent, (50, 99))


def _seconds(lab: Lab) -> float:
    return lab.sizes.settle_seconds + lab.sizes.live_seconds


def _in_background(at_ms: float, do: Callable[[], T]) -> Future[T]:
    """Do something at a time, UTC epoch ms, while this thread continues."""
    thread = ThreadPoolExecutor(1)

    def wait_and_do() -> T:
        time.sleep(max(0.0, at_ms / 1_000 - time.time()))
        return do()

    future = thread.submit(wait_and_do)
    thread.shutdown(wait=False)
    return future


def _start_stages(
    lab: Lab, deployment: Deployment, processes: Processes, verbs: tuple[str, ...] = SEPARATE
) -> list[steps.Stage]:
    """Start the stages and have them decide a few payments, so that what follows finds them at work."""
    ports = {verb: steps.free_port() for verb in verbs}
    stages = [
        steps.Stage(verb, processes.weir(verb, "--metrics-port", str(port)), port) for verb, port in ports.items()
    ]
    _send(lab, deployment, _WARM_UP_RATE, seconds=_WARM_UP_SECONDS)
    _await_decisions(deployment, processes)
    return stages


def _await_decisions(deployment: Deployment, processes: Processes) -> None:
    """Wait until the processor has committed the end of its input and no more decisions come.

    Raises:
        NothingMeasured: it did not in time.
    """
    settings = deployment.settings
    deadline = time.monotonic() + _READY_SECONDS_MAX
    with closing(Lag(settings)) as lag:
        while behind := lag.count():
            processes.check()
            if time.monotonic() > deadline:
                raise NothingMeasured(f"{behind} records were not decided in {_READY_SECONDS_MAX:.0f} s")
            time.sleep(_POLL_SECONDS)
    await_quiet(settings, settings.topics.decisions, processes.check)


def start_watching(processes: Processes, topic: str) -> Child:
    """Start a process that notes when each record of a topic is in hand, and wait until it does."""
    child = processes.module("watcher", "--topic", topic)
    deadline = time.monotonic() + _READY_SECONDS_MAX
    while "ready" not in child.log_file.read_text(errors="replace"):
        processes.check()
        if time.monotonic() > deadline:
            raise NothingMeasured("the watcher did not get ready")
        time.sleep(_POLL_SECONDS)
    return child


def _send(
    lab: Lab, deployment: Deployment, rate: int, *, seconds: float, at_plan: Callable[[int], None] = lambda _: None
) -> tuple[int, Sent]:
    """Send a live stream on schedule; return when it began and what was sent.

    Raises:
        NothingMeasured: it could not be drawn in time, or records were refused.
    """
    lead = _LEAD_SECONDS + rate * seconds * _LEAD_SECONDS_PER_RECORD
    population = _population(lab.sizes.cards)
    begin_ms = int((time.time() + lead) * 1_000)
    at_plan(begin_ms)
    plan = LivePlan(start_ms=begin_ms, rate_per_second=rate, seconds=seconds)
    settings = deployment.settings
    blocks = list(live_blocks(population, plan, lab.encoder(settings), settings.topics.transactions))
    if time.time() * 1_000 > begin_ms:
        raise NothingMeasured(f"the load was not drawn within {lead:.0f} s: the machine is too busy to measure latency")
    return begin_ms, send_blocks(deployment, blocks)


def send_blocks(deployment: Deployment, blocks: list[Outgoing]) -> Sent:
    """Send blocks when they are due; every record must be acknowledged."""
    producer = build_producer(deployment.settings.kafka, delivery_report_only_error=True)
    sent = Sender(producer).send_all(blocks)
    if sent.failed or sent.records != sum(len(block) for block in blocks):
        raise NothingMeasured(f"expected every record acknowledged, found {sent.failed} refused: {sent.first_error}")
    return sent


@cache
def _population(cards: int) -> Population:
    return build_population(SEED, cards)


def read_pairs(processes: Processes, child: Child) -> Pairs:
    """Return what a measuring process wrote as its last line, a JSON list."""
    text = processes.run(child, _READY_SECONDS_MAX)
    return [(float(due), float(latency)) for due, latency in json.loads(text.splitlines()[-1])]


def _settled(lab: Lab, pairs: Pairs, begin_ms: int) -> list[float]:
    """Return the latencies of what was due after the first seconds."""
    return [latency for due, latency in pairs if due >= begin_ms + lab.sizes.settle_seconds * 1_000]


def _samples(key: str, latency: list[float], sent: Sent, percents: tuple[float, ...]) -> list[Sample]:
    """Return a sample per percentile; ``key`` has a place for its name."""
    notes = {"sender_lag_ms_p99": round(sent.lag_percentile_ms(99), 1), "sent": sent.records}
    names = {percent: "p" + str(percent).replace(".", "") for percent in percents}
    return [
        Sample(key.format(names[percent]), round(percentile(latency, percent), 1), len(latency), notes)
        for percent in percents
    ]
