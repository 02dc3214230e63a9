"""What the stages and the servers do under a load: batches, how long their steps take, and cores.

Redis's cores are without those of the process that rewrites its append-only file.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.figures import NothingMeasured, Sample
from tests.bench.lab import Lab
from tests.soak.probe import read_usage
from weir.infra.children import Child

SERVERS = ("kafka", "redis")
_STEPS = {"batch_ms": "batch", "commit_ms": "commit"}


@dataclass(frozen=True)
class Stage:
    """A stage under way.

    Attributes:
        name: of the command.
        child: its process.
        port: of its metrics page.
    """

    name: str
    child: Child
    port: int

    @property
    def label(self) -> str:
        """Return what its metrics call it: `weir run` is a processor that decides, too."""
        return "process" if self.name == "run" else self.name


@dataclass(frozen=True)
class Reading:
    """Counters at one moment, in seconds: metrics by stage and name, CPU by stage or server."""

    at: float
    counted: dict[tuple[str, str], float]
    cpu_seconds: dict[str, float]


def read(lab: Lab, stages: list[Stage]) -> Reading:
    """Read every stage's metrics page, and everybody's CPU.

    Raises:
        NothingMeasured: a process does not answer, or is gone.
    """
    try:
        return _read(lab, stages)
    except (httpx.HTTPError, FileNotFoundError) as error:
        raise NothingMeasured(f"a process under load could not be read: {error}") from error


def _read(lab: Lab, stages: list[Stage]) -> Reading:
    counted: dict[tuple[str, str], float] = {}
    for stage in stages:
        counted |= {(stage.name, name): value for name, value in _read_page(stage).items()}
    pids = {stage.name: stage.child.process.pid for stage in stages}
    for name in SERVERS:
        running = lab.stack.processes[name].find_running()
        if running is None:
            raise NothingMeasured(f"{name} is gone")
        pids[name] = running.pid
    return Reading(time.monotonic(), counted, {name: read_usage(pid).cpu_seconds for name, pid in pids.items()})


def samples(before: Reading, after: Reading, *, suffix: str) -> list[Sample]:
    """Return what was done between two readings.

    Raises:
        NothingMeasured: a stage had no batch.
    """
    seconds = after.at - before.at
    grown = {key: value - before.counted.get(key, 0.0) for key, value in after.counted.items()}
    found = []
    for name in dict.fromkeys(stage for stage, _ in grown):
        batches = grown[name, "batches"]
        if not batches:
            raise NothingMeasured(f"{name} had no batch")
        figures = {
            "batches_per_s": batches / seconds,
            "records_per_batch": grown[name, "records"] / batches,
            **{key: 1_000 * grown[name, step] / batches for key, step in _STEPS.items()},
        }
        found += [
            Sample(f"live_{name}_{what}_{suffix}", round(value, 2), int(batches)) for what, value in figures.items()
        ]
    for name, used in after.cpu_seconds.items():
        cores = (used - before.cpu_seconds[name]) / seconds
        found.append(Sample(f"live_{name}_cores_{suffix}", round(cores, 3), 1))
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _read_page(stage: Stage) -> dict[str, float]:
    page = httpx.get(f"http://127.0.0.1:{stage.port}/metrics", timeout=5.0).text
    found = dict.fromkeys(("batches", "records", *_STEPS.values()), 0.0)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.labels.get("stage") != stage.label:
                continue
            if sample.name == "weir_batch_records_count":
                found["batches"] = sample.value
            elif sample.name == "weir_batch_records_sum":
                found["records"] = sample.value
            elif sample.name == "weir_stage_seconds_sum" and sample.labels["step"] in found:
                found[sample.labels["step"]] = sample.value
    return found
