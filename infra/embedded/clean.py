"""``weir clean``: frees what can be freed without loss, or with ``--data`` deletes the home's data; a plan first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from weir.infra.embedded.leftover import demo_runs, end_left_over
from weir.infra.embedded.space import Part, data_parts, delete, freeable, measure, show_bytes
from weir.infra.embedded.stack import Stack
from weir.schemas.errors import Refused


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.description = "Show what takes the space; with --apply free what can be freed without loss."
    parser.add_argument(
        "--data", action="store_true", help="stop the servers and delete their data, models and history too"
    )
    parser.add_argument("--apply", action="store_true", help="do it; without this flag nothing is changed")


def run(home: Path, options: argparse.Namespace) -> int:
    """Show the plan, and follow it where that was asked for. Exit code 0.

    Raises:
        Refused: a demo runs on the data that is to be deleted.
    """
    everything = measure(home)
    doomed = data_parts(home) if options.data else freeable(everything)
    shown = [*everything, *(part for part in doomed if part.name == "state")]
    sys.stdout.writelines(_line(part, doomed=part.name in {each.name for each in doomed}) for part in shown)
    total = show_bytes(sum(part.size for part in doomed))
    if not any(part.paths for part in doomed):
        sys.stdout.write("nothing can be deleted without loss\n" if not options.data else "there is no data\n")
        return 0
    if not options.apply:
        kind = "this data, for good" if options.data else "what is marked, which nobody needs"
        command = "`weir clean --data --apply`" if options.data else "`weir clean --apply`"
        sys.stdout.write(f"{command} deletes {kind}: {total}; nothing was changed\n")
        return 0
    if options.data:
        _stop(home)
        doomed = data_parts(home)  # and now the logs of what was stopped
    delete(doomed)
    _remove_if_empty(home)
    sys.stdout.write(f"deleted {total}\n")
    return 0


def _line(part: Part, *, doomed: bool) -> str:
    mark = "delete" if doomed else "keep"
    loss = f"; loses {part.loss}" if part.loss else ""
    return f"{mark:<7} {show_bytes(part.size):>10}  {part.name:<24} {part.what}{loss}\n"


def _stop(home: Path) -> None:
    if demo_runs(home):
        raise Refused(f"a demo runs in {home}; end it with Ctrl-C in its terminal, then run this again")
    if home.is_dir():
        end_left_over(home)
        Stack(home).stop()


def _remove_if_empty(home: Path) -> None:
    if home.is_dir() and not any(home.iterdir()):
        home.rmdir()
