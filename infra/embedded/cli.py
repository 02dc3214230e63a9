"""``weir up``, ``down``, ``status``, ``logs``, ``doctor`` and ``clean``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from weir.infra.arguments import Parser
from weir.infra.embedded import clean, doctor
from weir.infra.embedded.artifacts import Progress
from weir.infra.embedded.leftover import demo_runs, end_left_over, find_left_over
from weir.infra.embedded.stack import ALL_NAMES, DEMO_MARKER, MLFLOW, NAMES, ServerStatus, Stack
from weir.infra.home import check_home
from weir.infra.settings import home_dir


def main(argv: list[str]) -> int:
    """Run the verb in ``argv[0]``."""
    verb, rest = argv[0], argv[1:]
    parser = Parser(prog=f"weir {verb}")
    _ARGUMENTS[verb](parser)
    return _RUN[verb](parser.parse_args(rest))


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    with _download_bar() as progress:
        stack = Stack(_home(options), progress=progress, tell=_tell)
        names = (*NAMES, *options.extra)
        for name in options.extra:
            stack.ensure_port(name)
        if options.other_ports:
            _tell(f"other ports for: {', '.join(stack.move_ports(names)) or 'none, since none is taken'}")
        stack.start(names)
    if demo_runs(stack.home):
        _tell("these are the servers of a demo that runs now, and they end with it")
    else:
        # a user who starts the servers by hand keeps their data: the next demo will not wipe it
        (stack.home / DEMO_MARKER).unlink(missing_ok=True)
        if left := find_left_over(stack.home):
            _tell(f"a demo that was killed left running: {', '.join(left)}; `weir down` ends them with the servers")
    _show(stack.status(), as_json=options.json)
    if MLFLOW in options.extra:
        _tell(
            f"MLflow's page: http://127.0.0.1:{stack.ports[MLFLOW]}; it asks for no password, so it is on the loopback"
        )
    sys.stderr.write(f"up after {time.monotonic() - began:.1f} s; `weir down` stops it\n")
    return 0


@contextmanager
def _download_bar() -> Iterator[Progress]:
    """Show a bar on a terminal, and some lines elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, of: _tell(f"fetched {done} of {of} files") if done in {of, of // 2} else None
        return
    columns = (TextColumn("fetching {task.description}, at the first start only"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("the servers", visible=False)
        yield lambda done, of: bar.update(task, completed=done, total=of, visible=True)


def _down(options: argparse.Namespace) -> int:
    home = _home(options)
    if not home.is_dir():
        sys.stderr.write("nothing to stop: there is no home folder\n")
        return 0
    if demo_runs(home):
        sys.stderr.write("a demo runs on these servers and ends without them\n")
    elif left := end_left_over(home):
        sys.stderr.write(f"ended what a demo that was killed had left running: {', '.join(left)}\n")
    stopped = Stack(home, tell=_tell).stop()
    sys.stderr.write(f"stopped: {', '.join(stopped) or 'nothing was running'}\n")
    return 0


def _status(options: argparse.Namespace) -> int:
    if not _home(options).is_dir():
        sys.stderr.write("there is no stack yet; `weir up` starts one\n")
        return 1
    statuses = Stack(_home(options)).status()
    _show(statuses, as_json=options.json)
    return 0 if all(status.ready for status in statuses) else 1


def _logs(options: argparse.Namespace) -> int:
    if not _home(options).is_dir():
        sys.stderr.write("there is no stack yet; `weir up` starts one\n")
        return 1
    process = Stack(_home(options)).processes[options.name]
    sys.stdout.write(process.log_tail(options.lines) + "\n")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    return doctor.run(_home(options), as_json=options.json)


def _clean(options: argparse.Namespace) -> int:
    return clean.run(_home(options).absolute(), options)


def _show(statuses: list[ServerStatus], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([vars(status) for status in statuses]) + "\n")
        return
    for status in statuses:
        state = "ready" if status.ready else "starting or hanging" if status.pid else "down"
        pid = f"pid {status.pid}" if status.pid else ""
        sys.stdout.write(f"{status.name:<9} {status.address:<16} {state:<7} {pid}".rstrip() + "\n")


def _home(options: argparse.Namespace) -> Path:
    home = Path(options.home) if options.home else home_dir()
    check_home(home)
    return home


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", help="folder of the servers' data (default: WEIR_HOME, else .weir)")


def _add_home_and_json(parser: argparse.ArgumentParser) -> None:
    _add_home(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_logs(parser: argparse.ArgumentParser) -> None:
    _add_home(parser)
    parser.add_argument("name", choices=ALL_NAMES)
    parser.add_argument("--lines", type=int, default=50, help="how many of the last lines (default 50)")


def _add_up(parser: argparse.ArgumentParser) -> None:
    _add_home_and_json(parser)
    parser.add_argument(
        "--other-ports", action="store_true", help="choose other ports for servers whose ports are taken"
    )
    text = "another server next to the three: MLflow's page, of runs and models"
    parser.add_argument("--with", dest="extra", choices=[MLFLOW], action="append", default=[], help=text)


def _add_clean(parser: argparse.ArgumentParser) -> None:
    _add_home(parser)
    clean.add_arguments(parser)


_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "up": _add_up,
    "down": _add_home,
    "status": _add_home_and_json,
    "logs": _add_logs,
    "doctor": _add_home_and_json,
    "clean": _add_clean,
}
_RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "logs": _logs,
    "doctor": _doctor,
    "clean": _clean,
}
