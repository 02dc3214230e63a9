"""Past decisions as rows of a table and as cells of CSV. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weir.console import text
from weir.console.reasons import explain
from weir.inference.api.filters import filter_fields
from weir.schemas.stream import Stream

OUTCOMES = ("APPROVE", "REVIEW", "DECLINE")


@dataclass(frozen=True)
class Row:
    """A decision in a table.

    Attributes:
        entities: name and id of each entity that decisions are found by.
        amounts: in words.
        why: the titles of its reasons.
    """

    event_id: Any
    at_ms: int
    decision: str
    score: float | None
    by: str
    entities: list[tuple[str, Any]]
    amounts: list[str]
    why: str


def build_rows(decisions: Sequence[Mapping[str, Any]], stream: Stream) -> list[Row]:
    """Return decisions of the API as rows."""
    fields = filter_fields(stream)
    return [
        Row(
            event_id=each[stream.id],
            at_ms=each["decision_time_ms"],
            decision=each["decision"],
            score=each["score"],
            by=each["decided_by"],
            entities=[(name, each.get(field)) for name, field in fields.items()],
            amounts=[amount for _, amount in text.list_amounts(each, stream).values()],
            why="; ".join(explain(reason, stream).title for reason in each["reasons"]),
        )
        for each in decisions
    ]


def name_columns(stream: Stream) -> list[str]:
    """Return the first line of an export."""
    return ["decided_at", *stream.kept_in_decisions, *_PLAIN, "reasons", "tags"]


def list_cells(decision: Mapping[str, Any], stream: Stream) -> list[Any]:
    """Return a decision as a line of an export: texts as pages show them, numbers as they are."""
    at = datetime.fromtimestamp(decision["decision_time_ms"] / 1_000, UTC).isoformat(timespec="milliseconds")
    codes = " ".join(reason["code"] for reason in decision["reasons"])
    values = [decision.get(name) for name in (*stream.kept_in_decisions, *_PLAIN)]
    return [at, *map(_show, values), _show(codes), _show(" ".join(decision["tags"]))]


_PLAIN = ("decision", "score", "decided_by", "model_name", "model_version", "rules_version")


def _show(value: Any) -> Any:
    return text.show_text(value) if isinstance(value, str) else value
