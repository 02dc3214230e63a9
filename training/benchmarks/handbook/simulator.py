"""The Fraud Detection Handbook's simulated payments, made by its published definitions.

Le Borgne, Siblini, Lebichot, Bontempi: Reproducible Machine Learning for Credit Card Fraud Detection (2022). The
definitions fix every random draw, in its order and by its generator, so that the same payments come out: their number
is compared with the published one by each run. Fraud is added by ``frauds.py``.

Customers and terminals are points of a square of 100 by 100. A customer pays at terminals nearer than a radius, at
times of day around noon, amounts around a mean of the customer's own.

**Cost:** about 20 s for the published size, one core.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from weir.schemas.durations import DAY_MS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

START_MS: Final = 1_522_540_800_000
"""2018-04-01, 00:00 UTC: the first day."""
DAY_S: Final = DAY_MS // 1_000
_NOON_S: Final = DAY_S / 2
_SPREAD_S: Final = 20_000
_SIDE: Final = 100
_CUSTOMER_SEED, _TERMINAL_SEED = 0, 1


@dataclass(frozen=True)
class World:
    """How much is simulated; the published size by default."""

    customers: int = 5_000
    terminals: int = 10_000
    days: int = 183
    radius: float = 5.0


@dataclass(frozen=True)
class Payments:
    """Payments in time order; a payment's id is its position.

    Attributes:
        seconds: since the first day's midnight.
        amount_cents: what was paid.
        fraud: 0 or 1.
        scenario: the last scenario that made it fraud, 0 for none.
    """

    customer: Ints
    terminal: Ints
    seconds: Ints
    amount_cents: Ints
    fraud: npt.NDArray[np.int8]
    scenario: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def day(self) -> Ints:
        """The number of each payment's day, from 0."""
        return self.seconds // DAY_S

    @property
    def time_ms(self) -> Ints:
        """UTC epoch milliseconds."""
        return START_MS + self.seconds * 1_000


@dataclass(frozen=True)
class _Customer:
    """Somebody's place and habits."""

    x: float
    y: float
    mean_amount: float
    payments_a_day: float


def draw_payments(world: World, progress: Callable[[str], object] = lambda _: None) -> Payments:
    """Return the payments of a world, none of them fraud yet."""
    terminals = _draw_terminals(world)
    parts: list[Ints] = []
    for number, customer in enumerate(_draw_customers(world)):
        if number % 500 == 0:
            progress(f"simulating customer {number:,} of {world.customers:,}")
        near = np.flatnonzero(np.hypot(*(terminals - (customer.x, customer.y)).T) < world.radius).tolist()
        drawn = list(_pay(number, customer, near, world.days))
        parts.append(np.array([(number, *each) for each in drawn], np.int64).reshape(-1, 4))
    table = np.concatenate(parts)
    table = table[np.argsort(table[:, 2], kind="stable")]
    customers, places, seconds, cents = np.ascontiguousarray(table.T)
    none = np.zeros(len(table), np.int8)
    return Payments(customers, places, seconds, cents, none, none.copy())


def _draw_customers(world: World) -> Iterator[_Customer]:
    chance = np.random.RandomState(_CUSTOMER_SEED)
    for _ in range(world.customers):
        x, y = chance.uniform(0, _SIDE), chance.uniform(0, _SIDE)
        yield _Customer(x, y, mean_amount=chance.uniform(5, 100), payments_a_day=chance.uniform(0, 4))


def _draw_terminals(world: World) -> Floats:
    chance = np.random.RandomState(_TERMINAL_SEED)
    return chance.uniform(0, _SIDE, (world.terminals, 2))


def _pay(seed: int, customer: _Customer, near: list[int], days: int) -> Iterator[tuple[int, int, int]]:
    """Yield terminal, second and cents of each payment, in the order of drawing."""
    choice, chance = random.Random(seed), np.random.RandomState(seed)
    for day in range(days):
        for _ in range(chance.poisson(customer.payments_a_day)):
            second = int(chance.normal(_NOON_S, _SPREAD_S))
            if not 0 < second < DAY_S:
                continue
            cents = _draw_cents(chance, customer.mean_amount)
            if near:
                yield choice.choice(near), day * DAY_S + second, cents


def _draw_cents(chance: Any, mean: float) -> int:
    amount = chance.normal(mean, mean / 2)
    if amount < 0:
        amount = chance.uniform(0, mean * 2)
    return int(np.rint(amount * 100))
