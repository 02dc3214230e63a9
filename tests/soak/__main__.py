"""``python -m tests.soak``: a steady stream for a long time, and whether anything climbs.

Exit codes: 0 nothing climbs and every payment has its output, 1 not so, 2 misused.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.soak.latency import SLICE_SECONDS, Latency
from tests.soak.probe import Sample
from tests.soak.report import Run, render_page, render_picture
from tests.soak.verdict import judge
from tests.soak.world import World

SAMPLE_SECONDS = 15.0
LOOK_UP_SECONDS = 1.0
DRAIN_SECONDS_MAX = 60.0
MINUTES_MIN = 2.0  # below, there is no line to draw


def main() -> int:
    """Run, show the page, and write it where it is asked for."""
    options = _parse()
    home = Path(tempfile.mkdtemp(prefix="weir-soak-"))
    world = World(home, cards=options.cards, history_cards=options.history_cards, days=options.days)
    try:
        _say("servers, model and history")
        world.start()
        run = _soak(world, options)
    finally:
        world.close()
        shutil.rmtree(home)
    page = render_page(run, "soak.svg")
    sys.stdout.write(page)
    if options.out is not None:
        (options.out / "soak.md").write_text(page)
        (options.out / "soak.svg").write_text(render_picture(run))
    return 0 if run.right else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--rate", type=int, default=3_000, help="payments a second (default: %(default)s)")
    parser.add_argument("--cards", type=int, default=400_000, help="that pay in the stream (default: %(default)s)")
    parser.add_argument("--history-cards", type=int, default=5_000, help="that paid before (default: %(default)s)")
    parser.add_argument("--days", type=int, default=60, help="of history in the windows at the start, at least 46")
    parser.add_argument("--out", type=Path, help="folder for soak.md and soak.svg")
    options = parser.parse_args()
    if options.minutes < MINUTES_MIN or options.rate < 1:
        parser.error(f"expected at least {MINUTES_MIN:.0f} minutes and 1 payment a second")
    return options


def _soak(world: World, options: argparse.Namespace) -> Run:
    latency = Latency(world.settings)
    latency.begin()
    _say(f"{options.rate} payments a second for {options.minutes:g} minutes")
    try:
        generator = world.begin(rate=options.rate, seconds=int(options.minutes * 60))
        samples = _watch(world, latency, options.minutes * 60)
        sent = world.end(generator)
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while latency.outputs < sent and time.monotonic() < deadline:
            latency.check()
            time.sleep(0.2)
    finally:
        latency.close()
    seconds = options.minutes * 60
    slices = latency.percentiles(every_seconds=SLICE_SECONDS, seconds=seconds)
    p99_ms = {number * float(SLICE_SECONDS): p99 for number, (_, p99) in slices.items()}
    return Run(
        command=f"make soak MINUTES={options.minutes:g} RATE={options.rate}",
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, everything on it",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        rate=options.rate,
        sent=sent,
        outputs=latency.outputs,
        looked_up=world.looked_up,
        look_up_errors=world.look_up_errors,
        samples=samples,
        latency=latency.percentiles(every_seconds=60, seconds=seconds),
        findings=judge(samples, p99_ms, rate=options.rate),
    )


def _watch(world: World, latency: Latency, seconds: float) -> list[Sample]:
    """Sample on a schedule, with a few look-ups a second in between."""
    began = time.monotonic()
    samples: list[Sample] = []
    while (passed := time.monotonic() - began) < seconds:
        if passed >= len(samples) * SAMPLE_SECONDS:
            samples.append(world.sample(passed))
            latency.check()
            _say(_describe(samples[-1], latency))
        world.look_up()
        time.sleep(LOOK_UP_SECONDS)
    return samples


def _describe(sample: Sample, latency: Latency) -> str:
    memory = ", ".join(f"{name} {usage.memory_mb:.0f}" for name, usage in sample.usage.items())
    lag = ", ".join(f"{stage} {records}" for stage, records in sample.lag_records.items())
    return f"{sample.seconds:5.0f} s  {latency.outputs:,} out  MB: {memory}  lag: {lag}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
