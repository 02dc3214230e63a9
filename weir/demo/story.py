"""What every demo does: fresh servers, processes of its own that end with it, live traffic under the terminal view."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from rich.console import Console
from rich.live import Live

from weir.demo.freshness import open_positions
from weir.demo.port import ApiPort
from weir.demo.watch import LATENCY_SECONDS, Tally, Watch, count_records, percentiles
from weir.inference.bundle import champion_path
from weir.infra.children import Children
from weir.infra.embedded.leftover import children_record, end_left_over
from weir.infra.embedded.stack import DEMO_MARKER, NAMES, Stack
from weir.infra.home import stack_env_path
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.topics import ensure_topics
from weir.infra.settings import Settings, load_settings
from weir.monitoring.live_view import Snapshot, render, summary_line
from weir.schemas.errors import Refused, WeirError
from weir.schemas.stream import Stream
from weir.streaming.compiling import compile_kernel, describe
from weir.streaming.kernels import kernel_of

STILL_SECONDS_MAX = 120.0
"""Without a decision; a large history on a busy machine may take long, and gets on all the while."""
DRAIN_SECONDS_MAX = 15.0
_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 10.0
"""Between two lines where the output is no terminal."""
_RATES_KEPT = 240

console = Console(highlight=False, soft_wrap=True)


class Story:
    """The state of a demo: servers, children and what was watched."""

    serves_api: ClassVar[bool] = True

    def __init__(self, settings: Settings, arguments: argparse.Namespace) -> None:
        """Prepare; nothing runs yet."""
        self._arguments = arguments
        self._home = settings.home.absolute()
        self._stack = Stack(settings.home, progress=_show_download)
        self._children = Children(settings.home / "logs", record=children_record(settings.home))
        self._watch: Watch | None = None
        self._settings = settings
        self._servers_are_ours = False
        self._port = ApiPort()
        self._events = 0

    def close(self) -> None:
        """End everything that was started."""
        try:
            if self._watch is not None:
                self._watch.close()
        finally:
            self._children.stop()
            self._port.close()
            if self._servers_are_ours:  # a refused demo must not take down what it refused to touch
                self._stack.stop()

    # --- set-up ------------------------------------------------------------------------------------------------------

    def _set_up(self, stream: Stream) -> None:
        """Bring up fresh servers with the topics and subjects of a stream."""
        with step("servers: Kafka, Redis, schema registry"):
            self._fresh_servers()
        with step("topics and subjects"):
            self._settings = load_settings().of_stream(stream)
            ensure_topics(self._settings, (stream,))
            self._verb("schemas", "register")

    def _compile(self, stream: Stream) -> None:
        with step("kernel"):
            compile_kernel(kernel_of(stream), _say)

    def _fresh_servers(self) -> None:
        """Start with empty servers: what an earlier demo left is wiped, anything else is not touched."""
        marker = self._home / DEMO_MARKER
        if stack_env_path(self._home).exists() and not marker.exists():
            raise Refused(
                f"expected {self._home} to be empty or left by a demo, found servers that were started by hand; "
                "`WEIR_HOME=.weir-demo make demo` leaves them alone"
            )
        self._end_predecessor()
        if self.serves_api:
            self._port.hold(self._settings.api)
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

    def _has_champion(self) -> bool:
        """Return whether a model of an earlier run fits the declarations."""
        path = champion_path(self._settings).absolute() / "manifest.json"
        return path.exists() and json.loads(path.read_text())["declarations_hash"] == self._settings.declarations_hash

    def _start_services(self, *commands: tuple[str, ...], decided: bool = True, shows_all: bool = False) -> None:
        """Watch the outcomes from now on, and start what makes them."""
        positions = open_positions(self._settings)
        self._watch = Watch(self._settings, decided=decided, shows_all=shows_all, positions=positions)
        self._watch.begin()
        for command in commands:
            if command[0] == "serve":
                self._port.start(self._children, weir(*command))
            else:
                self._children.start(command[0], weir(*command))

    # --- live --------------------------------------------------------------------------------------------------------

    def _count_done(self) -> int:
        """Return how many events have an outcome or are dead letters."""
        tally = self._look()
        return tally.outcomes + tally.dead_letters

    def _count_events(self) -> int:
        """Return how many events were ever sent to these servers."""
        consumer = build_consumer(self._settings.kafka, group="weir-demo-count")
        try:
            return count_records(consumer, self._settings, self._settings.topics.transactions)
        finally:
            consumer.close()

    def _look(self) -> Tally:
        assert self._watch is not None
        self._watch.check()
        return self._watch.tally

    def _live(self, *flags: str, title: str) -> None:
        """Show what happens while ``weir generate`` with these flags runs, and until the last outcome."""
        assert self._watch is not None
        self._watch.reset()
        consumer = build_consumer(self._settings.kafka, group="weir-demo-count")
        before = count_records(consumer, self._settings, self._settings.topics.transactions)
        generator = self._children.start("generate", weir("generate", *flags, "--json"))
        started, seen = time.monotonic(), (0.0, 0, 0)
        rates: deque[float] = deque(maxlen=_RATES_KEPT)
        try:
            with _screen() as show:
                while generator.process.poll() is None:
                    time.sleep(_REFRESH_SECONDS)
                    self._children.check()
                    now = time.monotonic() - started
                    events = count_records(consumer, self._settings, self._settings.topics.transactions) - before
                    snapshot = self._snapshot(title, now, events, seen)
                    rates.append(snapshot.outcomes_rate)
                    snapshot.rate_history = list(rates)
                    seen = (now, events, snapshot.outcomes)
                    show(snapshot)
        except KeyboardInterrupt:
            generator.process.terminate()
        self._events = self._drain(consumer, before)
        consumer.close()

    def _drain(self, consumer: Any, before: int) -> int:
        """Wait for the last outcomes; return how many events were sent."""
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while True:
            events = count_records(consumer, self._settings, self._settings.topics.transactions) - before
            if self._count_done() >= events or time.monotonic() > deadline:
                return events
            time.sleep(0.1)

    def _snapshot(self, title: str, now: float, events: int, seen: tuple[float, int, int]) -> Snapshot:
        assert self._watch is not None
        passed = max(1e-3, now - seen[0])
        with self._watch.lock:
            tally = self._watch.tally
            return Snapshot(
                title=title,
                event=tally.stream.event,
                decided=self._watch.decided,
                shows_all=self._watch.shows_all,
                elapsed_seconds=now,
                duration_seconds=self._arguments.seconds,
                events_in=events,
                outcomes=tally.outcomes,
                decisions=dict(tally.decisions),
                events_rate=(events - seen[1]) / passed,
                outcomes_rate=(tally.outcomes - seen[2]) / passed,
                latency_ms=percentiles(tally.latency.values()),
                freshness_ms=percentiles(tally.freshness.values()),
                reasons=dict(tally.reasons),
                lag_records=max(0, events - tally.outcomes - tally.dead_letters),
                degraded=tally.degraded,
                latest=list(tally.latest),
                processes=self._children.states(),
            )

    # --- summary -----------------------------------------------------------------------------------------------------

    def _print_counts(self) -> Tally:
        """Print what every summary begins with, and return what was seen."""
        tally = self._look()
        console.rule("summary")
        by_kind = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.decisions.items()))
        console.print(f"events in      {self._events:,}")
        if self._watch is not None and self._watch.decided:
            console.print(f"decided        {tally.outcomes:,} decisions ({by_kind})")
        else:
            console.print(f"feature rows   {tally.outcomes:,}")
        console.print(f"dead letters   {tally.dead_letters:,}")
        over = f"over the last {LATENCY_SECONDS:.0f} s"
        for name, until, recent in (
            ("latency", "committed", tally.latency),
            ("freshness", "in Redis", tally.freshness),
        ):
            if found := percentiles(recent.values()):
                figures = f"p50 {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms"
                console.print(f"{name:<14} {figures}, sent to {until}, {over}")
        return tally

    def _verb(self, verb: str, *flags: str, show: bool = False) -> None:
        """Run one command to its end, with its output in a log, or shown."""
        child = self._children.start(verb, weir(verb, *flags))
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


def weir(verb: str, *flags: str) -> list[str]:
    """Return the command line of one of our commands."""
    return [sys.executable, "-m", "weir", verb, *flags]


def flat(flags: dict[str, Any]) -> list[str]:
    """Return flags and their values as words of a command line."""
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
def step(title: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.monotonic()
    console.print(f"[bold]{title}[/bold]")
    yield
    console.print(f"  {time.monotonic() - started:.1f} s", style="dim")
