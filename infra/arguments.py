"""The parser of every verb: a mistyped flag or word is refused with the nearest one that there is."""

from __future__ import annotations

import argparse
import difflib
import re
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from weir.schemas.durations import parse_ms
from weir.schemas.rules import parse_time_ms
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_SECONDS_MAX = 1e9
_UNKNOWN = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)


def nearest(word: str, known: list[str]) -> str:
    """Return ``"; did you mean X?"`` for what is like the word, else nothing.

    >>> nearest("--secnds", ["--seconds", "--rate"])
    '; did you mean --seconds?'
    >>> nearest("--colour", ["--rate"])
    ''
    """
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def command_of(stream: Stream, command: str) -> str:
    """Return a command as it is given for a stream, for messages.

    >>> command_of(payments, "train")
    'weir train'
    """
    return f"weir {command}" if stream.full_name == payments.name else f"weir {command} --stream {stream.name}"


def at_least(smallest: int) -> Callable[[str], int]:
    """Return what reads a whole number of that size or more from a flag.

    >>> at_least(50)("60")
    60
    """

    def parse(text: str) -> int:
        value = int(text)
        if value < smallest:
            raise argparse.ArgumentTypeError(f"expected at least {smallest}, found {value}")
        return value

    parse.__name__ = "whole number"  # argparse names it when the text is no number
    return parse


def seconds(text: str) -> float:
    """Read a duration in seconds, 0 or more, from a flag."""
    value = float(text)
    if not 0 <= value < _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"expected a number of seconds of 0 or more, found {text}")
    return value


def since_ms(text: str) -> int:
    """Read how long ago, such as 90d, or an ISO 8601 time, UTC where it has no zone, from a flag.

    >>> since_ms("1970-01-01T00:00:01")
    1000
    """
    ago = parse_ms(text)
    return time.time_ns() // 1_000_000 - ago if ago else parse_time_ms(text)


since_ms.__name__ = "time such as 90d or 2026-01-31T12:00:00Z"  # argparse names it when the text is none


STREAM_FLAG = "--stream"
"""Completion scripts complete what follows it."""


def add_stream_flag(
    parser: argparse.ArgumentParser,
    *,
    names: str = "a stream of this folder's project, or one that is shipped",
    default: str = "the default one",
    again: bool = False,
) -> None:
    """Add ``--stream NAME`` to a command that works on a stream; ``find_stream`` reads it.

    Args:
        parser: of the command.
        names: what may be named, for its help.
        default: what is meant without the flag, for its help.
        again: the flag may be given more than once, and the names are a list: ``find_streams`` reads them.
    """
    text = f"{names}{'; again for more' if again else ''} (default: {default})"
    if again:
        parser.add_argument(STREAM_FLAG, action="append", default=[], metavar="NAME", help=text)
    else:
        parser.add_argument(STREAM_FLAG, default="", metavar="NAME", help=text)


class Parser(argparse.ArgumentParser):
    """``argparse.ArgumentParser`` that takes flags in full only, and guesses what a mistyped one was meant to be.

    A flag that is cut short would change its meaning on the day another one with its beginning is added.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    def error(self, message: str) -> NoReturn:
        """End with exit code 2, the usage and the message, and the nearest name where there is one."""
        super().error(message + self._guess(message))

    def _guess(self, message: str) -> str:
        unknown, choice = _UNKNOWN.search(message), _CHOICE.search(message)
        if choice:
            return nearest(choice[1], re.findall(r"'([^']*)'", choice[2]))
        flags = [word.partition("=")[0] for word in unknown[1].split() if word.startswith("-")] if unknown else []
        guesses = [nearest(flag, sorted(set(_flags(self)))) for flag in flags]
        return next((guess for guess in guesses if guess), "")


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the flags of a parser and of those below it."""
    for action in parser._actions:  # argparse has no public list of them
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _flags(below)
