"""Every command that the product names where something is wrong: in messages of the code, and in the runbook."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.source import ROOT, name_of, product_files

DOCS = ("docs/operations.md", "docs/guarantees.md", "README.md")
_COMMAND = re.compile(r"`(?:[A-Z_]+=\S+ )*((?:weir|make|kafka-[a-z-]+) [^`]+)`")
_PLACEHOLDER = "1"
"""Stands for what a message fills in: good for a number, a name and a path."""
STAGES = ("weir process", "weir score")
_VERB = "{stage.verb}"


def collect() -> dict[str, set[str]]:
    """Return each command, and the files that name it."""
    found: dict[str, set[str]] = {}
    for path in product_files():
        for text in _messages(path):
            for verb in STAGES:
                _note(found, text.replace(_VERB, verb), name_of(path))
    for name in DOCS:
        _note(found, (ROOT / name).read_text(), name)
    return found


def _note(found: dict[str, set[str]], text: str, where: str) -> None:
    for command in _COMMAND.findall(text):
        if not re.search(r"[<|…]", command):  # a form, as in `weir <verb>`
            found.setdefault(" ".join(command.split()), set()).add(where)


def _messages(path: Path) -> Iterator[str]:
    """Yield every string of a file that is no docstring, with placeholders filled in."""
    text = path.read_text()
    if "`" not in text:
        return  # it names no command
    nodes = list(ast.walk(ast.parse(text)))
    docstrings = {
        id(node.value) for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    within = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(_text(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | within:
            yield node.value


def _text(part: ast.expr) -> str:
    """Return a part of an f-string; ``{stage.verb}`` stands for whole verbs, and is filled in by ``STAGES``."""
    if isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == "stage.verb":
        return _VERB
    return str(part.value) if isinstance(part, ast.Constant) else _PLACEHOLDER


def targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
