"""Where something is in the text of an expression, and what is wrong with a text that Python cannot read.

People write the signs of other languages; a fault says which of them it is and what to write.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SNIPPET: Final = 20
"""Characters of the text that a message shows."""
_FOREIGN: Final = (
    (re.compile(r"&&"), "write `and`"),
    (re.compile(r"\|\|"), "write `or`"),
    (re.compile(r"<>"), "write `!=`"),
    (re.compile(r"!(?!=)"), "write `not`"),
    (re.compile(r"(?<![=!<>])=(?!=)"), "write `==`"),
    (re.compile(r"\b(AND|OR|NOT|IN|IS)\b"), "write and, or, not, in, is in small letters"),
    (re.compile(r"\bbetween\b", re.IGNORECASE), "write `1 <= x <= 5`"),
    (re.compile(r"\blike\b", re.IGNORECASE), "write x.matches('pattern')"),
)
"""Words of other languages, in what Python cannot read."""


class Place(NamedTuple):
    """Where something is in a text, both from 1 on."""

    line: int
    column: int


START: Final = Place(1, 1)


class TextFault(NamedTuple):
    """What is wrong with a text, and where."""

    place: Place
    fault: str


def explain(error: SyntaxError, text: str) -> tuple[str, Place]:
    """Say what Python cannot read: a word of another language, if there is one, or what its parser says."""
    words = ((pattern.search(_blank_texts(text)), hint) for pattern, hint in _FOREIGN)
    found, hint = next(((match, f"; {hint}") for match, hint in words if match), (None, ""))
    place = _place_of(found.start(), text) if found else _place_of_error(error, text)
    snippet = text.split("\n")[place.line - 1][place.column - 1 : place.column + _SNIPPET - 1]
    said = f": {error.msg}" if not found and "invalid syntax" not in error.msg else ""
    return f"expected an expression, found {repr(snippet) if snippet else 'its end'}{said}{hint}", place


def _place_of(offset: int, text: str) -> Place:
    before = text[:offset].split("\n")
    return Place(len(before), len(before[-1]) + 1)


def _place_of_error(error: SyntaxError, text: str) -> Place:
    lines = text.split("\n")
    line, column = error.lineno or 1, error.offset or 1
    if line > len(lines) or (error.msg.endswith("was never closed") and (line, column) == (1, 1)):
        return Place(len(lines), len(lines[-1]) + 1)
    # for the bracket that is ours; some errors of Python are placed behind the end of their line
    return Place(line, min(max(1, column - (line == 1)), len(lines[line - 1]) + 1))


def _blank_texts(text: str) -> str:
    """Return a text of the same length without what is in quotes or a comment."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|#.*", lambda found: "_" * len(found[0]), text)
