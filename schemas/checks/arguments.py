"""Parts of a declaration that are of a wrong type, such as a text where a list belongs.

Python takes any value for any argument, and a check that trips over one would name a line of ours. So types are
checked first, by the annotations of the parts; where one is wrong, nothing else can be said. Expressions are left to
their own checks.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from weir.schemas.entity import Feature, as_tuple
from weir.schemas.expression import Expression
from weir.schemas.origin import Finding, Origin
from weir.schemas.rules import Rule
from weir.schemas.stream import Stream

ALGEBRA = Stream.__module__.rpartition(".")[0]
"""The package of the parts that are checked; anything else in a list is said to be wrong as a whole."""

_WORDS: Final[Mapping[Any, str]] = {
    str: "text",
    int: "a whole number",
    bool: "True or False",
    type(None): "None",
    Expression: 'an expression such as col("field")',
    Feature: 'a feature such as card.event.count("1d")',
}


def find_type_faults(stream: Stream) -> Iterator[Finding]:
    """Yield each part whose value is of another type than it is declared to be."""
    for what, part in [("stream", stream), *_list_parts(stream)]:
        hints = typing.get_type_hints(type(part))
        for each in fields(part):
            value, hint = getattr(part, each.name), hints[each.name]
            if each.name != "where" and hint is not Expression and not _fits(value, hint):
                yield Finding(part.where, what, f"expected {_say(hint)} for {each.name}, found {value!r:.80}")


def _list_parts(stream: Stream) -> Iterator[tuple[str, Any]]:
    """Yield the parts that are what they should be; of others the stream itself is said to be wrong."""
    alone = [stream.key, stream.reversal, stream.position, stream.labels]
    lists = [
        stream.entities,
        stream.measures,
        stream.flags,
        stream.values,
        stream.checks,
        stream.features,
        stream.rules,
    ]
    ours = [*alone, *(each for parts in lists if isinstance(parts, tuple) for each in parts)]
    ours += [each for part in ours if isinstance(part, Rule) for each in as_tuple(part.examples)]
    for part in ours:
        if type(part).__module__.rpartition(".")[0] == ALGEBRA and isinstance(getattr(part, "where", 0), Origin):
            yield type(part).__name__.lower(), part


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return any(_fits(value, each) for each in inner)
    if origin in {Sequence, tuple}:
        return isinstance(value, tuple) and all(_fits(each, inner[0]) for each in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    return isinstance(value, hint) and not (hint is int and isinstance(value, bool))


def _say(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        words = list(dict.fromkeys(map(_say, inner)))
        lists = {f"a list of {word}" for word in words}  # one of them, or several: the one says enough
        return " or ".join(word for word in words if word not in lists)
    if origin in {Sequence, tuple}:
        return f"a list of {_say(inner[0])}"
    if origin is Mapping:
        return f"a dict of {_say(inner[0])} to {_say(inner[1])}"
    return _WORDS.get(hint, f"{hint.__name__}(...)" if isinstance(hint, type) else str(hint))
