"""Lines of a text file, bounded in length, numbered as an editor numbers them.

Bytes that the encoding does not know become lone surrogates, which the field that they are in is refused for.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from weir.schemas.errors import Refused
from weir.schemas.masking import quote

LINE_CHARS_MAX = 1 << 20
"""A payment takes some hundred characters; a longer line is one bad line instead of all the memory."""
UNDECODABLE = "\udcff"
BYTE_ORDER_MARK = "\ufeff"
"""Where files were put together, each part's mark stands before one of the lines; it is no part of the first id."""
_KEEP_GOING = "weir-undecodable"
READ_ERRORS = (OSError, EOFError, zlib.error, UnicodeError)
"""What a damaged archive or disk raises in the middle of a file."""


class Line(NamedTuple):
    """One line without its end; ``text`` is None where it was longer than ``LINE_CHARS_MAX``."""

    number: int
    text: str | None


class Cut(Exception):
    """Nothing after the last line can be read."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODABLE, error.end


codecs.register_error(_KEEP_GOING, _mark)


def check_encoding(name: str) -> str:
    """Return an encoding's own name.

    Raises:
        Refused: Python knows no text encoding of that name.
    """
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        codec = None
    if codec is None or not codec._is_text_encoding:
        raise Refused(f"expected a text encoding such as utf-8, utf-16 or windows-1252, found {name!r}")
    return "utf-8-sig" if codec.name == "utf-8" else codec.name


def read_lines(stream: BinaryIO, encoding: str) -> Iterator[Line]:
    """Yield the lines of a stream.

    Raises:
        Cut: the bytes end in the middle of something, as those of a truncated archive do.
    """
    text = io.TextIOWrapper(stream, encoding=check_encoding(encoding), errors=_KEEP_GOING)
    number = 0
    try:
        while line := text.readline(LINE_CHARS_MAX + 1):
            number += 1
            line = line.lstrip(BYTE_ORDER_MARK)
            if line.endswith("\n"):
                yield Line(number, line[:-1])
            elif len(line) <= LINE_CHARS_MAX:
                yield Line(number, line)
            else:
                _skip_rest(text)
                yield Line(number, None)
    except READ_ERRORS as error:
        raise Cut(f"the file cannot be read after line {number}: {quote(str(error).lower())}") from error
    finally:
        text.detach()


def _skip_rest(text: io.TextIOWrapper) -> None:
    while (rest := text.readline(LINE_CHARS_MAX)) and not rest.endswith("\n"):
        pass
