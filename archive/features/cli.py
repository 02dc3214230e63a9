"""``weir features``: all of its actions; those on files alone are ``streaming/features_cli.py``'s."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from weir.infra.arguments import add_stream_flag
from weir.streaming import features_cli

_WHICH: Final = "a stream's file, a project's folder, the name of a stream, or the hash of one that is declared here"


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 done, 1 the answer is no, 2 refused or misused."""
    parser, actions = features_cli.build_parser()
    _add_diff(actions)
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
    return features_cli.run


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
