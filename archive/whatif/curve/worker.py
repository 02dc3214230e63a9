"""Measures thresholds on behalf of the API, in a child process: what is asked of the past holds up no decision."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import orjson

from weir.archive.child import Child
from weir.archive.run import find_root
from weir.archive.table import find_table
from weir.archive.whatif.curve.measure import CurveReader, describe_curve
from weir.archive.whatif.past import Past
from weir.infra.settings import load_settings
from weir.schemas.project import find_stream

WAITING_MAX: Final = 4
SECONDS_MAX: Final = 8.0
"""Less than a client waits as a rule, and more than the reading may take."""


class CurveWorker:
    """The child, as its parent sees it; safe to use from several threads."""

    def __init__(self, *, waiting_max: int = WAITING_MAX, seconds_max: float = SECONDS_MAX) -> None:
        """Start nothing yet."""
        self._child = Child("thresholds", answer, waiting_max=waiting_max, seconds_max=seconds_max)

    def measure(self, stream: str, name: str, version: str, thresholds: tuple[float, ...], days: int) -> bytes | None:
        """Return what the thresholds of a model of a stream with labels do, as JSON; ``None`` without an archive.

        Raises:
            Damaged: what is archived cannot be read.
            Refused: the archive is one that this version cannot read.
            Transient: too many ask, which its cause ``busy`` says, or there was no answer in time.
        """
        return self._child.ask(stream, name, version, thresholds, days)

    def close(self) -> None:
        """End the child."""
        self._child.close()


def answer(stream: str, name: str, version: str, thresholds: tuple[float, ...], days: int) -> bytes | None:
    """Return what the thresholds of a model do; called in the child."""
    settings = load_settings()
    settings, root = settings.of_stream(find_stream(Path.cwd(), stream)), find_root(settings)
    topics = settings.topics.of(settings.stream)
    if any(find_table(root.below(topic)) is None for topic in (topics.decisions, topics.features)):
        return None
    reader = CurveReader(Past(root, settings.stream, topics), time.monotonic)
    found = reader.measure(name, version, thresholds, days)
    return orjson.dumps(describe_curve(found, has_money=reader.has_money))  # a share of nothing is null
