"""``weir serve``: the HTTP API, which answers for the past and tries changes on it where there is an archive."""

from __future__ import annotations

from importlib.util import find_spec

from weir.inference import cli
from weir.inference.api.ports import ArchiveSources
from weir.inference.published.gate import TryText


def main(argv: list[str]) -> int:
    """Run ``weir serve``; exit codes are those of what it calls."""
    return cli.main(argv, *_open_past())


def _open_past() -> tuple[ArchiveSources | None, TryText | None]:
    """Return what answers and what tries, or nothing in an installation without the archive: no such paths then."""
    if find_spec("deltalake") is None:
        return None, None
    from weir.archive.around.worker import AroundWorker  # noqa: PLC0415
    from weir.archive.evidence.worker import EvidenceWorker  # noqa: PLC0415
    from weir.archive.search.worker import SearchWorker  # noqa: PLC0415
    from weir.archive.whatif.curve.worker import CurveWorker  # noqa: PLC0415
    from weir.archive.whatif.worker import try_text  # noqa: PLC0415

    return ArchiveSources(EvidenceWorker(), SearchWorker(), CurveWorker(), AroundWorker()), try_text
