"""A rules file: YAML text to rules, or to every fault of it, each with file, line and column.

    rules:
      - name: many_rides
        why: nobody rides this often
        when: rider_event_count_1h >= 12 and not in_list("allow", rider_id)
        then: REVIEW

What YAML it may be is said in ``yaml_tree.py``; what a rule may be, in ``checks/rules.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, Column
from weir.schemas.checks.rules import RULES_MAX, RuleFault, find_faults_of
from weir.schemas.expression import Expression
from weir.schemas.expression_parser import Parsed, parse_expression
from weir.schemas.origin import Finding
from weir.schemas.rules import LIVE, Example, Rule
from weir.schemas.yaml_tree import BYTES_MAX, YamlFile, is_null, say_kind, say_value

FAULTS_MAX: Final = 100
"""What is said of one file at once; a file with more is none of ours."""

_RULE_KEYS: Final = (
    "name", "why", "owner", "when", "then", "code", "text", "mode", "priority", "valid", "examples",
)  # fmt: skip
_REQUIRED: Final = ("name", "why", "when", "then")
_BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_PRIORITY = re.compile(r"[-+]?[0-9]{1,9}")


def parse_rules(text: str, columns: Mapping[str, Column], file: str) -> tuple[list[Rule], list[Finding]]:
    """Read a rules file.

    Args:
        text: of the file.
        columns: what rules can read; see ``rule_columns``.
        file: what findings call it.

    Returns:
        The rules, and everything that is wrong with them by line; rules with a fault decide nothing.
    """
    tree = YamlFile(text, file, "rules file")
    rules = _Reader(tree, columns).read()
    found = sorted(set(tree.findings), key=lambda finding: (finding.where, finding.fault))
    if len(found) > FAULTS_MAX:
        found = [*found[:FAULTS_MAX], Finding(found[FAULTS_MAX].where, "rules file", "and more faults from here on")]
    return rules, found


@dataclass(frozen=True)
class _Written:
    """A rule of the file, where its parts are, and which of them are known to be wrong."""

    rule: Rule
    node: yaml.Node
    parts: Mapping[str, yaml.Node]
    condition: Parsed | None
    wrong: frozenset[str]


class _Reader:
    """Reads the rules of one file; what is wrong with them is said to the file."""

    def __init__(self, file: YamlFile, columns: Mapping[str, Column]) -> None:
        self._file = file
        self._columns = columns

    def read(self) -> list[Rule]:
        root = self._file.compose()
        if root is None:
            return []
        top = self._file.read_map(root, "rules file", ("rules",))
        if "rules" not in top:
            if isinstance(root, yaml.MappingNode):
                self._file.find(root, "rules file", "expected `rules:` and a list of rules, found none")
            return []
        nodes = self._file.read_list(top["rules"], "rules", "a list of rules")
        if len(nodes) > RULES_MAX:
            self._file.find(nodes[RULES_MAX], "rules", f"expected at most {RULES_MAX:,} rules, found {len(nodes):,}")
            return []
        written = [self._read_rule(node) for node in nodes]
        for fault in find_faults_of([each.rule for each in written], self._columns):
            self._place(fault, written)
            if len(self._file.findings) > FAULTS_MAX:  # to look for the nearest names takes its time
                break
        return [each.rule for each in written]

    def _read_rule(self, node: yaml.Node) -> _Written:
        what = f"rule {_name_of(node)}"
        parts = self._file.read_map(node, what, _RULE_KEYS)
        missing = [part for part in _REQUIRED if part not in parts] if isinstance(node, yaml.MappingNode) else []
        if missing:
            self._file.find(node, what, f"expected {', '.join(missing)}, found none")
        texts = {
            part: self._file.read_text(parts[part], what, part)
            for part in ("name", "why", "owner", "then", "code", "text", "mode")
            if part in parts
        }
        condition = self._read_condition(parts["when"], what) if "when" in parts else None
        valid = self._read_valid(parts["valid"], what) if "valid" in parts else {}
        rule = Rule(
            name=texts.get("name", ""),
            then=texts.get("then", ""),
            when=condition.expression if condition and condition.expression is not None else _nothing(),
            why=texts.get("why", ""),
            code=texts.get("code", ""),
            text=texts.get("text", ""),
            owner=texts.get("owner", ""),
            mode=texts.get("mode", LIVE),
            priority=self._read_priority(parts["priority"], what) if "priority" in parts else 0,
            valid_from=valid.get("from", ""),
            valid_to=valid.get("to", ""),
            examples=self._read_examples(parts["examples"], what) if "examples" in parts else (),
            where=self._file.origin_of(node),
        )
        wrong = {*_REQUIRED} - {*parts} | ({"when"} if condition and condition.faults else set())
        return _Written(rule, node, parts, condition, frozenset(wrong))

    def _read_condition(self, node: yaml.Node, what: str) -> Parsed:
        parsed = parse_expression(self._file.read_text(node, what, "when", BYTES_MAX))
        for place, fault in parsed.faults if isinstance(node, yaml.ScalarNode) else ():
            self._file.say(*self._file.locate(node, place.line, place.column), fault, what)
        return parsed

    def _read_priority(self, node: yaml.Node, what: str) -> int:
        if isinstance(node, yaml.ScalarNode) and _PRIORITY.fullmatch(node.value):
            return int(node.value)
        self._file.find(node, what, f"expected a whole number for priority, found {say_value(node)}")
        return 0

    def _read_valid(self, node: yaml.Node, what: str) -> dict[str, str]:
        parts = self._file.read_map(node, what, ("from", "to"))
        return {part: self._file.read_text(each, what, part) for part, each in parts.items()}

    def _read_examples(self, node: yaml.Node, what: str) -> tuple[Example, ...]:
        nodes = self._file.read_list(node, what, "a list of examples")
        return tuple(self._read_example(each, f"{what}, example {number}") for number, each in enumerate(nodes, 1))

    def _read_example(self, node: yaml.Node, what: str) -> Example:
        parts = self._file.read_map(node, what, ("values", "hit", "lists"))
        hit = _BOOLEANS.get(str(parts["hit"].value).lower()) if "hit" in parts else None
        if hit is None and isinstance(node, yaml.MappingNode):
            found = say_value(parts["hit"]) if "hit" in parts else "none"
            self._file.find(parts.get("hit", node), what, f"expected hit: true or false, found {found}")
        values = {}
        if "values" in parts and isinstance(parts["values"], yaml.MappingNode):
            for key, value in parts["values"].value:
                values[str(key.value)] = self._read_value(value, what, str(key.value))
        elif "values" in parts:
            self._file.find(parts["values"], what, f"expected names with values, found {say_kind(parts['values'])}")
        listed = self._file.read_map(parts["lists"], what, ()) if "lists" in parts else {}
        lists = {name: self._read_ids(fields, what, name) for name, fields in listed.items()}
        where = self._file.origin_of(node)
        return Example(values, bool(hit), lists, where)

    def _read_ids(self, node: yaml.Node, what: str, name: str) -> list[str]:
        return [
            self._file.read_text(each, what, name) for each in self._file.read_list(node, what, "a list of id fields")
        ]

    def _read_value(self, node: yaml.Node, what: str, name: str) -> str | int | float | bool | None:
        """Read a value as what its column is of."""
        kind = self._columns[name].kind if name in self._columns else ""
        if is_null(node):
            return None
        if isinstance(node, yaml.ScalarNode):
            found = _READ_AS.get(kind, str)(node.value)
            if found is not None:
                return found  # type: ignore[no-any-return]
        if kind:
            self._file.find(node, what, f"expected {kind} for {name!r}, found {say_value(node)}")
        return None

    def _place(self, fault: RuleFault, written: list[_Written]) -> None:
        """Say a fault of a rule where it is written, unless the part is known to be wrong already."""
        each = written[min(fault.position, len(written) - 1)]
        what = f"rule {each.rule.name or '?'}"
        if fault.part in each.wrong:
            return
        if isinstance(fault.at, Example):
            self._file.findings.append(Finding(fault.at.where, f"{what}, example", fault.fault))
        elif isinstance(fault.at, Expression) and each.condition:
            place = each.condition.place_of(fault.at)
            self._file.say(*self._file.locate(each.parts["when"], place.line, place.column), fault.fault, what)
        else:
            self._file.find(each.parts.get(fault.part, each.node), what, fault.fault)


def _nothing() -> Expression:
    """Return what stands for a condition that cannot be read."""
    return Expression("lit", value=True)


def _name_of(node: yaml.Node) -> str:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    names = [str(value.value) for key, value in pairs if key.value == "name" and isinstance(value, yaml.ScalarNode)]
    return names[0][:80] if names else "?"


def _as_integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


_READ_AS: Final[Mapping[str, Any]] = {
    BOOLEAN: lambda text: _BOOLEANS.get(text.lower()),
    INTEGER: _as_integer,
    NUMBER: _as_number,
}
