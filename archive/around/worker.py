"""Answers on behalf of the API for what is around an event, in a child process: it reads many rows of the archive."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, Literal

import orjson

from weir.archive.around.links import find_links
from weir.archive.around.normal import find_normal
from weir.archive.around.rows import open_features
from weir.archive.child import Child
from weir.archive.run import find_root
from weir.archive.search.opened import NoTable
from weir.infra.settings import load_settings
from weir.schemas.project import find_stream

WAITING_MAX: Final = 4
SECONDS_MAX: Final = 8.0
"""Less than a client waits as a rule."""
NOT_ARCHIVED: Final = b""
"""The answer where there is an archive, and nothing of the event in it."""


class AroundWorker:
    """The child, as its parent sees it; safe to use from several threads."""

    def __init__(self, seconds_max: float = SECONDS_MAX) -> None:
        """Start nothing yet."""
        self._child = Child("around", answer, waiting_max=WAITING_MAX, seconds_max=seconds_max)

    def find_links(self, stream: str, event_id: str) -> bytes | None:
        """Return the other keys of an event's ids as JSON bytes, nothing in them where the event is not archived.

        Returns:
            ``None`` where no feature row is archived at all.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: the archive is one that this version cannot read.
            Transient: too many ask, which its cause ``busy`` says, or there was no answer in time.
        """
        return self._child.ask(stream, event_id, "links")

    def find_normal(self, stream: str, event_id: str) -> bytes | None:
        """Return the windows of an event's key against its earlier ones as JSON bytes; as ``find_links``."""
        return self._child.ask(stream, event_id, "normal")

    def close(self) -> None:
        """End the child."""
        self._child.close()


def answer(stream: str, event_id: str, asked: Literal["links", "normal"]) -> bytes | None:
    """Return what is around an event; called in the child."""
    settings = load_settings()
    settings, root = settings.of_stream(find_stream(Path.cwd(), stream)), find_root(settings)
    try:
        table = open_features(settings, root)
    except NoTable:
        return None
    row = table.find(event_id)
    if row is None or row.get(table.columns[table.stream.key.field]) is None:
        return NOT_ARCHIVED
    if asked == "normal":
        return orjson.dumps(find_normal(table, row))
    return orjson.dumps(find_links(table, row, settings.placeholders, time.monotonic))
