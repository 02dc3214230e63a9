"""The rules of a stream, ready to be matched: those that its declaration has, or those of a rules file."""

from __future__ import annotations

from weir.inference.core.rules import RuleSet, build_rule_set
from weir.schemas.checks.expression_types import Column
from weir.schemas.checks.fields import read_schema
from weir.schemas.checks.rules import find_rule_faults, rule_columns
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import Refused
from weir.schemas.rules_file import parse_rules
from weir.schemas.stream import Stream


def rules_of(stream: Stream) -> RuleSet:
    """Return the rules that a stream declares.

    Raises:
        Refused: one has a fault; the checks of declarations find it before.
    """
    fields = read_schema(event_schemas(stream)[-1]) or {}
    faults = list(find_rule_faults(stream, fields))
    if faults:
        raise Refused("\n".join(map(str, faults)))
    return build_rule_set(stream.rules, rule_columns(stream, fields))


def read_rules(text: str, stream: Stream, file: str) -> RuleSet:
    """Return the rules of a rules file.

    Args:
        text: of the file.
        stream: whose rules they are.
        file: what messages call it.

    Raises:
        Refused: with a line for every fault, each with file, line and column.
    """
    columns = columns_of_rules(stream)
    rules, faults = parse_rules(text, columns, file)
    if faults:
        raise Refused("\n".join(map(str, faults)))
    return build_rule_set(rules, columns)


def columns_of_rules(stream: Stream) -> dict[str, Column]:
    """Return what the rules of a stream can read, by the newest schema of its events."""
    return rule_columns(stream, read_schema(event_schemas(stream)[-1]) or {})
