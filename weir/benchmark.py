"""``weir benchmark``: models trained and judged by a fixed protocol, through the kernel that also runs in the stream.

``handbook`` is published: data, features, protocol and figures. ``simulator`` is ours. Both print their tables in
Markdown; ``--write`` puts them into the page of results.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from weir.generators.cli import CARDS_MIN
from weir.generators.history import build_history
from weir.generators.population import build_population
from weir.infra.arguments import Parser, at_least
from weir.schemas.durations import DAY_MS
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.kernels import kernel_of
from weir.training.benchmarks import page, simulator, simulator_tables
from weir.training.history import replay

_END_MS = 1_748_736_000_000
"""2025-06-01, 00:00 UTC: the simulated past ends there, whenever it is made, so that a seed gives the same figures."""
_CARDS, _DAYS, _SEED = 4_000, 120, 7


@dataclass(frozen=True)
class Done:
    """A run's section of the page, and what is wrong with its figures."""

    title: str
    body: str
    faults: list[str]


def main(argv: list[str]) -> int:
    """Run ``weir benchmark``. Exit codes: 0 done, 1 a figure is missed or too good to be true, 2 misused."""
    arguments = build_parser().parse_args(argv[1:])
    run: Callable[[argparse.Namespace, Console], Done] = arguments.run
    console = Console(stderr=True)
    done = run(arguments, console)
    sys.stdout.write(done.body)
    if arguments.write:
        about = page.describe(_name_command(argv), datetime.now(UTC).strftime("%Y-%m-%d"))
        console.print(f"written to {page.write_section(arguments.write, done.title, about, done.body)}")
    for fault in done.faults:
        sys.stderr.write(f"weir benchmark: {fault}\n")
    return 1 if done.faults else 0


def _name_command(argv: list[str]) -> str:
    """Return the command that makes the same tables, without where they were written.

    >>> _name_command(["benchmark", "simulator", "--write", "docs/results", "--seed", "3"])
    'weir benchmark simulator --seed 3'
    """
    before = ["", *argv[:-1]]
    kept = [
        word for word, last in zip(argv, before, strict=True) if last != "--write" and not word.startswith("--write")
    ]
    return f"weir {shlex.join(kept)}"


def build_parser() -> argparse.ArgumentParser:
    """Return the flags of ``weir benchmark``."""
    parser = Parser(prog="weir benchmark", description="Train and judge models by a fixed protocol, and show tables.")
    verbs = parser.add_subparsers(required=True, metavar="BENCHMARK")
    handbook = verbs.add_parser("handbook", help="the Fraud Detection Handbook: its data, features, protocol, figures")
    handbook.set_defaults(run=_run_handbook)
    simulated = verbs.add_parser("simulator", help="our own simulator, by scenario, and what each kind of feature adds")
    simulated.add_argument("--seed", type=at_least(0), default=_SEED, help="names the world (default: %(default)s)")
    simulated.add_argument("--cards", type=at_least(CARDS_MIN), default=_CARDS, help="default: %(default)s")
    simulated.add_argument("--days", type=at_least(1), default=_DAYS, help="default: %(default)s")
    simulated.set_defaults(run=_run_simulator)
    for each in (handbook, simulated):
        each.add_argument("--write", type=Path, metavar="DIR", help=f"write the tables into DIR/{page.NAME} too")
    return parser


def _run_handbook(_: argparse.Namespace, console: Console) -> Done:
    from weir.training.benchmarks.handbook.run import run_benchmark  # noqa: PLC0415  (the other needs no XGBoost)
    from weir.training.benchmarks.handbook.stream import handbook  # noqa: PLC0415
    from weir.training.benchmarks.handbook.tables import build_page  # noqa: PLC0415

    kernel = kernel_of(handbook)
    compile_kernel(kernel, tell_on_stderr)
    with console.status("simulating payments") as status:
        outcome = run_benchmark(kernel, status.update)
    return Done("The Fraud Detection Handbook", build_page(outcome), outcome.ours.find_faults())


def _run_simulator(arguments: argparse.Namespace, console: Console) -> Done:
    kernel = kernel_of(payments)
    compile_kernel(kernel, tell_on_stderr)
    with console.status("simulating payments") as status:
        population = build_population(arguments.seed, arguments.cards)
        past = build_history(population, _END_MS - arguments.days * DAY_MS, _END_MS)
        labels, truth = (pa.Table.from_batches([each]) for each in (past.labels, past.truth))
        status.update("replaying them through the kernel")
        examples = replay(kernel, [past.transactions], labels, BUILT_IN)
        outcome = simulator.run_benchmark(examples, labels, truth, payments, status.update)
    return Done("Our simulator, by scenario", simulator_tables.build_page(outcome), [])
