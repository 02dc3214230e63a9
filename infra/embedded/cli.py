"""``weir up``, ``down``, ``status``, ``logs`` and ``doctor``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from infra.arguments import Parser
from infra.embedded import doctor
from infra.embedded.stack import DEMO_MARKER, NAMES, ServerStatus, Stack
from infra.settings import home_dir


def main(argv: list[str]) -> int:
    """Run the verb in ``argv[0]``."""
    verb, rest = argv[0], argv[1:]
    parser = Parser(prog=f"weir {verb}")
    _ARGUMENTS[verb](parser)
    return _RUN[verb](parser.parse_args(rest))


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    columns = (TextColumn("fetching {task.description}, at the first start only"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("the servers", visible=False)
        stack = Stack(
            _home(options), progress=lambda done, of: bar.update(task, completed=done, total=of, visible=True)
        )
        stack.start()
    # whoever starts the servers by hand keeps their data: the next demo will not wipe it
    (stack.home / DEMO_MARKER).unlink(missing_ok=True)
    _show(stack.status(), as_json=options.json)
    sys.stderr.write(f"up after {time.monotonic() - began:.1f} s; `weir down` stops it\n")
    return 0


def _down(options: argparse.Namespace) -> int:
    if not _home(options).is_dir():
        sys.stderr.write("nothing to stop: there is no home folder\n")
        return 0
    stopped = Stack(_home(options)).stop()
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
    process = Stack(_home(options)).processes[options.name]
    sys.stdout.write(process.log_tail(options.lines) + "\n")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    return doctor.run(_home(options), as_json=options.json)


def _show(statuses: list[ServerStatus], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([vars(status) for status in statuses]) + "\n")
        return
    for status in statuses:
        state = "ready" if status.ready else "starting or hanging" if status.pid else "down"
        pid = f"pid {status.pid}" if status.pid else ""
        sys.stdout.write(f"{status.name:<9} {status.address:<16} {state:<7} {pid}".rstrip() + "\n")


def _home(options: argparse.Namespace) -> Path:
    return Path(options.home) if options.home else home_dir()


def _add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", help="folder of the servers' data (default: WEIR_HOME, else .weir)")


def _add_home_and_json(parser: argparse.ArgumentParser) -> None:
    _add_home(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_logs(parser: argparse.ArgumentParser) -> None:
    _add_home(parser)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--lines", type=int, default=50, help="how many of the last lines (default 50)")


_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "up": _add_home_and_json,
    "down": _add_home,
    "status": _add_home_and_json,
    "logs": _add_logs,
    "doctor": _add_home_and_json,
}
_RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "logs": _logs,
    "doctor": _doctor,
}
