"""``weir cases``: cases of decisions, which an event may join that is known to the archive alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from weir.cases import cli


def main(argv: list[str]) -> int:
    """Run ``weir cases``; exit codes are those of what it calls."""
    return cli.main(argv, _open_past())


def _open_past() -> Callable[[str, str], bytes | None] | None:
    """Return what answers from the archive, or nothing in an installation without it."""
    return _find_evidence if find_spec("deltalake") else None


def _find_evidence(stream: str, event_id: str) -> bytes | None:
    from weir.archive.evidence.worker import find_evidence  # noqa: PLC0415  (most commands need none of it)

    return find_evidence(stream, event_id)
