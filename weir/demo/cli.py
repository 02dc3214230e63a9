"""``weir demo``: the whole pipeline on this machine, from an empty folder to live decisions, and then a summary.

The story, in order: servers, topics and subjects; a labelled history that ends now; a model trained on it; processor,
scorer, index and API as processes of their own; the history published through them, so that the windows are warm;
then live traffic under the terminal view. Every process that this command started is ended with it.
In a project's folder, or with ``--project``, it is the project's stream that is shown: ``weir/demo/project.py``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from weir.demo.console import open_console
from weir.demo.project import ProjectDemo
from weir.demo.story import STILL_SECONDS_MAX, Story, console, flat, step
from weir.demo.summary import print_quality, print_sequence, read_truth
from weir.generators.cli import CARDS_MIN
from weir.infra.arguments import Parser, add_stream_flag, at_least, seconds
from weir.infra.children import ended_by_signals, undisturbed
from weir.infra.embedded.leftover import only_demo
from weir.infra.home import ensure_home
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import Refused, WeirError
from weir.schemas.project import PROJECT_FILE, find_project
from weir.schemas.streams.payments import payments

_RATE = 100
_PAYMENTS_PER_CARD = 3
"""As in the history's own rushes: 6,000 payments of 2,000 cards."""
_CARDS_MIN, _CARDS_MAX = 2_000, 10_000
"""More cards take more history, and minutes more until the first live payment."""
_DAYS, _DAYS_OF_MANY = 90, 65
"""Of history; a model needs 46."""
_ENDLESS_SECONDS = 150.0
"""Taken for the duration of a demo without an end: its start should not take minutes more."""


def main(argv: list[str]) -> int:
    """Run ``weir demo``. Exit codes: 0 done, 1 failed, 2 refused."""
    arguments = _build_parser().parse_args(argv[1:])
    project = _find_folder(arguments)
    if project is not None:
        os.chdir(project)  # its processes are started here, and find its streams and its home as any command does
    settings = load_settings()
    home = ensure_home(settings.home)
    with only_demo(home), ended_by_signals():
        story = _build_demo(settings, arguments) if project is None else ProjectDemo(settings, arguments, project)
        try:
            story.run()
        except KeyboardInterrupt:
            console.print("interrupted")
            return 130
        finally:
            with undisturbed():
                story.close()
    return 0


def _build_parser() -> Parser:
    parser = Parser(prog="weir demo", description="Run everything for a while and show it live.")
    parser.add_argument(
        "--project", type=Path, metavar="DIR", help="run this project's stream (default: of the folder you are in)"
    )
    add_stream_flag(parser, names="a stream of the project")
    parser.add_argument("--seconds", type=seconds, default=60.0, help="of live traffic; 0 runs until Ctrl-C")
    parser.add_argument("--rate", type=at_least(1), help="live events per second (default: 100, or the project's)")
    parser.add_argument("--seed", type=at_least(0), default=7)
    history = parser.add_argument_group("without a project: card payments")
    history.add_argument("--cards", type=at_least(CARDS_MIN), help="default: enough that each pays a few times at most")
    history.add_argument("--days", type=at_least(1), help="of history (default: 90, fewer for many cards)")
    return parser


def _find_folder(arguments: argparse.Namespace) -> Path | None:
    """Return the folder of the project that is to be shown, or None for the payments.

    Raises:
        Refused: a folder that was named has no project, or a flag of the other kind of demo was given.
    """
    given: Path | None = arguments.project
    if given is not None and not (given / PROJECT_FILE).is_file():
        raise Refused(f"expected a {PROJECT_FILE} in {given}, found none; `weir init DIR` makes a project")
    found = find_project(Path.cwd()) if given is None else given.absolute()
    if found is None and arguments.stream:
        raise Refused("expected --stream with a project, found none here; `weir init DIR` makes one")
    if found is not None and (arguments.cards or arguments.days):
        raise Refused(f"expected --cards and --days without a project, found the one in {found}")
    return found


def _build_demo(settings: Settings, arguments: argparse.Namespace) -> Demo:
    arguments.rate = arguments.rate or _RATE
    arguments.cards = arguments.cards or choose_cards(arguments.rate, arguments.seconds)
    arguments.days = arguments.days or (_DAYS if arguments.cards <= _CARDS_MIN else _DAYS_OF_MANY)
    return Demo(settings, arguments)


def choose_cards(rate: float, seconds: float) -> int:
    """Return how many cards pay, so that a live stream looks like the rushes that the model has met in its history.

    Few cards at a high rate are all in a burst before long, and more and more of them are stopped.

    >>> choose_cards(100, 60), choose_cards(100, 300), choose_cards(100, 0)
    (2000, 10000, 5000)
    """
    payments = rate * (seconds or _ENDLESS_SECONDS)
    return int(min(max(payments / _PAYMENTS_PER_CARD, _CARDS_MIN), _CARDS_MAX))


class Demo(Story):
    """The card payments that are shipped, from a history and a model trained on it to live decisions."""

    def __init__(self, settings: Settings, arguments: argparse.Namespace) -> None:
        """Prepare; nothing runs yet."""
        super().__init__(settings, arguments)
        self._history = settings.home / "history"
        self._truth = settings.home / "demo" / "truth.parquet"

    def run(self) -> None:
        """Tell the story from the start to the summary."""
        with ExitStack() as at_end:
            self._tell(at_end)

    def _tell(self, at_end: ExitStack) -> None:
        started = time.monotonic()
        self._set_up(payments)
        with step(f"history: {self._arguments.cards:,} cards, {self._arguments.days} days, ending now"):
            self._make_history()
        self._compile(payments)
        with step("model"):
            self._train()
        with step("processor and scorer in one, index, API"):
            self._start_services(("run",), ("index",), ("serve",))
            said = at_end.enter_context(open_console(self._settings, self._children))
        with step("history through the pipeline, so that the windows are warm"):
            self._warm_up()
        console.print(f"  live after {time.monotonic() - started:.0f} s")
        console.print(f"  the API is at http://{self._settings.api.host}:{self._settings.api.port}")
        if said:
            console.print(f"  {said}")
        self._go_live()
        self._summarise()

    def _make_history(self) -> None:
        shutil.rmtree(self._history, ignore_errors=True)
        flags = {"--days": self._arguments.days, "--out": self._history, **self._world()}
        self._verb("generate", "--to", "parquet", *flat(flags))

    def _world(self) -> dict[str, Any]:
        return {"--seed": self._arguments.seed, "--cards": self._arguments.cards}

    def _train(self) -> None:
        if self._has_champion():
            console.print("  the champion of an earlier run fits; `make train` trains another")
            return
        self._verb("train", "--history", str(self._history), "--quick", "--promote", show=True)

    def _warm_up(self) -> None:
        rows = pq.ParquetFile(self._history / "transactions.parquet").metadata.num_rows
        self._verb("generate", "--from-parquet", str(self._history), "--history-speed", "max")
        decided, last_sign = 0, time.monotonic()
        while (found := self._count_done()) < rows:
            self._children.check()
            if found > decided:
                decided, last_sign = found, time.monotonic()
            if time.monotonic() - last_sign > STILL_SECONDS_MAX:
                raise WeirError(f"expected {rows} decisions of the history, found {found} and none for a while")
            time.sleep(0.2)

    def _go_live(self) -> None:
        seconds, api = self._arguments.seconds, self._settings.api
        flags = {"--rate": self._arguments.rate, "--seconds": seconds, "--truth": self._truth, **self._world()}
        errors = {"--late": 0.002, "--duplicates": 0.002, "--out-of-order": 0.005, "--malformed": 0.001}
        self._live(*flat(flags | errors), title=f"{self._arguments.rate}/s  api http://{api.host}:{api.port}")

    def _summarise(self) -> None:
        tally, truth = self._print_counts(), read_truth(self._truth)
        print_quality(console, truth, tally)
        print_sequence(console, truth, tally)
        console.print("\ntry next")
        console.print("  make demo DURATION=0   # runs until Ctrl-C; use a second terminal meanwhile")
        console.print("  .venv/bin/weir up && .venv/bin/weir dlq list   # see the dead letters")
        console.print("  make train             # train and compare, and promote what is better")
