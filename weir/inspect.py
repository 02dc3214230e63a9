"""``weir inspect``: what the system knows now, and with ``--at`` what it knew, which the archive has."""

from __future__ import annotations

from argparse import Namespace

from weir.inference.inspect import cli
from weir.infra.settings import Settings


def main(argv: list[str]) -> int:
    """Run ``weir inspect``; exit codes are those of what it calls."""
    return cli.main(argv, _walk)


def _walk(settings: Settings, arguments: Namespace) -> int:
    # an installation without the archive shows the present all the same
    from weir.archive.timeline.cli import run_walk  # noqa: PLC0415

    return run_walk(settings, arguments)
