"""From the bytes of a request to a JSON object, or what is wrong with them. Pure.

The fast reader takes what is right. What it refuses is looked at once more, slowly, to say what was found: its own
words name a position and not the cause. No message repeats a part of the body.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

import orjson

_UNICODE_MARKS = {
    # longest first: UTF-32's little-endian mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_GZIP = b"\x1f\x8b"
_DIGITS_MAX = 25
"""More than any number of 64 bits has; ``int()`` of thousands of digits would take its time."""


class UnknownEncoding(Exception):
    """The body is not plain UTF-8; the message says what it is."""


class NotJson(Exception):
    """The body is UTF-8 and no JSON object; the message says what was expected and found."""


def read_object(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds.

    Integers beyond 64 bits come back as floats, infinite ones too: the caller names the field that is out of range.

    Raises:
        UnknownEncoding: it has a byte order mark, or is UTF-16 or UTF-32.
        NotJson: anything else that is wrong.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _read_slowly(body, error.pos)
    if not isinstance(document, dict):
        raise NotJson(f"expected an object, found {name_type(document)}")
    return document


def name_type(value: Any) -> str:
    """Say of which type a JSON value is, with its article."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _read_slowly(body: bytes, position: int) -> Any:
    _check_encoding(body)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"expected UTF-8 text, found a byte at position {error.start} that is none") from None
    if not text.strip():
        raise NotJson("expected JSON, found an empty body")
    try:
        # what the fast reader refuses for its size alone is read here, so that its field can be named
        document = json.loads(text, parse_int=_parse_integer, parse_constant=_refuse_constant)
        # half of a surrogate pair is JSON by its grammar and no text
        json.dumps(document, ensure_ascii=False).encode()
        return document
    except RecursionError:
        raise NotJson("expected JSON, found it nested too deeply") from None
    except ValueError:
        raise NotJson(f"expected JSON, found none at position {position}") from None


def _check_encoding(body: bytes) -> None:
    for mark, name in _UNICODE_MARKS.items():
        if body.startswith(mark):
            raise UnknownEncoding(f"expected UTF-8, found {name}")
    if body.startswith(codecs.BOM_UTF8):
        raise UnknownEncoding("expected UTF-8 without a byte order mark (BOM), found one")
    if body.startswith(_GZIP):
        raise UnknownEncoding("expected JSON in UTF-8, found gzip")
    # JSON begins with an ASCII character: zeros around it are those of a wider encoding
    if body[:4].count(0) == 3:
        raise UnknownEncoding("expected UTF-8, found UTF-32")
    if body[:2].count(0) == 1 and len(body) > 1:
        raise UnknownEncoding("expected UTF-8, found UTF-16")


def _parse_integer(digits: str) -> float:
    return int(digits) if len(digits) <= _DIGITS_MAX else float("inf")


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
