"""Every fault of a stream's rules: what they read, what they do, and when."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, TEXT, Column, nearest, type_of
from weir.schemas.expression import LISTS, Expression, columns_of
from weir.schemas.origin import Finding, Origin
from weir.schemas.rules import MODES, OUTCOMES, SCORE, Example, Rule, parse_time_ms
from weir.schemas.stream import Stream

TAKEN: Final = frozenset({"model", "fallback", "rules", "let_through"})
"""What ``decided_by`` says where no rule decided."""
RULES_MAX: Final = 1_000
"""Each is a label of a metric, and a condition that every row is held against."""
NUMBER_MAX: Final = 3.4e38
"""Features are 32 bits wide: a larger number is none of theirs."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_READABLE: Final = "a feature, a kept field or score"


class RuleFault(NamedTuple):
    """What is wrong with one rule.

    Attributes:
        position: of the rule among all of them.
        part: the attribute that is at fault.
        fault: what was expected, what was found, and the nearest right thing.
        at: the node of the condition, or the example.
    """

    position: int
    part: str
    fault: str
    at: Expression | Example | None = None


def rule_columns(stream: Stream, fields: Mapping[str, Column]) -> dict[str, Column]:
    """Return what a rule can read: features, the score, and the fields of the event that feature rows carry.

    Args:
        stream: whose rules they are.
        fields: of the schema of its events.
    """
    entity_of = {field: entity for entity, field in stream.id_field_of.items()}
    absent = {name: replace(field, absent="which is not kept: add it to keep=") for name, field in fields.items()}
    kept = {
        name: replace(fields[name], nullable=True, entity=entity_of.get(name, ""))
        for name in (*stream.kept_in_rows, stream.time)
        if name in fields
    }
    return {**absent, **kept, **dict.fromkeys((*stream.feature_names, SCORE), Column(NUMBER, nullable=True))}


def find_rule_faults(stream: Stream, fields: Mapping[str, Column]) -> Iterator[Finding]:
    """Yield every fault of the rules that a stream declares."""
    for fault in find_faults_of(stream.rules, rule_columns(stream, fields)):
        rule = stream.rules[fault.position]
        where: Origin = fault.at.where if isinstance(fault.at, Example) else rule.where
        yield Finding(where, f"rule {rule.name}", fault.fault)


def find_faults_of(rules: Sequence[Rule], columns: Mapping[str, Column]) -> Iterator[RuleFault]:
    """Yield every fault of rules.

    Args:
        rules: whose attributes have the right types.
        columns: what they can read; see ``rule_columns``.
    """
    if len(rules) > RULES_MAX:
        yield RuleFault(RULES_MAX, "name", f"expected at most {RULES_MAX:,} rules of a stream, found {len(rules):,}")
        return
    yield from _find_shared_names(rules)
    for position, rule in enumerate(rules):
        for part, fault in (*_find_name_faults(rule), *_find_choice_faults(rule), *_find_time_faults(rule)):
            yield RuleFault(position, part, fault)
        for node, fault in _find_condition_faults(rule.when, columns):
            yield RuleFault(position, "when", fault, node)
        for example in rule.examples:
            for fault in _find_example_faults(example, columns):
                yield RuleFault(position, "examples", fault, example)


def _find_name_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    if not _NAME.fullmatch(rule.name):
        yield "name", f"expected a name of a-z, 0-9 and _, found {rule.name!r:.80}"
    if rule.name in TAKEN or rule.name.startswith(("allow_list", "block_list")):
        yield "name", f"expected a name that is not taken, found {rule.name!r}"
    if not _CODE.fullmatch(rule.code) and _NAME.fullmatch(rule.name):
        yield "code", f"expected a code of letters, digits and _, found {rule.code!r:.80}"


def _find_choice_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    for part, found, choices in (("then", rule.then, OUTCOMES), ("mode", rule.mode, MODES)):
        if found not in choices:
            yield part, f"expected one of {', '.join(choices)}, found {found!r:.80}{_did_you_mean(found, choices)}"


def _did_you_mean(found: str, choices: Sequence[str]) -> str:
    hint = nearest(found, choices)
    return hint if "did you mean" in hint else ""  # all of them are said already


def _find_time_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    wrong = [text for text in (rule.valid_from, rule.valid_to) if text and not _is_time(text)]
    for text in wrong:
        yield "valid", f"expected a time like 2026-01-31 or 2026-01-31T12:00:00Z, found {text!r:.80}"
    if not wrong and rule.valid_ms[0] >= rule.valid_ms[1]:
        yield "valid", f"expected an end after the start, found {rule.valid_from} to {rule.valid_to}"


def _is_time(text: str) -> bool:
    try:
        parse_time_ms(text)
    except (ValueError, OverflowError):
        return False
    return True


def _find_shared_names(rules: Sequence[Rule]) -> Iterator[RuleFault]:
    """A name may come again once it is not in force any more, and never twice at a time."""
    of_name: dict[str, list[tuple[int, Rule]]] = defaultdict(list)
    for position, rule in enumerate(rules):
        of_name[rule.name].append((position, rule))
    for named in of_name.values():
        timed = [(position, *rule.valid_ms) for position, rule in named if not list(_find_time_faults(rule))]
        for place, (position, least, most) in enumerate(timed):
            if any(least < end and start < most for _, start, end in timed[:place]):
                fault = f"expected one rule of the name {rules[position].name!r} at a time, found {len(named)}"
                yield RuleFault(position, "name", fault)


def _find_condition_faults(when: Any, columns: Mapping[str, Column]) -> Iterator[tuple[Expression | None, str]]:
    if not isinstance(when, Expression):
        yield None, f'expected an expression such as col("feature") >= 12, found {when!r:.80}'
        return
    typing = type_of(when, columns, _READABLE)
    yield from typing.found
    if not typing.found and typing.kind != BOOLEAN:
        yield when, f"expected a condition, found an expression of {typing.kind}"
    for node in _walk(when):
        if node.op == "lit" and isinstance(node.value, float) and NUMBER_MAX < abs(node.value) < float("inf"):
            yield node, f"expected a number of at most {NUMBER_MAX}, found {node.value!r}"


def _walk(node: Expression) -> Iterator[Expression]:
    yield node
    for part in node.parts:
        yield from _walk(part)


def _find_example_faults(example: Example, columns: Mapping[str, Column]) -> Iterator[str]:
    known = [name for name, column in columns.items() if column.kind and not column.absent]
    for name, value in example.values.items():
        if name not in known:
            yield f"expected {_READABLE}, found {name!r}{nearest(name, known)}"
        elif value is not None and not _fits(value, columns[name].kind):
            yield f"expected {columns[name].kind} for {name!r}, found {value!r:.80}"
    for name, fields in example.lists.items():
        if name not in LISTS:
            yield f"expected a list, found {name!r}{nearest(name, LISTS)}"
        for field in fields:
            if not (field in columns and columns[field].entity):
                yield f"expected the id of an entity, found {field!r}{nearest(field, known)}"


def _fits(value: object, kind: str) -> bool:
    types = {BOOLEAN: (bool,), INTEGER: (int,), NUMBER: (int, float), TEXT: (str,)}[kind]
    return isinstance(value, types) and (kind == BOOLEAN or not isinstance(value, bool))


def fields_of(when: Expression, stream: Stream) -> frozenset[str]:
    """Return the fields of the event that a condition reads."""
    return columns_of(when) - {*stream.feature_names, SCORE}
