"""One child process of the pipeline, with its steps reported and its orders to break carried out.

``python -m tests.faults.worker process|run|score|index|archive --instance N --kill-at STEP[:n] --stop-at STEP[:n]``
runs one by hand; the harness starts them from a fork server, which has everything imported, so that a start costs
milliseconds.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import weir.cli
import weir.inference.cli
import weir.inference.run
import weir.streaming.cli
import weir.streaming.state.catch_up
from tests.faults import mutants, quirks
from tests.faults.api_steps import report_api_steps
from tests.faults.load import ASKED
from tests.faults.orders import Orders
from tests.faults.patch import replace
from weir.inference.cli import run_index, run_scorer
from weir.inference.run import run_fused
from weir.infra.kafka.sink import Record, Rows, TransactionalOutput
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings, load_settings
from weir.monitoring.logs import configure
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.streaming.cli import run_processor
from weir.streaming.health.checks import LossHook, start_watch
from weir.streaming.next_view import build_next_view
from weir.streaming.service import Stopped

EXIT_REFUSED = 2
CATCH_UP_CHUNK_RECORDS = 200
"""So few that a rebuild of what a fault's load leaves has several chunks, and a kill finds one's write in flight."""


class Steps:
    """``on_step``: reports the step, then breaks this process where it was told to."""

    def __init__(self, orders: Orders) -> None:
        self._file = os.open(orders.step_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seen: Counter[str] = Counter()
        stops = [(_parse(step), signal.SIGSTOP) for step in orders.stop_at]
        self._breaks = [(_parse(orders.kill_at), signal.SIGKILL), *stops]
        self._kill_after_seconds = orders.kill_after_seconds

    def __call__(self, name: str) -> None:
        os.write(self._file, f"{name} {time.monotonic()}\n".encode())
        if not self._seen and self._kill_after_seconds is not None:
            threading.Timer(self._kill_after_seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        self._seen[name] += 1
        for where, number in self._breaks:
            if where == (name, self._seen[name]):
                # to this very thread: sent to the process, another one may take it while this one takes its next step
                signal.pthread_kill(threading.get_ident(), number)


def run(orders: Orders) -> None:
    """Be that worker until SIGTERM; ends the process."""
    _redirect(orders.log)
    random.seed()  # forked: the back-off must not be everybody's
    steps = Steps(orders)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # asked for when a run gets stuck: where every thread is goes to the log
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    _report_inner_steps(steps)
    replace(weir.streaming.state.catch_up, CHUNK_RECORDS=CATCH_UP_CHUNK_RECORDS)
    for name in orders.quirks:
        quirks.QUIRKS[name](steps)
    if orders.mutant:
        mutants.MUTANTS[orders.mutant].switch_off()
    sys.exit(_run_role(orders, steps, stop))


def _run_role(orders: Orders, steps: Callable[[str], None], stop: threading.Event) -> int:
    if orders.role == "weir":
        if orders.arguments[:1] == ("serve",):
            report_api_steps(steps)
        os.environ.update(orders.environment)
        replace(weir.streaming.cli, run_processor=partial(run_processor, on_step=steps))
        replace(weir.inference.cli, run_scorer=partial(run_scorer, on_step=steps))
        replace(weir.inference.run, run_fused=partial(run_fused, on_step=steps))
        return weir.cli.main(list(orders.arguments))
    configure("info", "json", f"{orders.role}-{orders.instance}")
    settings = load_settings(orders.environment)
    try:
        if own := {"process": _process, "archive": _archive, "cases": _follow_cases}.get(orders.role):
            own(settings, orders, steps, stop)
        elif orders.role == "run":
            run_fused(settings, instance=orders.instance, should_stop=stop.is_set, on_step=steps)
        elif orders.role == "cut-over":
            build_next_view(settings, should_stop=stop.is_set, tell=print, on_step=steps)
        elif orders.role == "score":
            run_scorer(settings, instance=orders.instance, should_stop=stop.is_set, with_index=True, on_step=steps)
        else:
            run_index(settings, instance=orders.instance, should_stop=stop.is_set)
    except Refused as error:
        sys.stderr.write(f"refused: {error}\n")
        return EXIT_REFUSED
    except Stopped:
        pass  # told to end while it waited for a server
    return 0


def _process(settings: Settings, orders: Orders, steps: Callable[[str], None], stop: threading.Event) -> None:
    hook = LossHook()
    watch = start_watch(settings, stages=("process",), on_loss=hook) if "watch" in orders.quirks else None
    try:
        run_processor(settings, instance=orders.instance, should_stop=stop.is_set, on_loss=hook, on_step=steps)
    finally:
        if watch is not None:
            watch.close()


def _archive(settings: Settings, orders: Orders, steps: Callable[[str], None], stop: threading.Event) -> None:
    # late: the fork server must not have a library with threads of its own
    from weir.archive.run import Task, find_root, run_archiver  # noqa: PLC0415

    del orders
    run_archiver(settings, Task([payments], find_root(settings)), should_stop=stop.is_set, on_step=steps)


def _follow_cases(settings: Settings, orders: Orders, steps: Callable[[str], None], stop: threading.Event) -> None:
    # late: it is the only role that needs a database
    from weir.cases.follow import run_cases  # noqa: PLC0415

    run_cases(settings, instance=orders.instance, since_ms=0, should_stop=stop.is_set, on_step=steps)


def _report_inner_steps(steps: Callable[[str], None]) -> None:
    """Add to the processor's steps those within one.

    ``reading`` (payments' partials, from Redis), ``applying`` and ``apply_answered``.
    """
    _report_output_steps(steps)
    load, apply = StateView.load_checked, StateView.apply

    def load_after_step(
        view: StateView, wanted: Iterable[tuple[Unit, Sequence[str]]], checked: Collection[Unit]
    ) -> dict[Unit, Loaded]:
        asked = list(wanted)
        if any(keys and unit.kind == "t" for unit, keys in asked):
            steps("reading")
        return load(view, asked, checked)

    def apply_between_steps(view: StateView, *arguments: Any, **named: Any) -> Any:
        steps("applying")
        answer = apply(view, *arguments, **named)
        steps("apply_answered")
        return answer

    replace(StateView, load_checked=load_after_step, apply=apply_between_steps)


def _report_output_steps(steps: Callable[[str], None]) -> None:
    """Add the steps of a transaction that is open and has its outputs.

    ``produced`` (they are with the broker), and then ``asked`` if they are about a payment that a client asks for.
    """
    send, end = TransactionalOutput.send, TransactionalOutput._commit
    produce_rows, produce = TransactionalOutput._produce_rows, TransactionalOutput._produce
    values: list[bytes | None] = []

    def begin(output: TransactionalOutput, *given: Any) -> None:
        values.clear()
        send(output, *given)

    def note_rows(output: TransactionalOutput, rows: Rows) -> None:
        values.extend(rows.values)
        produce_rows(output, rows)

    def note_record(output: TransactionalOutput, record: Record) -> None:
        values.append(record.value)
        produce(output, record)

    def end_after_steps(output: TransactionalOutput) -> None:
        if values:
            output._producer.flush(10)
            steps("produced")
        if any(ASKED.encode() in (value or b"") for value in values):
            steps("asked")
        end(output)

    replace(TransactionalOutput, send=begin, _commit=end_after_steps, _produce_rows=note_rows, _produce=note_record)


def _parse(where: str) -> tuple[str, int] | None:
    if not where:
        return None
    name, _, number = where.partition(":")
    return name, int(number or 1)


def _redirect(log: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(target, 1)
    os.dup2(target, 2)


def main() -> None:
    """Run a worker by hand, with the settings of this environment."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.worker", description=__doc__)
    parser.add_argument("role", choices=["process", "run", "score", "index", "archive"])
    parser.add_argument("--instance", type=int, default=0)
    parser.add_argument("--kill-at", default="", metavar="STEP[:n]")
    parser.add_argument("--stop-at", nargs="*", default=[], metavar="STEP[:n]")
    parser.add_argument("--mutant", default="", choices=["", *mutants.MUTANTS])
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="weir-worker-"))
    environment = {name: value for name, value in os.environ.items() if name.startswith("WEIR_")}
    run(
        Orders(
            role=given.role,
            environment=environment,
            step_log=str(folder / "steps"),
            log="/dev/stderr",
            instance=given.instance,
            kill_at=given.kill_at,
            stop_at=tuple(given.stop_at),
            mutant=given.mutant,
        )
    )


if __name__ == "__main__":
    main()
