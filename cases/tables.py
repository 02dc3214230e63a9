"""The tables of cases, and how their rows become values."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from weir.cases.case import Case, State, Verdict

TABLES = MetaData()
_ESCAPED = re.compile(r"\\(.)")


class IdText(TypeDecorator[str]):
    """An id of a stream: any text. PostgreSQL keeps no NUL, which is written as a backslash and a zero here."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is kept."""
        del dialect
        return None if value is None else value.replace("\\", "\\\\").replace("\0", "\\0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what was given."""
        del dialect
        return None if value is None else _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else "\\", value)


CASES = Table(
    "cases",
    TABLES,
    Column("id", String(16), primary_key=True),
    Column("stream", Text, nullable=False),
    Column("key", IdText, nullable=False),
    Column("state", String(16), nullable=False),
    Column("holder", String(200)),
    Column("opened_ms", BigInteger, nullable=False),
    Column("newest_ms", BigInteger, nullable=False),
    Column("expected_loss", Double, nullable=False),
    Column("events", Integer, nullable=False),
    Column("verdict", String(16)),
    Column("reason", Text),
    Column("version", Integer, nullable=False),
    Column("verdict_ms", BigInteger),
    Column("closed_ms", BigInteger),
    Index("cases_queue", "stream", "state", "expected_loss", "id"),
    Index("cases_key", "stream", "key"),
    Index("cases_closed", "stream", "closed_ms"),
)
EVENTS = Table(
    "case_events",
    TABLES,
    Column("stream", Text, primary_key=True),
    Column("key", IdText, primary_key=True),
    Column("event_id", IdText, primary_key=True),
    Column("case_id", String(16), ForeignKey("cases.id"), nullable=False),
    Column("event_ms", BigInteger, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("expected_loss", Double, nullable=False),
    Column("decision", Text, nullable=False),
    Column("label", Text),
    Index("case_events_case", "case_id"),
    Index("case_events_event", "stream", "event_id"),
)
LINKS = Table(
    "case_links",
    TABLES,
    Column("case_id", String(16), ForeignKey("cases.id"), primary_key=True),
    Column("key", IdText, primary_key=True),
    Column("event_id", IdText, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("removed_ms", BigInteger),
    Index("case_links_key", "key"),
)
ACTS = Table(
    "case_acts",
    TABLES,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("case_id", String(16), ForeignKey("cases.id"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("act", String(16), nullable=False),
    Column("text", Text),
    Index("case_acts_case", "case_id"),
)
POSITIONS = Table(
    "case_positions",
    TABLES,
    Column("topic_id", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
OUTBOX = Table(
    "label_outbox",
    TABLES,
    Column("stream", Text, primary_key=True),
    Column("key", IdText, primary_key=True),
    Column("event_id", IdText, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("sent_ms", BigInteger),
    Index("label_outbox_unsent", "stream", "sent_ms", "made_ms"),
)


def as_case(row: Any) -> Case:
    """Return the case of a row."""
    verdict = None if row["verdict"] is None else Verdict(row["verdict"])
    return Case(**{**row, "state": State(row["state"]), "verdict": verdict})


def as_row(case: Case) -> dict[str, Any]:
    """Return the columns of a case."""
    return {**vars(case), "state": str(case.state), "verdict": None if case.verdict is None else str(case.verdict)}
