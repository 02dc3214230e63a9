"""``weir features``: all of its actions; those on files alone are ``streaming/features_cli.py``'s."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from weir.infra.arguments import add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.monitoring.logs import configure
from weir.monitoring.terminal import print_line
from weir.schemas.project import find_stream
from weir.streaming import features_cli

_HASH: Final = re.compile(r"[0-9a-f]{16}")
_WHICH: Final = "a stream's file, a project's folder, the name of a stream, or the hash of one that is declared here"


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 done, 1 the answer is no, 2 refused or misused."""
    parser, actions = features_cli.build_parser()
    _add_actions(actions)
    arguments = parser.parse_args(argv[1:])
    if arguments.action == "backfill" and arguments.archive is None and arguments.stream:
        parser.error("expected --stream with --from: files are of the payments")
    return _find_action(arguments)(arguments)


def _find_action(arguments: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    """Return what does it; only what reads an archive loads what reads it."""
    if arguments.action == "diff":
        from weir.archive.features.diff import run_diff  # noqa: PLC0415

        return run_diff
    if arguments.action == "backfill" and arguments.archive is not None:
        from weir.archive.features.backfill import run_backfill  # noqa: PLC0415

        return run_backfill
    return {"cut-over": _cut_over, "drop": _drop}.get(arguments.action, features_cli.run)


def _cut_over(arguments: argparse.Namespace) -> int:
    from weir.archive.features.declarations import find_declared  # noqa: PLC0415
    from weir.streaming.compiling import compile_kernel, tell_on_stderr  # noqa: PLC0415
    from weir.streaming.kernels import kernel_of  # noqa: PLC0415
    from weir.streaming.next_view import build_next_view  # noqa: PLC0415
    from weir.streaming.service import run_service  # noqa: PLC0415

    settings = find_declared(arguments.new, arguments.stream).settings
    configure(settings.monitoring.log_level, settings.monitoring.log_format, "cut-over")
    compile_kernel(kernel_of(settings.stream), tell_on_stderr)
    ended: list[bool] = []
    build = partial(build_next_view, settings, tell=_tell, until_ready=arguments.until_ready)
    run_service(lambda should_stop: ended.append(build(should_stop=should_stop)))
    return 0 if ended[-1:] == [True] else 1


def _drop(arguments: argparse.Namespace) -> int:
    from weir.archive.features.declarations import find_declared  # noqa: PLC0415
    from weir.streaming.drop_view import drop_view  # noqa: PLC0415

    settings: Settings
    if _HASH.fullmatch(arguments.old):  # its declarations may be gone
        settings, declared = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream)), arguments.old
    else:
        found = find_declared(arguments.old, arguments.stream)
        settings, declared = found.settings, found.hash
    return 0 if drop_view(settings, declared, tell=_tell, apply=arguments.apply) else 1


def _tell(line: str) -> None:
    print_line(line)
    sys.stdout.flush()  # who waits for it may read a pipe


def _add_actions(actions: features_cli.Actions) -> None:
    _add_diff(actions)
    cut_over = actions.add_parser("cut-over", help="build the state of other declarations next to what runs")
    cut_over.add_argument("new", metavar="NEW", help=_WHICH)
    ready = "end as soon as processors can be replaced (default: once they are)"
    cut_over.add_argument("--until-ready", action="store_true", help=ready)
    drop = actions.add_parser("drop", help="delete the state of declarations that nothing decides by any more")
    drop.add_argument("old", metavar="OLD", help=f"{_WHICH}; or any other hash")
    drop.add_argument("--apply", action="store_true", help="do it; without it only what would go is shown")
    for each in (cut_over, drop):
        add_stream_flag(each)


def _add_diff(actions: features_cli.Actions) -> None:
    diff = actions.add_parser("diff", help="compare what two declarations make of the same events")
    diff.add_argument("old", metavar="OLD", help=_WHICH)
    diff.add_argument("new", metavar="NEW", help="likewise")
    events = "`archive` for the archive of the settings, `log` for what Kafka has, or another's folder or URL"
    diff.add_argument(
        "--from", dest="archive", default="archive", metavar="ARCHIVE", help=f"{events} (default: archive)"
    )
    diff.add_argument("--json", action="store_true", help="for machines")
    add_stream_flag(diff, names="which stream, where a file or a folder declares several", default="the only one")
