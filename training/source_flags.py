"""The flags of commands that read labelled events; ``weir.training.cli.load_source`` reads them."""

from __future__ import annotations

import argparse
from pathlib import Path

from weir.infra.user_files.door import add_flags
from weir.schemas.durations import DAY_MS
from weir.training.split import MATURITY_MS


def add_source_flags(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Add the flags of labelled events, a file or topics; return the group of those of which one is given."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--history", type=Path, metavar="DIR", help="events and labels, as for publish; default <home>/history"
    )
    source.add_argument("--from-topics", action="store_true", help="read the features and labels topics to their end")
    parser.add_argument("--maturity-days", type=positive, default=MATURITY_MS // DAY_MS, help="default: %(default)s")
    parser.add_argument("--skip-bad", action="store_true", help="leave bad rows out instead of taking none")
    add_flags(parser)
    return source


def positive(text: str) -> int:
    """Read a whole number of 1 or more from a flag."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {value}")
    return value
