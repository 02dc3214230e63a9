"""Every fault of the groups that a stream declares: what tells them, and that no model is given it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from weir.schemas.checks.expression_types import Column
from weir.schemas.checks.rules import find_faults_of, rule_columns
from weir.schemas.expression import Expression, col, columns_of, to_data
from weir.schemas.expression_parser import parse_expression
from weir.schemas.origin import Finding
from weir.schemas.rules import REVIEW, SCORE, Rule
from weir.schemas.stream import Stream

GROUPS_MAX: Final = 16
"""Each is a column of text next to every row that is read for the gates."""


def is_field(stream: Stream, group: str) -> bool:
    """Return whether the values of a kept field tell the groups; else a condition does."""
    return group in stream.kept_in_rows


def build_condition(group: str) -> Rule:
    """Return the condition of a group as a rule: it means what it means in one.

    Raises:
        ValueError: it cannot be parsed; the checks of declarations find it before.
    """
    parsed = parse_expression(group)
    if parsed.expression is None or parsed.faults:
        raise ValueError("; ".join(fault.fault for fault in parsed.faults) or "expected a condition, found none")
    return Rule("group", REVIEW, parsed.expression, "tells groups apart")


def find_group_faults(stream: Stream, fields: Mapping[str, Column]) -> Iterator[Finding]:
    """Yield every fault of the groups that a stream declares."""
    if len(stream.groups) > GROUPS_MAX:
        yield Finding(stream.where, "groups", f"expected at most {GROUPS_MAX}, found {len(stream.groups)}")
    columns = rule_columns(stream, fields)
    for group in stream.groups:
        faults = (
            _find_field_faults(stream, group) if is_field(stream, group) else _find_condition_faults(group, columns)
        )
        for fault in faults:
            yield Finding(stream.where, f"group {group:.80}", fault)


def _find_field_faults(stream: Stream, group: str) -> Iterator[str]:
    if group in stream.id_fields:
        yield "expected a field with few values, found one that holds ids"
    raw = to_data(col(group))
    given = [each.name for each in stream.values if isinstance(each.value, Expression) and to_data(each.value) == raw]
    if given:
        yield f"expected a field that no model is given, found the value {given[0]} of it"


def _find_condition_faults(group: str, columns: Mapping[str, Column]) -> Iterator[str]:
    try:
        condition = build_condition(group)
    except ValueError as error:
        yield f"expected a kept field or a condition, found: {error}"
        return
    if SCORE in columns_of(condition.when):
        yield "expected a condition that a model has no say in, found one on its score"
        return
    yield from (fault.fault for fault in find_faults_of([condition], columns))
