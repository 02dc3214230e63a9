"""``weir inspect``: what the system knows now, and with ``--at`` what it knew, which the archive has."""

from __future__ import annotations

from argparse import Namespace
from importlib.util import find_spec

from weir.inference.inspect import cli
from weir.infra.settings import Settings


def main(argv: list[str]) -> int:
    """Run ``weir inspect``; exit codes are those of what it calls."""
    # an installation without the archive's packages shows the present all the same
    return cli.main(argv, _walk) if find_spec("deltalake") else cli.main(argv)


def _walk(settings: Settings, arguments: Namespace) -> int:
    from weir.archive.timeline.cli import run_walk  # noqa: PLC0415  (the present needs none of it)

    return run_walk(settings, arguments)
