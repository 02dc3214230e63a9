"""A rules file: YAML text to rules, or to every fault of it, each with file, line and column.

    rules:
      - name: many_rides
        why: nobody rides this often
        when: rider_event_count_1h >= 12 and not in_list("allow", rider_id)
        then: REVIEW

Only the parser of YAML is used, and never its constructors: a value is read as what it has to be, so that a country
``NO`` stays a text and ``mode: off`` a word. Anchors, aliases and tags are refused, so what is read is as large as what
is written: at most a megabyte, eight levels deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, Column, nearest
from weir.schemas.checks.rules import RULES_MAX, RuleFault, find_faults_of
from weir.schemas.errors import Refused
from weir.schemas.expression import Expression
from weir.schemas.expression_parser import Parsed, parse_expression
from weir.schemas.origin import Finding, Origin
from weir.schemas.rules import LIVE, Example, Rule

BYTES_MAX: Final = 1 << 20
LEVELS_MAX: Final = 8
TEXT_MAX: Final = 500
"""Characters of what is said in decisions."""
FAULTS_MAX: Final = 100
"""What is said of one file at once; a file with more is none of ours."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C, thirty times as fast, where the package has it."""
_RULE_KEYS: Final = (
    "name", "why", "owner", "when", "then", "code", "text", "mode", "priority", "valid", "examples",
)  # fmt: skip
_REQUIRED: Final = ("name", "why", "when", "then")
_NULL: Final = "tag:yaml.org,2002:null"
_BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_PRIORITY = re.compile(r"[-+]?[0-9]{1,9}")


def load_text(path: Path) -> str:
    """Return the text of a rules file, or as much of it as shows that it is too large.

    Raises:
        Refused: it is no text.
    """
    with path.open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if len(content) > BYTES_MAX:  # cut within a character: it is refused for its size
            return content.decode(errors="replace")
        raise Refused(f"{path}: expected text in UTF-8, found another byte at {error.start}") from None


def parse_rules(text: str, columns: Mapping[str, Column], file: str) -> tuple[list[Rule], list[Finding]]:
    """Read a rules file.

    Args:
        text: of the file.
        columns: what rules can read; see ``rule_columns``.
        file: what findings call it.

    Returns:
        The rules, and everything that is wrong with them by line; rules with a fault decide nothing.
    """
    reader = _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), columns, file)
    rules = reader.read()
    found = sorted(set(reader.findings), key=lambda finding: (finding.where, finding.fault))
    if len(found) > FAULTS_MAX:
        found = [*found[:FAULTS_MAX], Finding(found[FAULTS_MAX].where, "rules file", "and more faults from here on")]
    return rules, found


@dataclass
class _Written:
    """A rule of the file, and where its parts are."""

    rule: Rule
    node: yaml.Node
    parts: Mapping[str, yaml.Node]
    condition: Parsed | None
    wrong: set[str] = field(default_factory=set)


class _Reader:
    """Reads one file, and keeps what is wrong with it."""

    def __init__(self, text: str, columns: Mapping[str, Column], file: str) -> None:
        self._text = text
        self._columns = columns
        self._file = file
        self.findings: list[Finding] = []

    def read(self) -> list[Rule]:
        root = self._compose()
        if root is None:
            return []
        top = self._read_map(root, "rules file", ("rules",))
        if "rules" not in top:
            if isinstance(root, yaml.MappingNode):
                self._find(root, "rules file", "expected `rules:` and a list of rules, found none")
            return []
        nodes = self._read_list(top["rules"], "rules", "a list of rules")
        if len(nodes) > RULES_MAX:
            self._find(nodes[RULES_MAX], "rules", f"expected at most {RULES_MAX:,} rules, found {len(nodes):,}")
            return []
        written = [self._read_rule(node) for node in nodes]
        for fault in find_faults_of([each.rule for each in written], self._columns):
            self._place(fault, written)
            if len(self.findings) > FAULTS_MAX:  # to look for the nearest names takes its time
                break
        return [each.rule for each in written]

    # --- YAML ---------------------------------------------------------------------------------------------------------

    def _compose(self) -> yaml.Node | None:
        """Return the tree of a file that is small, of one document, and without anything that makes it larger."""
        size = len(self._text.encode(errors="replace"))
        if size > BYTES_MAX:
            self._say(1, 1, f"expected at most {BYTES_MAX:,} bytes, found {size:,}")
            return None
        try:
            refused = next(self._find_refused(), None)
            root = None if refused else yaml.compose(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._say(mark.line + 1, mark.column + 1, f"expected YAML, found a line that is none: {error.problem}")
            return None
        except (yaml.YAMLError, ValueError):
            self._say(1, 1, "expected YAML, found a character that no text has")
            return None
        if refused:
            event, fault = refused
            self._say(event.start_mark.line + 1, event.start_mark.column + 1, fault)
        elif root is None:
            self._say(1, 1, "expected `rules:` and a list of rules, found an empty file")
        return root

    def _find_refused(self) -> Iterator[tuple[yaml.Event, str]]:
        depth = documents = 0
        for event in yaml.parse(self._text, Loader=_LOADER):
            documents += isinstance(event, yaml.DocumentStartEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if getattr(event, "anchor", None):
                yield event, "expected every value where it is used, found an anchor or an alias; write it out"
            elif getattr(event, "tag", None):
                yield event, "expected a plain value, found a tag; leave it out"
            elif depth > LEVELS_MAX:
                yield event, f"expected at most {LEVELS_MAX} levels, found more"
            elif documents > 1:
                yield event, "expected one document, found another; put all rules under one `rules:`"

    def _say(self, line: int, column: int, fault: str, what: str = "rules file") -> None:
        self.findings.append(Finding(Origin(self._file, line, column), what, fault))

    def _find(self, node: yaml.Node, what: str, fault: str) -> None:
        self._say(node.start_mark.line + 1, node.start_mark.column + 1, fault, what)

    def _read_map(self, node: yaml.Node, what: str, keys: tuple[str, ...]) -> dict[str, yaml.Node]:
        """Return the nodes of a mapping by key; without keys any text is one."""
        if not isinstance(node, yaml.MappingNode):
            expected = f"expected {keys[0]}: and a value" if keys else "expected names with values"
            self._find(node, what, f"{expected}, found {_say_kind(node)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name or (keys and name not in keys):
                said = repr(name)[:80] if name else _say_kind(key)
                self._find(key, what, f"expected one of {', '.join(keys)}, found {said}{_did_you_mean(name, keys)}")
            elif name in found:
                self._find(key, what, f"expected {name} once, found it again")
            elif not _is_null(value):
                found[name] = value
        return found

    def _read_list(self, node: yaml.Node, what: str, expected: str) -> list[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self._find(node, what, f"expected {expected}, found {_say_kind(node)}")
        return []

    def _read_text(self, node: yaml.Node, what: str, part: str, longest: int = TEXT_MAX) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._find(node, what, f"expected text for {part}, found {_say_kind(node)}")
            return ""
        if len(node.value) > longest:
            self._find(node, what, f"expected at most {longest:,} characters for {part}, found {len(node.value):,}")
        return str(node.value)

    # --- rules --------------------------------------------------------------------------------------------------------

    def _read_rule(self, node: yaml.Node) -> _Written:
        before = len(self.findings)
        what = f"rule {_name_of(node)}"
        parts = self._read_map(node, what, _RULE_KEYS)
        missing = [part for part in _REQUIRED if part not in parts] if isinstance(node, yaml.MappingNode) else []
        if missing:
            self._find(node, what, f"expected {', '.join(missing)}, found none")
        texts = {
            part: self._read_text(parts[part], what, part)
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
            where=Origin(self._file, node.start_mark.line + 1, node.start_mark.column + 1),
        )
        wrong = set(_REQUIRED) - set(parts)
        if len(self.findings) > before and condition and condition.faults:
            wrong.add("when")
        return _Written(rule, node, parts, condition, wrong)

    def _read_condition(self, node: yaml.Node, what: str) -> Parsed:
        parsed = parse_expression(self._read_text(node, what, "when", BYTES_MAX))
        for place, fault in parsed.faults if isinstance(node, yaml.ScalarNode) else ():
            self._say(*self._locate(node, place.line, place.column), fault, what)
        return parsed

    def _read_priority(self, node: yaml.Node, what: str) -> int:
        if isinstance(node, yaml.ScalarNode) and _PRIORITY.fullmatch(node.value):
            return int(node.value)
        self._find(node, what, f"expected a whole number for priority, found {_say_value(node)}")
        return 0

    def _read_valid(self, node: yaml.Node, what: str) -> dict[str, str]:
        parts = self._read_map(node, what, ("from", "to"))
        return {part: self._read_text(each, what, part) for part, each in parts.items()}

    def _read_examples(self, node: yaml.Node, what: str) -> tuple[Example, ...]:
        nodes = self._read_list(node, what, "a list of examples")
        return tuple(self._read_example(each, f"{what}, example {number}") for number, each in enumerate(nodes, 1))

    def _read_example(self, node: yaml.Node, what: str) -> Example:
        parts = self._read_map(node, what, ("values", "hit", "lists"))
        hit = _BOOLEANS.get(str(parts["hit"].value).lower()) if "hit" in parts else None
        if hit is None and isinstance(node, yaml.MappingNode):
            found = _say_value(parts["hit"]) if "hit" in parts else "none"
            self._find(parts.get("hit", node), what, f"expected hit: true or false, found {found}")
        values = {}
        if "values" in parts and isinstance(parts["values"], yaml.MappingNode):
            for key, value in parts["values"].value:
                values[str(key.value)] = self._read_value(value, what, str(key.value))
        elif "values" in parts:
            self._find(parts["values"], what, f"expected names with values, found {_say_kind(parts['values'])}")
        listed = self._read_map(parts["lists"], what, ()) if "lists" in parts else {}
        lists = {
            name: [self._read_text(each, what, name) for each in self._read_list(fields, what, "a list of id fields")]
            for name, fields in listed.items()
        }
        where = Origin(self._file, node.start_mark.line + 1, node.start_mark.column + 1)
        return Example(values, bool(hit), lists, where)

    def _read_value(self, node: yaml.Node, what: str, name: str) -> str | int | float | bool | None:
        """Read a value as what its column is of."""
        kind = self._columns[name].kind if name in self._columns else ""
        if _is_null(node):
            return None
        if isinstance(node, yaml.ScalarNode):
            found = _READ_AS.get(kind, str)(node.value)
            if found is not None:
                return found  # type: ignore[no-any-return]
        if kind:
            self._find(node, what, f"expected {kind} for {name!r}, found {_say_value(node)}")
        return None

    # --- places -------------------------------------------------------------------------------------------------------

    def _place(self, fault: RuleFault, written: list[_Written]) -> None:
        """Say a fault of a rule where it is written, unless the part is known to be wrong already."""
        each = written[min(fault.position, len(written) - 1)]
        what = f"rule {each.rule.name or '?'}"
        if fault.part in each.wrong:
            return
        if isinstance(fault.at, Example):
            self.findings.append(Finding(fault.at.where, f"{what}, example", fault.fault))
        elif isinstance(fault.at, Expression) and each.condition:
            place = each.condition.place_of(fault.at)
            self._say(*self._locate(each.parts["when"], place.line, place.column), fault.fault, what)
        else:
            self._find(each.parts.get(fault.part, each.node), what, fault.fault)

    def _locate(self, node: yaml.Node, line: int, column: int) -> tuple[int, int]:
        """Return where in the file a place of a value is, which YAML may have folded over several lines.

        What is no space is in the file in the order of the value; only an escaped quote counts as two.
        """
        lines = str(node.value).split("\n")
        before = "".join(lines[: line - 1]) + lines[min(line, len(lines)) - 1][: column - 1]
        left = sum(not character.isspace() for character in before)
        at_line, at_column = node.start_mark.line, node.start_mark.column + (node.style in {"'", '"'})
        if node.style in {"|", ">"}:  # the value begins below its sign
            at_line, at_column = at_line + 1, 0
        rows = self._text.split("\n")
        while at_line < len(rows):
            for place, character in enumerate(rows[at_line][at_column:], at_column):
                left -= not character.isspace()
                if left < 0:
                    return at_line + 1, place + 1
            if left == 0 and at_line >= node.end_mark.line:
                break
            at_line, at_column = at_line + 1, 0
        return node.end_mark.line + 1, node.end_mark.column + 1


def _nothing() -> Expression:
    """Return what stands for a condition that cannot be read."""
    return Expression("lit", value=True)


def _name_of(node: yaml.Node) -> str:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    names = [str(value.value) for key, value in pairs if key.value == "name" and isinstance(value, yaml.ScalarNode)]
    return names[0][:80] if names else "?"


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def _say_kind(node: yaml.Node) -> str:
    kinds = {yaml.MappingNode: "names with values", yaml.SequenceNode: "a list"}
    return kinds.get(type(node), "nothing" if _is_null(node) else "a single value")


def _say_value(node: yaml.Node) -> str:
    return f"{node.value!r:.80}" if isinstance(node, yaml.ScalarNode) else _say_kind(node)


def _did_you_mean(name: str, keys: tuple[str, ...]) -> str:
    hint = nearest(name, keys)
    return hint if "did you mean" in hint else ""  # all of them are said already


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
