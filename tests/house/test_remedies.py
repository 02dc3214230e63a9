"""Every command that a message names can be run as it is written: the verb, its parts and its flags exist."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import weir
from infra.arguments import Parser
from tests.house.source import ROOT, name_of, product_files

COMMAND = re.compile(r"`(?:[A-Z_]+=\S+ )*((?:weir|make) [^`]+)`")
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
HOLE = "HOLE"
"""Stands where a message puts in a value."""


def _texts(path: Path) -> Iterator[str]:
    """Every string of a file but the docstrings, holes filled; f-strings as one."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values]
            yield "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield node.value


def _commands() -> list[tuple[str, str]]:
    found = {(name_of(path), c) for path in product_files() for text in _texts(path) for c in COMMAND.findall(text)}
    return sorted(found)


class Seen(Exception):
    """Raised with the parser of a verb, before it does anything."""


def _parser_of(verb: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    def see(parser: Parser, *_: object) -> None:
        raise Seen(parser)

    monkeypatch.setattr(Parser, "parse_args", see)
    with pytest.raises(Seen) as seen:
        weir.main([verb])
    parser = seen.value.args[0]
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def _check(parser: argparse.ArgumentParser, words: list[str]) -> None:
    flags = set(parser._option_string_actions)
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if below and words and not words[0].startswith("-"):
        if words[0] != HOLE:
            assert words[0] in below[0].choices
            _check(below[0].choices[words[0]], words[1:])
        return
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in flags] == []


@pytest.mark.parametrize(("where", "command"), _commands())
def test_a_command_that_a_message_names_exists(where: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = command.split()
    if HOLE in words[:1] or words[0] == "--help":
        return
    if program == "make":
        assert [word for word in words if "=" not in word and word not in TARGETS] == [], where
        return
    assert words[0] in weir.VERBS, where
    _check(_parser_of(words[0], monkeypatch), words[1:])


def test_there_are_commands_to_check() -> None:
    assert len(_commands()) > 30
    assert ("infra/embedded/doctor.py", "weir clean --apply") in _commands()


def test_no_message_names_a_package_that_is_not_ours() -> None:
    """The project is not in any package index; a package of its name there is somebody else's."""
    assert [name_of(p) for p in product_files() if re.search(r"pip install ['\"]?weir", p.read_text())] == []


def test_no_fix_that_a_message_names_deletes_data_without_saying_so() -> None:
    for where, command in _commands():
        if "--data" in command or command.startswith("make clean-data"):
            assert where == "infra/embedded/clean.py", f"{where} names `{command}`"
