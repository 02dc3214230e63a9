"""The one place where text from outside becomes text for a terminal: nothing acts, and nothing is hidden.

An id may hold anything: escape codes that colour, move or retitle a terminal, controls that reorder a line, characters
of no width, a newline that forges a line. Each such character is written as its code, so a reader sees that it is
there, and two different ids look different. What people write in any script is left as it is.

Cost: one pass in C for text without such characters, which is nearly all of it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_INVISIBLE = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols by their class, and blank on every screen: fillers of Hangul, the empty Braille cell."""
_SUSPECT = re.compile(r"[^ -~]")
_HIDDEN_MARKS = ((0x034F, 0x034F), (0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
"""Combining by their class, and without a shape of their own: joiners and variation selectors."""
_MARKS_MAX = 2
"""Marks upon one letter that languages need; more of them only paint over other lines."""


def escape(text: str, keep: str = "") -> str:
    r"""Return text in which every character that a terminal would obey or hide is written as its code.

    Args:
        text: anything; lone surrogates too.
        keep: characters to leave alone, such as a newline that is ours.

    >>> escape("a\x1b[31mb\u202ec\nd")
    'a\\x1b[31mb\\u202ec\\nd'
    >>> escape("Müller 東京")
    'Müller 東京'
    """
    if text.isascii() and text.isprintable():
        return text
    marks = 0
    shown = []
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        hide = marks > _MARKS_MAX or not _is_plain(character)
        shown.append(_code(character) if hide and character not in keep else character)
    return "".join(shown)


def escape_json(document: str) -> str:
    r"""Return a JSON text in which such characters are escapes of JSON: it reads back as what it was.

    >>> escape_json('{"id": "a\u202eb"}')
    '{"id": "a\\u202eb"}'
    """
    return _SUSPECT.sub(lambda match: _json_code(match.group()), document)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON that a terminal can show; raises ``ValueError`` for what is no JSON, such as NaN."""
    return escape_json(json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False))


def _is_plain(character: str) -> bool:
    code = ord(character)
    if not character.isprintable() or character in _INVISIBLE:
        return False
    return not any(first <= code <= last for first, last in _HIDDEN_MARKS)


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_code(character: str) -> str:
    if character == "\n" or _is_plain(character):
        return character  # a newline between values is the writer's: within a string JSON has escaped it
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
