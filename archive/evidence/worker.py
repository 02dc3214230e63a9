"""Answers for past decisions on behalf of the API, in a child process: it reads the archive and loads models."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from weir.archive.child import Child
from weir.archive.evidence.case import NothingArchived, collect, describe
from weir.archive.run import find_root
from weir.infra.settings import load_settings
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream

WAITING_MAX: Final = 4
SECONDS_MAX: Final = 30.0
"""An answer takes less than one; a store far away may take longer."""


class EvidenceWorker:
    """The child, as its parent sees it; safe to use from several threads."""

    def __init__(self, seconds_max: float = SECONDS_MAX) -> None:
        """Start nothing yet."""
        self._child = Child("evidence", find_evidence, waiting_max=WAITING_MAX, seconds_max=seconds_max)

    def answer(self, stream: str, event_id: str) -> bytes | None:
        """Return the evidence on an event as JSON bytes, or ``None`` where nothing of it is archived.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: there is no archive, or one that this version cannot read.
            Transient: too many ask, or there was no answer in time.
        """
        return self._child.ask(stream, event_id)

    def close(self) -> None:
        """End the child."""
        self._child.close()


def find_evidence(stream: str, event_id: str) -> bytes | None:
    """Return the evidence on an event; called in the child."""
    settings = load_settings()
    settings, root = settings.of_stream(find_stream(Path.cwd(), stream)), find_root(settings)
    try:
        return to_json(describe(settings, root, collect(settings, root, event_id))).encode()
    except NothingArchived:
        return None
