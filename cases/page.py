"""Cases as documents for machines, and as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from weir.cases.case import Case
from weir.cases.desk import File
from weir.cases.links import Link
from weir.cases.queue import Page
from weir.cases.tables import as_row
from weir.monitoring.logs import mask_card_numbers
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.currencies import BASE_CURRENCY, format_amount
from weir.schemas.expression import find_money
from weir.schemas.rules import ALERT_TAG
from weir.schemas.stream import Stream


def build_case(case: Case) -> dict[str, Any]:
    """Return a case as JSON."""
    return as_row(case)


def build_file(file: File) -> dict[str, Any]:
    """Return a case with all that is known of it as JSON."""
    return {
        **build_case(file.case),
        "decisions": [dict(decision) for decision in file.decisions],
        "unlabelled": file.unlabelled,
        "acts": [vars(act) for act in file.acts],
        "related": [build_link(link) for link in file.links],
    }


def build_link(link: Link) -> dict[str, Any]:
    """Return a link as JSON."""
    return {
        "id": link.event_id,
        "at_ms": link.at_ms,
        "by": link.by,
        "reason": link.reason,
        "case_id": link.case_id,
        "decision": dict(link.decision),
    }


def print_cases(page: Page, stream: Stream) -> None:
    """Write a page of the queue."""
    if not page.cases:
        print_line("no case; `weir cases follow` opens one for each decision for review or with an alert")
        return
    columns = ("id", stream.key.name, "expected loss", "events", "opened", "state", "holder", "verdict")
    rows = [
        (
            case.id,
            mask_card_numbers(case.key),
            _format_loss(case.expected_loss, stream),
            case.events,
            _format_time(case.opened_ms),
            case.state,
            case.holder,
            case.verdict,
        )
        for case in page.cases
    ]
    print_tables([build_table(columns, rows, box=False)])
    if page.cursor:
        print_line(f"more: --after {page.cursor}")


def print_file(file: File, stream: Stream) -> None:
    """Write a case, its decisions and its history."""
    case = file.case
    facts = [
        ("state", f"{case.state}, held by {case.holder}" if case.holder and not case.verdict else case.state),
        (stream.key.name, mask_card_numbers(case.key)),
        ("expected loss", _format_loss(case.expected_loss, stream)),
        ("opened", _format_time(case.opened_ms)),
    ]
    if case.verdict:
        facts.append(("verdict", f"{case.verdict}, version {case.version}, by {case.holder}: {case.reason}"))
    tables = [
        build_table((f"case {case.id}", ""), facts, box=False),
        build_table((stream.event, "at", "score", "decided by", "reasons"), _list_decisions(file, stream), box=False),
    ]
    if file.links:
        columns = ("linked", "at", "decision", "score", "in case", "who", "why")
        tables.append(build_table(columns, [_describe_link(link, stream) for link in file.links], box=False))
    acts = [(_format_time(act.at_ms), act.by, act.act, act.text) for act in file.acts]
    print_tables([*tables, build_table(("at", "who", "what", "text"), acts, box=False)])
    if stream.labels and file.unlabelled:
        print_line(f"a verdict makes no label of {len(file.unlabelled)} of these: the event could not be read")


def _list_decisions(file: File, stream: Stream) -> list[tuple[Any, ...]]:
    return [_describe(decision, stream) for decision in file.decisions]


def _describe_link(link: Link, stream: Stream) -> tuple[Any, ...]:
    decision = link.decision
    said = (decision["decision"], _format_score(decision["score"]), link.case_id or "-", link.by, link.reason)
    return (mask_card_numbers(link.event_id), _format_time(decision[stream.time]), *said)


def _describe(decision: Mapping[str, Any], stream: Stream) -> tuple[Any, ...]:
    return (
        mask_card_numbers(decision[stream.id]),
        _format_time(decision[stream.time]),
        _format_score(decision["score"]),
        decision["decided_by"],
        "; ".join([f"{reason['code']}: {reason['detail']}" for reason in decision["reasons"]] + _list_alerts(decision)),
    )


def _list_alerts(decision: Mapping[str, Any]) -> list[str]:
    return [word for word in decision.get("tags") or () if word.startswith(ALERT_TAG)]


def _format_score(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def _format_loss(loss: float, stream: Stream) -> str:
    """Return an expected loss as money, or without any as a number of events."""
    of_money = any(find_money(measure.value) for measure in stream.measures)
    return format_amount(loss, BASE_CURRENCY) if of_money else f"{loss:.2f}"


def _format_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%MZ")
