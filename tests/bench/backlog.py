"""How fast a process works off a topic that is full already."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.bench.figures import NothingMeasured, Sample, rate, visible_rate
from tests.bench.kafka_log import append_times_ms, await_work
from tests.bench.lab import INPUT, Deployment, Lab, Processes
from tests.bench.warm import ensure_model
from weir.infra.children import Child

Start = Callable[[Processes], Child]


def measure(
    lab: Lab, key: str, output: str, start: Start, deployment: Deployment | None = None, *, outputs_per_record: int = 1
) -> Sample:
    """Start a process on the shared input and return its rate over what it wrote.

    A contender of ours has to write one output per record. A peer may be stopped when its time is up, and is judged by
    what it did until then.
    """
    expected = lab.sizes.records * outputs_per_record
    seconds_max = 10 * lab.sizes.backlog_seconds_max if deployment else lab.sizes.backlog_seconds_max
    begun = time.time() * 1_000
    with lab.processes(deployment) as processes:
        start(processes)
        seen = await_work(lab.settings, output, records_min=expected, seconds_max=seconds_max, check=processes.check)
    times = append_times_ms(lab.settings, output)
    if deployment and len(times) != expected:
        raise NothingMeasured(f"{key}: expected {expected} outputs, found {len(times)}")
    notes = {"first_output_s": round((min(times) - begun) / 1_000, 2), "by_append_times": round(rate(times))}
    return Sample(key, visible_rate(seen) / outputs_per_record, len(times), notes)


def plain_loop(lab: Lab, name: str) -> list[Sample]:
    """Measure the ceiling."""
    output = lab.create_output(name)
    flags = ("--group", name, "--input", INPUT, "--output", output)
    sample = measure(lab, "plain_loop_eps", output, lambda processes: processes.module("plain_loop", *flags))
    lab.delete_topics_of(name)
    return [sample]


def processor_eos(lab: Lab, name: str) -> list[Sample]:
    """Measure the processor as it is."""
    deployment = lab.deployment(name)
    output = deployment.settings.topics.features
    sample = measure(lab, "processor_eos_eps", output, lambda processes: processes.weir("process"), deployment)
    lab.discard(deployment)
    return [sample, Sample("restart_s", float(sample.notes["first_output_s"]), 1)]


def processor_alo(lab: Lab, name: str) -> list[Sample]:
    """Measure the same code without its transaction."""
    deployment = lab.deployment(name)
    output = deployment.settings.topics.features
    sample = measure(lab, "processor_alo_eps", output, lambda p: p.module("at_least_once"), deployment)
    lab.discard(deployment)
    return [sample]


def fused(lab: Lab, name: str) -> list[Sample]:
    """Measure one process that computes and decides, from transactions to decisions."""
    ensure_model(lab)
    deployment = lab.deployment(name)
    output = deployment.settings.topics.decisions
    sample = measure(lab, "fused_eps", output, lambda processes: processes.weir("run"), deployment)
    lab.discard(deployment)
    return [sample]


def pipeline(lab: Lab, name: str) -> list[Sample]:
    """Measure both stages at once, from transactions to decisions."""
    ensure_model(lab)
    deployment = lab.deployment(name)
    output = deployment.settings.topics.decisions

    def start(processes: Processes) -> Child:
        processes.weir("score")
        return processes.weir("process")

    sample = measure(lab, "pipeline_eps", output, start, deployment)
    lab.discard(deployment)
    return [sample]
