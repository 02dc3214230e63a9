"""``python -m tests.bench.growth``: how rate, latency and memory change with entities, partitions, batches, instances.

Every cell is one change from the same middle. A cell fills the view with one payment of every card, untimed; starts
processors with an empty cache on a backlog over all cards and takes their rate; and takes the latency of a quiet
open-loop load from scheduled send to committed feature row. Cells are bounded, and told as they come.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.bench import report
from tests.bench.figures import NothingMeasured, percentile, rate
from tests.bench.kafka_log import Lag, append_times_ms, await_quiet, await_work, fill
from tests.bench.lab import Deployment, Lab, Processes, open_lab
from tests.bench.live import read_pairs, send_blocks, start_watching
from tests.bench.records import encode
from tests.bench.rounds import FAILURES, end_cleanly_on_sigterm, say
from tests.bench.sizes import FULL
from tests.bench.wide import WideWorld, build_world, encode_due
from weir.infra.kafka.offsets import end_offsets
from weir.infra.redis.client import connect

RECORDS = 200_000
LIVE_RATE, LIVE_SECONDS, SETTLE_SECONDS = 2_000, 10.0, 2.0
FILL_SECONDS_MAX, WORK_SECONDS_MAX = 900.0, 120.0
_LEAD_SECONDS = 3.0
_DRAIN_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.1
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Cell:
    """One combination; the defaults are the middle from which every other cell is one change."""

    group: str
    cards: int = 100_000
    partitions: int = 4
    batch: int = 8_000
    instances: int = 1

    @property
    def name(self) -> str:
        """Return a name that no other cell bears."""
        return f"g-{self.group}-{self.cards}-{self.partitions}-{self.batch}-{self.instances}"


@dataclass(frozen=True)
class Found:
    """What a cell gave: events per second, milliseconds, and Redis's bytes for all that it knows."""

    cell: Cell
    events_per_second: float
    p50_ms: float
    p99_ms: float
    redis_mb: float


CELLS: dict[str, list[Cell]] = {
    "entities": [Cell("entities", cards=cards) for cards in (10_000, 100_000, 1_000_000, 5_000_000)],
    "partitions": [Cell("partitions", partitions=count) for count in (4, 16, 64)],
    "batches": [Cell("batches", batch=size) for size in (500, 2_000, 8_000, 32_000)],
    "instances": [Cell("instances", instances=count) for count in (1, 2)],
}


def measure(lab: Lab, cell: Cell) -> Found:
    """Measure one cell and leave nothing of it behind.

    Raises:
        NothingMeasured: it took longer than its bounds, or lost a record.
    """
    before = _redis_bytes(lab)
    deployment = lab.deployment(
        cell.name,
        transactions=f"{cell.name}.transactions",
        partitions=cell.partitions,
        WEIR_PROCESSOR__BATCH_RECORDS_MAX=str(cell.batch),
    )
    world = build_world(cell.cards)
    try:
        _fill_view(lab, deployment, cell, world)
        redis_mb = (_redis_bytes(lab) - before) / 1e6
        per_second = _work_off(lab, deployment, cell, world)
        latency = _measure_latency(lab, deployment, cell, world)
    finally:
        lab.discard(deployment)
    return Found(cell, per_second, percentile(latency, 50), percentile(latency, 99), redis_mb)


def _fill_view(lab: Lab, deployment: Deployment, cell: Cell, world: WideWorld) -> None:
    settings = deployment.settings
    encoder, topics = lab.encoder(settings), settings.topics
    with lab.processes(deployment) as processes:
        _start(processes, cell)
        for payments in world.draw_each_once(int(time.time() * 1_000) - _DAY_MS):
            fill(settings, encode(payments, encoder, topics.transactions))
        _await_end(deployment, processes, FILL_SECONDS_MAX)


def _work_off(lab: Lab, deployment: Deployment, cell: Cell, world: WideWorld) -> float:
    settings = deployment.settings
    topics = settings.topics
    now_ms = int(time.time() * 1_000)
    payments = world.draw(np.linspace(now_ms - _DAY_MS // 2, now_ms, RECORDS).astype(np.int64), f"backlog-{now_ms}")
    fill(settings, encode(payments, lab.encoder(settings), topics.transactions))
    starts = end_offsets(settings.kafka, topics.features)
    with lab.processes(deployment) as processes:
        _start(processes, cell)
        await_work(settings, topics.features, records_min=RECORDS, seconds_max=WORK_SECONDS_MAX, check=processes.check)
    return rate(append_times_ms(settings, topics.features, starts), expected=RECORDS)


def _measure_latency(lab: Lab, deployment: Deployment, cell: Cell, world: WideWorld) -> list[float]:
    settings = deployment.settings
    with lab.processes(deployment) as processes:
        _start(processes, cell)
        _send(lab, deployment, world, seconds=SETTLE_SECONDS)
        _await_end(deployment, processes, _DRAIN_SECONDS_MAX)
        watcher = start_watching(processes, settings.topics.features)
        begin_ms = _send(lab, deployment, world, seconds=SETTLE_SECONDS + LIVE_SECONDS)
        _await_end(deployment, processes, _DRAIN_SECONDS_MAX)
        watcher.process.terminate()
        pairs = read_pairs(processes, watcher)
    return [latency for due, latency in pairs if due >= begin_ms + SETTLE_SECONDS * 1_000]


def _send(lab: Lab, deployment: Deployment, world: WideWorld, *, seconds: float) -> int:
    settings = deployment.settings
    begin_ms = int((time.time() + _LEAD_SECONDS) * 1_000)
    times = begin_ms + np.arange(int(LIVE_RATE * seconds)) * (1_000 / LIVE_RATE)
    payments = world.draw(times.astype(np.int64), f"live-{begin_ms}")
    block = encode_due(payments, lab.encoder(settings), settings.topics.transactions)
    if time.time() * 1_000 > begin_ms:
        raise NothingMeasured("the load was not drawn in time: the machine is too busy to measure latency")
    send_blocks(deployment, [block])
    return begin_ms


def _start(processes: Processes, cell: Cell) -> None:
    for number in range(cell.instances):
        processes.weir("process", "--instance", str(number))


def _await_end(deployment: Deployment, processes: Processes, seconds_max: float) -> None:
    settings = deployment.settings
    deadline = time.monotonic() + seconds_max
    with closing(Lag(settings)) as lag:
        while behind := lag.count():
            processes.check()
            if time.monotonic() > deadline:
                raise NothingMeasured(f"{behind} records were not processed within {seconds_max:.0f} s")
            time.sleep(_POLL_SECONDS)
    await_quiet(settings, settings.topics.features, processes.check)


def _redis_bytes(lab: Lab) -> int:
    client = connect(lab.settings.redis)
    try:
        return int(client.info("memory")["used_memory"])
    finally:
        client.close()


def as_text(found: Sequence[Found], failed: Sequence[str]) -> str:
    """Return the table as Markdown."""
    head = (
        "| change | cards | partitions | batch | instances | events/s | p50 ms | p99 ms | Redis MB | bytes a card |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "".join(_line(each) for each in found) + "".join(f"\nFailed: {each}\n" for each in failed)


def _line(found: Found) -> str:
    cell = found.cell
    return (
        f"| {cell.group} | {cell.cards:,} | {cell.partitions} | {cell.batch:,} | {cell.instances} "
        f"| {found.events_per_second:,.0f} | {found.p50_ms:.0f} | {found.p99_ms:.0f} | {found.redis_mb:,.0f} "
        f"| {found.redis_mb * 1e6 / cell.cards:,.0f} |\n"
    )


def run(groups: Sequence[str], cards_max: int) -> tuple[list[Found], list[str]]:
    """Measure every cell of some groups; one that fails is told and left out."""
    found: list[Found] = []
    failed: list[str] = []
    with open_lab(replace(FULL, records=0)) as lab:
        for cell in [cell for group in groups for cell in CELLS[group] if cell.cards <= cards_max]:
            begun = time.monotonic()
            try:
                found.append(measure(lab, cell))
            except FAILURES as error:
                failed.append(f"{cell.name}: {str(error).splitlines()[0]}")
                say(f"{cell.name} FAILED: {error}")
            else:
                say(f"{_line(found[-1]).strip()}  ({time.monotonic() - begun:.0f} s)")
    return found, failed


def main(argv: list[str]) -> int:
    """Run. Exit codes: 0 measured, 1 a cell failed or none was measured, 2 misused."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--only", default="", metavar="GROUPS", help=f"of {', '.join(CELLS)}")
    parser.add_argument("--cards-max", type=int, default=5_000_000, help="leave larger cells out")
    parser.add_argument("--write", default="", metavar="FILE", help="write the table there")
    parser.add_argument("--command", default="", help="what the page says was run")
    given = parser.parse_args(argv)
    groups = given.only.replace(",", " ").split() or list(CELLS)
    if set(groups) - set(CELLS):
        parser.error(f"expected groups of {', '.join(CELLS)}, found {' '.join(groups)}")
    found, failed = run(groups, given.cards_max)
    table = as_text(found, failed)
    say(table)
    if given.write:
        report.write_page(Path(given.write), table, machine=report.describe_machine(), command=given.command)
    return 1 if failed or not found else 0


if __name__ == "__main__":
    end_cleanly_on_sigterm()
    sys.exit(main(sys.argv[1:]))
