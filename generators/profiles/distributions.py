"""How the values of one field are distributed.

A field is drawn in two steps: a number for each event, and the value that a number stands for. So another field can
follow it: ``of`` makes a field depend on whose event it is, such as the two devices of each customer.
Pure: what is drawn follows from the generator that is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.generators.seeds import Floats, Ints, mix64, uniforms

Scalar: TypeAlias = "str | int | float | bool"
_SALT = 17


@dataclass(frozen=True)
class Request:
    """What is asked of a distribution.

    Attributes:
        rng: gives every draw that is not tied to another field.
        count: how many values.
        of: the numbers drawn for the field that this one follows, or None.
        salt: tells fields apart that follow the same one.
    """

    rng: np.random.Generator
    count: int
    of: Ints | None = None
    salt: int = 0


@dataclass(frozen=True)
class Drawn:
    """Values of one field.

    Attributes:
        values: an Arrow array.
        numbers: what each value is by number, for fields that follow this one.
    """

    values: pa.Array
    numbers: Ints


class Distribution(Protocol):
    """Values of one field."""

    def draw(self, request: Request) -> Drawn:
        """Draw values."""
        ...


@dataclass(frozen=True)
class Ids:
    """``ids``: a number of ids, some met more often than others.

    Attributes:
        count: how many ids, of each value of the field that is followed.
        popular: 0 meets all alike; at 1 the second id is met half as often as the first, the third a third as often.
        prefix: what each begins with.
    """

    count: int
    popular: float = 0.0
    prefix: str = ""

    def draw(self, request: Request) -> Drawn:
        """Draw ids."""
        weights = np.arange(1, self.count + 1, dtype=np.float64) ** -self.popular
        picks = pick(weights, request.rng.random(request.count))
        numbers = picks if request.of is None else request.of * self.count + picks
        digits = pa.array(numbers).cast(pa.string())
        return Drawn(pc.binary_join_element_wise(self.prefix, digits, ""), numbers)


@dataclass(frozen=True)
class Choice:
    """``choice``: one of some values, by their weights; for each value of the field that is followed always the same.

    Attributes:
        values: all of one type.
        weights: as many.
    """

    values: tuple[Scalar, ...]
    weights: tuple[float, ...]

    def draw(self, request: Request) -> Drawn:
        """Draw values."""
        if request.of is None:
            chances = request.rng.random(request.count)
        else:
            salt = np.uint64(request.salt)
            chances = uniforms(mix64(request.of.astype(np.uint64) ^ mix64(np.full(1, salt))), _SALT)
        numbers = pick(np.array(self.weights), chances)
        return Drawn(pa.array(self.values).take(pa.array(numbers)), numbers)


@dataclass(frozen=True)
class Lognormal:
    """``lognormal``: sizes such as amounts and durations, most near the median and a few far above it.

    Attributes:
        median: half of the values are below it.
        spread: of their logarithm; 1 lets one in six be 2.7 times the median or more.
        at_least, at_most: what is beyond is drawn to the bound.
        whole: whether they are whole numbers.
    """

    median: float
    spread: float = 1.0
    at_least: float = -np.inf
    at_most: float = np.inf
    whole: bool = True

    def draw(self, request: Request) -> Drawn:
        """Draw numbers."""
        found = np.exp(request.rng.normal(np.log(self.median), self.spread, request.count))
        return _numbers(np.clip(found, self.at_least, self.at_most), whole=self.whole)


@dataclass(frozen=True)
class Uniform:
    """``uniform``: any number from a lowest to a highest."""

    low: float
    high: float
    whole: bool = True

    def draw(self, request: Request) -> Drawn:
        """Draw numbers."""
        if self.whole:
            found = request.rng.integers(int(self.low), int(self.high) + 1, request.count)
            return Drawn(pa.array(found), found)
        return _numbers(request.rng.uniform(self.low, self.high, request.count), whole=False)


def constant(value: Scalar) -> Choice:
    """Return what is the same in every event."""
    return Choice((value,), (1.0,))


def share(of_true: float) -> Choice:
    """Return what is true in a share of the events."""
    return Choice((True, False), (of_true, 1 - of_true))


def choice(values: Sequence[Scalar]) -> Choice:
    """Return what is any of some values alike."""
    return Choice(tuple(values), (1.0,) * len(values))


def pick(weights: Floats, chances: Floats) -> Ints:
    """Return a position for each chance in [0, 1), by the weights."""
    up_to = np.cumsum(weights)
    found = np.searchsorted(up_to / up_to[-1], chances, side="right")
    return np.minimum(found, len(weights) - 1).astype(np.int64)


def _numbers(found: Floats, *, whole: bool) -> Drawn:
    values: Any = np.rint(found).astype(np.int64) if whole else found
    return Drawn(pa.array(values), np.asarray(found).astype(np.int64))
