"""``weir rules``, ``weir lists`` and ``weir thresholds``, with a trial on the archive before anything is published.

Publishing knows nothing of an archive, and the image for serving has none: the command line brings the two together.
"""

from __future__ import annotations

import sys

from weir.inference.published import cli
from weir.inference.published.cli import Tried
from weir.inference.published.gate import Trial
from weir.infra.settings import Settings
from weir.monitoring.terminal import print_line


def main(argv: list[str]) -> int:
    """Run one of the three verbs."""
    return cli.main(argv, _try_first)


def _try_first(settings: Settings, kind: str, content: Tried, before: Tried | None, *, quiet: bool) -> Trial:
    try:
        from weir.archive.whatif.gate import try_first  # noqa: PLC0415  (an installation may have no archive)
    except ModuleNotFoundError as error:
        note = f"this installation has no {error.name}"
        print_line(f"not tried on the past before it is published: {note}", sys.stderr)
        return Trial(note)
    return try_first(settings, kind, content, before, quiet=quiet)
