"""Opens the cases of a stream for the API."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from weir.inference.api.ports import EvidenceSource
from weir.infra.settings import Settings

if TYPE_CHECKING:
    from weir.cases.desk import Desk

MINUTE_MS = 60_000


def build_desk(
    settings: Settings, read_decision: Callable[[str], bytes | None], evidence: EvidenceSource | None
) -> Desk | None:
    """Return the cases of a stream, or nothing in an installation without the database's packages.

    Args:
        settings: of the stream.
        read_decision: looks a decision up by the event's id.
        evidence: answers for decisions that are there no more.
    """
    if find_spec("sqlalchemy") is None:
        return None
    from weir.cases.desk import Desk  # noqa: PLC0415
    from weir.cases.finding import build_finder  # noqa: PLC0415
    from weir.infra.database.engine import open_database  # noqa: PLC0415

    archived = None if evidence is None else partial(evidence.answer, settings.stream.name)
    return Desk(
        partial(open_database, settings),
        settings.stream,
        lambda: int(time.time() * 1_000),
        find=build_finder(settings, read_decision, archived).find,
        burst_ms=settings.scorer.case_burst_minutes * MINUTE_MS,
    )
