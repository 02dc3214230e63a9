"""What a field is made of that no profile names: by its Avro type, its place in the declaration, and its own checks.

A check over one field is asked of every candidate, and only values that pass are drawn. A check over several fields
is not: what fails it becomes a dead letter, as it would in production, until a profile says better.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.generators.profiles.distributions import (
    Choice,
    Distribution,
    Ids,
    Lognormal,
    Request,
    Uniform,
    choice,
    constant,
    share,
)
from weir.schemas.errors import Refused
from weir.schemas.expression import columns_of, find_money
from weir.schemas.expression_values import fails
from weir.schemas.stream import Stream

_KEYS, _OTHERS, _TEXTS = 1_000, 200, 20
"""Ids of the key, of other fields that hold ids, and different texts of any other."""
_POPULAR = 1.0
_TRIED = 512
"""Values that are held against a field's checks."""
_WORDS = ("berlin", "lagos", "lima", "oslo", "porto", "quito")
_COUNTRIES = ("BR", "DE", "FR", "JP", "US")
MISSING = 0.1
"""Of the values of a field that may be null."""


def is_plain(kind: Any) -> bool:
    """True for an Avro type, without null, whose values can be made up."""
    if isinstance(kind, str):
        return kind in {"string", "boolean", "int", "long", "float", "double"}
    return isinstance(kind, dict) and kind.get("type") == "enum"


def choose_distribution(stream: Stream, name: str, kind: Any) -> Distribution:
    """Return how a field is distributed by default.

    Args:
        stream: whose field it is.
        name: the field.
        kind: its Avro type, without null.

    Raises:
        Refused: the type is nested, or no candidate passes the field's checks.
    """
    candidates = list(_candidates(stream, name, kind))
    if not candidates:
        raise Refused(f"expected a plain type of {name} in {stream.schema}, found {_name(kind)}: it cannot be made up")
    for candidate in candidates:
        values = candidate.draw(Request(np.random.default_rng(0), _TRIED)).values
        passed = _passing(stream, name, values)
        if len(passed) == len(values):
            return candidate
        if len(passed):
            return choice(pc.unique(passed).to_pylist())
    raise Refused(
        f"expected values of {name} in generator.toml: what is made up by its type fails the checks of {stream.name}"
    )


def _candidates(stream: Stream, name: str, kind: Any) -> Iterator[Distribution]:
    if isinstance(kind, list):
        return
    if isinstance(kind, dict):
        if kind.get("type") == "enum":
            yield choice(kind["symbols"])
    elif kind == "string":
        yield from _texts(stream, name)
    elif kind == "boolean":
        yield share(MISSING)
    elif kind in {"int", "long"}:
        bound = min((m.bound for m in stream.measures if m.bound and name in columns_of(m.value)), default=1_000_000)
        yield Lognormal(min(1_000, bound), at_most=bound)
        yield Uniform(0, min(100, bound))
    elif kind in {"float", "double"}:
        if stream.position and name in {stream.position.lat, stream.position.lon}:
            yield Uniform(-60, 60, whole=False)
        yield Lognormal(1.0, whole=False)
        yield Uniform(0, 1, whole=False)


def _texts(stream: Stream, name: str) -> Iterator[Distribution]:
    if name in _currencies(stream):
        yield constant("USD")
    if name == stream.key.field:
        yield Ids(_KEYS, _POPULAR, prefix_of(name))
    elif name in stream.id_fields:
        yield Ids(_OTHERS, _POPULAR, prefix_of(name))
    else:
        yield Ids(_TEXTS, _POPULAR, prefix_of(name))
    yield from (choice(_WORDS), choice(_COUNTRIES), constant("USD"), Ids(_OTHERS, _POPULAR), Choice(("",), (1.0,)))


def prefix_of(name: str) -> str:
    """Return what made-up ids of a field begin with.

    >>> prefix_of("card_id")
    'card-'
    """
    return f"{name.removesuffix('_id')}-"


def _currencies(stream: Stream) -> set[str]:
    return {node.parts[1].value for measure in stream.measures for node in find_money(measure.value)}


def _passing(stream: Stream, name: str, values: pa.Array) -> pa.Array:
    batch = pa.RecordBatch.from_arrays([values], [name])
    wrong = np.zeros(len(values), np.bool_)
    for check in stream.all_checks:
        if set(columns_of(check.must)) == {name}:
            wrong |= fails(check.must, batch)
    return values.filter(pa.array(~wrong))


def _name(kind: Any) -> str:
    return str(kind.get("type", "a record")) if isinstance(kind, dict) else str(kind)
