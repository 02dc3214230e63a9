"""The Handbook's three fraud scenarios, added to simulated payments in its order.

1. A payment above 220 is fraud: a pattern that one payment shows, to test that anything is found at all.
2. Each day two terminals are compromised: all of their payments of 28 days are fraud.
3. Each day three customers' data leak: of their payments of 14 days, a third have five times the amount and are fraud.

A later scenario takes over payments of an earlier one. The last day starts nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from weir.training.benchmarks.handbook.simulator import Ints, Payments, World

_LARGE_CENTS: Final = 22_000
_TERMINALS_A_DAY, _TERMINAL_DAYS = 2, 28
_CUSTOMERS_A_DAY, _CUSTOMER_DAYS = 3, 14
_SHARE: Final = 3
_TIMES: Final = 5
SCENARIOS: Final = (1, 2, 3)


@dataclass(frozen=True)
class Counts:
    """What was simulated, as the Handbook counts it.

    Attributes:
        payments: all of them.
        frauds: payments that are fraud.
        added: by scenario, payments that were not fraud before it.
        final: by scenario, payments that it was the last to make fraud.
    """

    payments: int
    frauds: int
    added: tuple[int, ...]
    final: tuple[int, ...]


PUBLISHED: Final = Counts(1_754_155, 14_681, (978, 9_099, 4_604), (973, 9_077, 4_631))


def add_frauds(payments: Payments, world: World) -> tuple[Payments, Counts]:
    """Return the payments with fraud in them, and how much of it."""
    amount_cents, scenario = payments.amount_cents.copy(), payments.scenario.copy()
    scenario[amount_cents > _LARGE_CENTS] = 1
    known = [int((scenario > 0).sum())]
    for rows in _compromised(payments.terminal, payments.day, world.terminals, _TERMINALS_A_DAY, _TERMINAL_DAYS):
        scenario[rows] = 2
    known.append(int((scenario > 0).sum()))
    leaks = _compromised(payments.customer, payments.day, world.customers, _CUSTOMERS_A_DAY, _CUSTOMER_DAYS)
    for day, rows in enumerate(leaks):
        taken = random.Random(day).sample(rows.tolist(), len(rows) // _SHARE)
        amount_cents[taken] *= _TIMES
        scenario[taken] = 3
    known.append(int((scenario > 0).sum()))
    fraud = (scenario > 0).astype(np.int8)
    final = tuple(int((scenario == number).sum()) for number in SCENARIOS)
    counts = Counts(len(payments), known[-1], tuple(np.diff([0, *known]).tolist()), final)
    return replace(payments, amount_cents=amount_cents, scenario=scenario, fraud=fraud), counts


def _compromised(whose: Ints, day: Ints, population: int, each_day: int, days: int) -> list[Ints]:
    """Return, for each day but the last, the payments of those who are compromised from that day on."""
    order = np.argsort(whose, kind="stable")
    bounds = np.searchsorted(whose[order], np.arange(population + 1))
    rows = []
    for first in range(int(day.max())):
        ids = np.random.RandomState(first).choice(population, each_day, replace=False).tolist()
        theirs = np.sort(np.concatenate([order[bounds[one] : bounds[one + 1]] for one in ids]))
        rows.append(theirs[(day[theirs] >= first) & (day[theirs] < first + days)])
    return rows
