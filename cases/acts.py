"""Which people did what to the cases of a stream, in the order in which it was done."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Engine, select

from weir.cases.adding import FOLLOWER
from weir.cases.tables import ACTS, CASES
from weir.infra.database.engine import translated


class CaseAct(NamedTuple):
    """One act; its text stays with its case."""

    at_ms: int
    by: str
    act: str
    case_id: str


def list_acts(engine: Engine, stream: str, since_ms: int) -> list[CaseAct]:
    """Return what was done to the cases of a stream from a time on.

    Raises:
        Transient: the database is unreachable.
    """
    found = (
        select(ACTS.c.at_ms, ACTS.c.by, ACTS.c.act, ACTS.c.case_id)
        .join(CASES, CASES.c.id == ACTS.c.case_id)
        .where((CASES.c.stream == stream) & (ACTS.c.at_ms >= since_ms) & (ACTS.c.by != FOLLOWER))
        .order_by(ACTS.c.at_ms, ACTS.c.id)
    )
    with translated(engine), engine.begin() as connection:
        return [CaseAct(*row) for row in connection.execute(found)]
