"""``weir demo``: the whole pipeline on this machine, from an empty folder to live decisions, and then a summary.

The story, in order: servers, topics and subjects; a labelled history that ends now; a model trained on it; processor,
scorer, index and API as processes of their own; the history published through them, so that the windows are warm;
then live traffic under the terminal view. Every process that this command started is ended with it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.live import Live

from weir.demo_watch import (
    LATENCY_SECONDS,
    Watch,
    count_records,
    percentiles,
    print_quality,
    print_sequence,
    read_truth,
)
from weir.generators.cli import CARDS_MIN
from weir.infra.arguments import Parser, at_least, seconds
from weir.infra.children import Children, ended_by_signals, undisturbed
from weir.infra.embedded.leftover import children_record, end_left_over, only_demo
from weir.infra.embedded.ports import choose_ports, describe_listener, is_free
from weir.infra.embedded.stack import DEMO_MARKER, NAMES, Stack
from weir.infra.home import ensure_home
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.settings import Settings, load_settings, stack_env_path
from weir.monitoring.live_view import Snapshot, render, summary_line
from weir.schemas.errors import Refused, WeirError
from weir.streaming.compiling import compile_kernel, describe
from weir.streaming.kernels import shipped_kernel

STILL_SECONDS_MAX = 120.0
"""Without a decision; a large history on a busy machine may take long, and gets on all the while."""
DRAIN_SECONDS_MAX = 15.0
_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 10.0
"""Between two lines where the output is no terminal."""
_RATES_KEPT = 240
_PAYMENTS_PER_CARD = 3
"""As in the history's own rushes: 6,000 payments of 2,000 cards."""
_CARDS_MIN, _CARDS_MAX = 2_000, 10_000
"""More cards take more history, and minutes more until the first live payment."""
_DAYS, _DAYS_OF_MANY = 90, 50
"""Of history; a model needs 46."""
_ENDLESS_SECONDS = 150.0
"""Taken for the duration of a demo without an end: its start should not take minutes more."""

console = Console(highlight=False, soft_wrap=True)


def main(argv: list[str]) -> int:
    """Run ``weir demo``. Exit codes: 0 done, 1 failed, 2 refused."""
    parser = Parser(prog="weir demo", description="Run everything for a while and show it live.")
    parser.add_argument("--seconds", type=seconds, default=60.0, help="of live traffic; 0 runs until Ctrl-C")
    parser.add_argument("--rate", type=at_least(1), default=100, help="live events per second")
    parser.add_argument("--cards", type=at_least(CARDS_MIN), help="default: enough that each pays a few times at most")
    parser.add_argument("--days", type=at_least(1), help="of history (default: 90, fewer for many cards)")
    parser.add_argument("--seed", type=at_least(0), default=7)
    arguments = parser.parse_args(argv[1:])
    arguments.cards = arguments.cards or choose_cards(arguments.rate, arguments.seconds)
    arguments.days = arguments.days or (_DAYS if arguments.cards <= _CARDS_MIN else _DAYS_OF_MANY)
    settings = load_settings()
    home = ensure_home(settings.home)
    with only_demo(home), ended_by_signals():
        story = Demo(settings, arguments)
        try:
            story.run()
        except KeyboardInterrupt:
            console.print("interrupted")
            return 130
        finally:
            with undisturbed():
                story.close()
    return 0


def choose_cards(rate: float, seconds: float) -> int:
    """Return how many cards pay, so that a live stream looks like the rushes that the model has met in its history.

    Few cards at a high rate are all in a burst before long, and more and more of them are stopped.

    >>> choose_cards(100, 60), choose_cards(100, 300), choose_cards(100, 0)
    (2000, 10000, 5000)
    """
    payments = rate * (seconds or _ENDLESS_SECONDS)
    return int(min(max(payments / _PAYMENTS_PER_CARD, _CARDS_MIN), _CARDS_MAX))


class Demo:
    """The story's state: folders, children and what was watched."""

    def __init__(self, settings: Settings, arguments: argparse.Namespace) -> None:
        """Prepare; nothing runs yet."""
        self._arguments = arguments
        self._home = settings.home.absolute()
        self._history = settings.home / "history"
        self._truth = settings.home / "demo" / "truth.parquet"
        self._stack = Stack(settings.home, progress=_show_download)
        self._children = Children(settings.home / "logs", record=children_record(settings.home))
        self._watch: Watch | None = None
        self._settings = settings
        self._servers_are_ours = False
        self._started = time.monotonic()

    def run(self) -> None:
        """Tell the story from the start to the summary."""
        with _step("servers: Kafka, Redis, schema registry"):
            self._fresh_servers()
        with _step("topics and subjects"):
            self._settings = load_settings()
            ensure_topics(self._settings)
            self._verb("schemas", "register")
        with _step(f"history: {self._arguments.cards:,} cards, {self._arguments.days} days, ending now"):
            self._make_history()
        with _step("kernel"):
            compile_kernel(shipped_kernel(), _say)
        with _step("model"):
            self._train()
        with _step("processor and scorer in one, index, API"):
            self._start_services()
        with _step("history through the pipeline, so that the windows are warm"):
            self._warm_up()
        console.print(f"  live after {time.monotonic() - self._started:.0f} s")
        self._live()
        self._summarise()

    def close(self) -> None:
        """End everything that was started."""
        try:
            if self._watch is not None:
                self._watch.close()
        finally:
            self._children.stop()
            if self._servers_are_ours:  # a refused demo must not take down what it refused to touch
                self._stack.stop()

    # --- set-up ------------------------------------------------------------------------------------------------------

    def _fresh_servers(self) -> None:
        """Start with empty servers: what an earlier demo left is wiped, anything else is not touched."""
        marker = self._home / DEMO_MARKER
        if stack_env_path(self._home).exists() and not marker.exists():
            raise Refused(
                f"expected {self._home} to be empty or left by a demo, found servers that were started by hand; "
                "`WEIR_HOME=.weir-demo make demo` leaves them alone"
            )
        self._end_predecessor()
        self._check_api_port()
        self._servers_are_ours = True
        self._stack.stop()
        for name in NAMES:
            self._stack.wipe(name)
        marker.write_text(json.dumps({"seed": self._arguments.seed}))
        if moved := self._stack.move_ports():
            console.print(f"  ports are taken by other programs; other ports for {', '.join(moved)}")
        self._stack.start()

    def _end_predecessor(self) -> None:
        left = end_left_over(self._home)
        running = [status.name for status in self._stack.status() if status.pid]
        if left or running:
            console.print(f"  found running, left by a demo that was killed, and ended: {', '.join([*left, *running])}")

    def _check_api_port(self) -> None:
        port = self._settings.api.port
        if port and not is_free(port):
            raise Refused(
                f"port {port} for the API is taken by {describe_listener(port)}; "
                f"`WEIR_API__PORT={choose_ports(1)[0]} make demo` takes another"
            )

    def _make_history(self) -> None:
        shutil.rmtree(self._history, ignore_errors=True)
        flags = {"--days": self._arguments.days, "--out": self._history, **self._world()}
        self._verb("generate", "--to", "parquet", *_flat(flags))

    def _world(self) -> dict[str, Any]:
        return {"--seed": self._arguments.seed, "--cards": self._arguments.cards}

    def _train(self) -> None:
        champion = self._home / "models" / "champion" / "manifest.json"
        if (
            champion.exists()
            and json.loads(champion.read_text())["declarations_hash"] == self._settings.declarations_hash
        ):
            console.print("  the champion of an earlier run fits; `make train` trains another")
            return
        self._verb("train", "--history", str(self._history), "--quick", "--promote", show=True)

    def _start_services(self) -> None:
        self._watch = Watch(self._settings)
        self._watch.begin()
        for name in ("run", "index", "serve"):
            self._children.start(name, _weir(name))

    def _warm_up(self) -> None:
        rows = pq.ParquetFile(self._history / "transactions.parquet").metadata.num_rows
        self._verb("generate", "--from-parquet", str(self._history), "--history-speed", "max")
        decided, last_sign = 0, time.monotonic()
        while (found := self._decided()) < rows:
            self._children.check()
            if found > decided:
                decided, last_sign = found, time.monotonic()
            if time.monotonic() - last_sign > STILL_SECONDS_MAX:
                raise WeirError(f"expected {rows} decisions of the history, found {found} and none for a while")
            time.sleep(0.2)

    def _decided(self) -> int:
        assert self._watch is not None
        self._watch.check()
        with self._watch.lock:
            return sum(self._watch.tally.decisions.values()) + self._watch.tally.dead_letters

    # --- live --------------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        assert self._watch is not None
        self._watch.reset()
        seconds = self._arguments.seconds
        flags = {"--rate": self._arguments.rate, "--seconds": seconds, "--truth": self._truth, **self._world()}
        errors = {"--late": 0.002, "--duplicates": 0.002, "--out-of-order": 0.005, "--malformed": 0.001}
        consumer = build_consumer(self._settings.kafka, group="weir-demo-count")
        before = count_records(consumer, self._settings, self._settings.topics.transactions)
        generator = self._children.start("generate", _weir("generate", *_flat(flags | errors), "--json"))
        started, seen = time.monotonic(), (0.0, 0, 0)
        rates: deque[float] = deque(maxlen=_RATES_KEPT)
        try:
            with _screen() as show:
                while generator.process.poll() is None:
                    time.sleep(_REFRESH_SECONDS)
                    self._children.check()
                    now = time.monotonic() - started
                    events = count_records(consumer, self._settings, self._settings.topics.transactions) - before
                    snapshot = self._snapshot(now, events, seen)
                    rates.append(snapshot.decisions_rate)
                    snapshot.rate_history = list(rates)
                    seen = (now, events, sum(snapshot.decisions.values()))
                    show(snapshot)
        except KeyboardInterrupt:
            generator.process.terminate()
        self._events = self._drain(consumer, before)
        consumer.close()

    def _drain(self, consumer: Any, before: int) -> int:
        """Wait for the last decisions; return how many events were sent."""
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while True:
            events = count_records(consumer, self._settings, self._settings.topics.transactions) - before
            if self._decided() >= events or time.monotonic() > deadline:
                return events
            time.sleep(0.1)

    def _snapshot(self, now: float, events: int, seen: tuple[float, int, int]) -> Snapshot:
        assert self._watch is not None
        passed = max(1e-3, now - seen[0])
        with self._watch.lock:
            tally = self._watch.tally
            decided = sum(tally.decisions.values())
            return Snapshot(
                title=f"{self._arguments.rate}/s  api http://{self._settings.api.host}:{self._settings.api.port}",
                elapsed_seconds=now,
                duration_seconds=self._arguments.seconds,
                events_in=events,
                decisions=dict(tally.decisions),
                events_rate=(events - seen[1]) / passed,
                decisions_rate=(decided - seen[2]) / passed,
                latency_ms=percentiles(tally.latencies()),
                dead_letters=tally.dead_letters,
                lag_records=max(0, events - decided - tally.dead_letters),
                degraded=tally.degraded,
                latest_declined=list(tally.latest),
                processes=self._children.states(),
            )

    # --- summary -----------------------------------------------------------------------------------------------------

    def _summarise(self) -> None:
        assert self._watch is not None
        with self._watch.lock:
            tally = self._watch.tally
        decided = sum(tally.decisions.values())
        latency = percentiles(tally.latencies())
        truth = read_truth(self._truth)
        console.rule("summary")
        by_kind = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.decisions.items()))
        console.print(f"events in      {self._events:,}")
        console.print(f"decided        {decided:,} decisions ({by_kind})")
        console.print(f"dead letters   {tally.dead_letters:,}")
        if latency:
            over = f"sent to committed, over the last {LATENCY_SECONDS:.0f} s"
            console.print(f"latency        p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms, {over}")
        print_quality(console, truth, tally.by_transaction)
        print_sequence(console, truth, tally.by_transaction)
        console.print("\ntry next")
        console.print("  make demo DURATION=0   # runs until Ctrl-C; use a second terminal meanwhile")
        console.print("  .venv/bin/weir up && .venv/bin/weir dlq list   # see the dead letters")
        console.print("  make train             # train and compare, and promote what is better")

    def _verb(self, verb: str, *flags: str, show: bool = False) -> None:
        """Run one command to its end, with its output in a log, or shown."""
        child = self._children.start(verb, _weir(verb, *flags))
        code = child.process.wait()
        self._children.running.remove(child)
        text = child.log_file.read_text(errors="replace")
        if code != 0:
            raise WeirError(f"`weir {verb} {' '.join(flags)}` failed with exit code {code}:\n{text[-2_000:]}")
        if show:
            console.print(text.rstrip(), markup=False)


def _say(event: str, **fields: object) -> None:
    console.print(f"  {describe(event, **fields)}")


def _show_download(done: int, of: int) -> None:
    if done == of or done % 20 == 0:
        console.print(f"  fetched {done} of {of} files, at the first start only", style="dim")


def _weir(verb: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "weir", verb, *flags]


def _flat(flags: dict[str, Any]) -> list[str]:
    return [str(part) for pair in flags.items() for part in pair]


@contextmanager
def _screen() -> Iterator[Callable[[Snapshot], None]]:
    """Draw on a terminal; elsewhere write a line now and then."""
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield lambda snapshot: live.update(render(snapshot, width=console.width, height=console.height))
        return
    told = [0.0]

    def tell(snapshot: Snapshot) -> None:
        if snapshot.elapsed_seconds - told[0] >= _LINE_SECONDS:
            told[0] = snapshot.elapsed_seconds
            console.print(f"  {summary_line(snapshot)}", markup=False)

    yield tell


@contextmanager
def _step(title: str) -> Iterator[None]:
    started = time.monotonic()
    console.print(f"[bold]{title}[/bold]")
    yield
    console.print(f"  {time.monotonic() - started:.1f} s", style="dim")
