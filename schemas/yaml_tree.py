"""A YAML file as a tree of nodes with places; nothing of it is constructed, and what makes it larger is refused.

A value is read later as what it has to be, so that a country ``NO`` stays a text and ``off`` a word.
Anchors, aliases, tags and a second document are refused: what is read is as large as what is written, a megabyte and
eight levels at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from weir.schemas.checks.expression_types import nearest
from weir.schemas.errors import Refused
from weir.schemas.origin import Finding, Origin

BYTES_MAX: Final = 1 << 20
LEVELS_MAX: Final = 8
TEXT_MAX: Final = 500
"""Characters of what is said in decisions."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C, thirty times as fast, where the package has it."""
_NULL: Final = "tag:yaml.org,2002:null"


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


class YamlFile:
    """One file, and what is wrong with it.

    Attributes:
        findings: all that was found so far.
    """

    def __init__(self, text: str, file: str, what: str) -> None:
        """Take a text.

        Args:
            text: of the file.
            file: what findings call it.
            what: kind of file, such as ``rules file``.
        """
        self._text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self._file = file
        self._what = what
        self.findings: list[Finding] = []

    def compose(self) -> yaml.Node | None:
        """Return the tree of a file that is small, of one document, and without anything that makes it larger."""
        size = len(self._text.encode(errors="replace"))
        if size > BYTES_MAX:
            self.say(1, 1, f"expected at most {BYTES_MAX:,} bytes, found {size:,}")
            return None
        try:
            refused = next(self._find_refused(), None)
            root = None if refused else yaml.compose(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.say(mark.line + 1, mark.column + 1, f"expected YAML, found a line that is none: {error.problem}")
            return None
        except (yaml.YAMLError, ValueError):
            self.say(1, 1, "expected YAML, found a character that no text has")
            return None
        if refused:
            event, fault = refused
            self.say(event.start_mark.line + 1, event.start_mark.column + 1, fault)
        elif root is None:
            self.say(1, 1, f"expected a {self._what}, found an empty one")
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
                yield event, "expected one document, found another"

    def say(self, line: int, column: int, fault: str, what: str = "") -> None:
        """Add a fault at a place, both from 1 on; of the file as a whole by default."""
        self.findings.append(Finding(Origin(self._file, line, column), what or self._what, fault))

    def find(self, node: yaml.Node, what: str, fault: str) -> None:
        """Add a fault of a node."""
        self.findings.append(Finding(self.origin_of(node), what, fault))

    def origin_of(self, node: yaml.Node) -> Origin:
        """Return where a node begins."""
        return Origin(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def read_map(self, node: yaml.Node, what: str, keys: tuple[str, ...]) -> dict[str, yaml.Node]:
        """Return the nodes of a mapping by key; without keys any text is one."""
        if not isinstance(node, yaml.MappingNode):
            expected = f"expected {keys[0]}: and a value" if keys else "expected names with values"
            self.find(node, what, f"{expected}, found {say_kind(node)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name or (keys and name not in keys):
                said = repr(name)[:80] if name else say_kind(key)
                self.find(key, what, f"expected one of {', '.join(keys)}, found {said}{_did_you_mean(name, keys)}")
            elif name in found:
                self.find(key, what, f"expected {name} once, found it again")
            elif not is_null(value):
                found[name] = value
        return found

    def read_list(self, node: yaml.Node, what: str, expected: str) -> list[yaml.Node]:
        """Return the nodes of a list; nothing for what is none."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.find(node, what, f"expected {expected}, found {say_kind(node)}")
        return []

    def read_text(self, node: yaml.Node, what: str, part: str, longest: int = TEXT_MAX) -> str:
        """Return the text of a node, whatever YAML takes it for."""
        if not isinstance(node, yaml.ScalarNode):
            self.find(node, what, f"expected text for {part}, found {say_kind(node)}")
            return ""
        if len(node.value) > longest:
            self.find(node, what, f"expected at most {longest:,} characters for {part}, found {len(node.value):,}")
        return str(node.value)

    def locate(self, node: yaml.Node, line: int, column: int) -> tuple[int, int]:
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


def is_null(node: yaml.Node) -> bool:
    """Tell whether a node says nothing, as ``~`` or an empty value do."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def say_kind(node: yaml.Node) -> str:
    """Return what a node is, for messages."""
    kinds = {yaml.MappingNode: "names with values", yaml.SequenceNode: "a list"}
    return kinds.get(type(node), "nothing" if is_null(node) else "a single value")


def say_value(node: yaml.Node) -> str:
    """Return what a node holds, for messages."""
    return f"{node.value!r:.80}" if isinstance(node, yaml.ScalarNode) else say_kind(node)


def _did_you_mean(name: str, keys: tuple[str, ...]) -> str:
    hint = nearest(name, keys)
    return hint if "did you mean" in hint else ""  # all of them are said already
