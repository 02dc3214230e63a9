"""``weir serve``: the HTTP API, which answers for past decisions where the archive is installed."""

from __future__ import annotations

from importlib.util import find_spec

from weir.inference import cli
from weir.inference.api.ports import EvidenceSource


def main(argv: list[str]) -> int:
    """Run ``weir serve``; exit codes are those of what it calls."""
    return cli.main(argv, _open_evidence())


def _open_evidence() -> EvidenceSource | None:
    """Return what answers, or nothing in an installation without the archive, where there is no such path."""
    if find_spec("deltalake") is None:
        return None
    from weir.archive.evidence.worker import EvidenceWorker  # noqa: PLC0415

    return EvidenceWorker()
