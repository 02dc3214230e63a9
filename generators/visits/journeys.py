"""What visits are made of: an intent, pages in order with gaps between them, and the chance of a purchase.

All visits of a call are drawn at once, page by page. **Cost:** about 2 us a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.generators.population import Population
from weir.generators.profiles.distributions import pick
from weir.generators.seeds import Bools, Floats, Ints, key_of, mix64, normals

KINDS: Final = ("HOME", "SEARCH", "CATEGORY", "PRODUCT", "CART", "CHECKOUT", "OTHER")
HOME, SEARCH, CATEGORY, PRODUCT, CART, CHECKOUT, OTHER = range(len(KINDS))
_EXIT = len(KINDS)
STEPS_MAX: Final = 40
"""Of a visit; it then ends."""
_INTENTS: Final = np.array([0.70, 0.22, 0.08])
"""Shares of visits that look around, compare, and mean to buy."""
_FIRST: Final = np.array([[6, 2, 2, 3, 0, 0, 1], [2, 5, 2, 4, 0.3, 0, 0.3], [2, 3, 1, 4, 2, 0, 0.2]], np.float64)
_NEXT: Final = np.array(
    [  # to HOME SEARCH CATEGORY PRODUCT CART CHECKOUT OTHER exit, from each kind, for each intent
        [
            [0.5, 2, 3, 2, 0.1, 0, 0.5, 3],
            [0.3, 2, 1, 4, 0.1, 0, 0.2, 3],
            [0.3, 1, 2, 5, 0.1, 0, 0.2, 3],
            [0.3, 1, 2, 4, 0.3, 0, 0.2, 3],
            [0.3, 1, 1, 2, 0.2, 0.4, 0.3, 3],
            [0.2, 0.2, 0.2, 0.4, 1, 0.3, 0.3, 3],
            [1, 1, 1, 1, 0.1, 0, 0.5, 4],
        ],
        [
            [0.2, 4, 3, 4, 0.3, 0, 0.2, 0.8],
            [0.1, 3, 1, 7, 0.2, 0, 0.1, 0.6],
            [0.1, 2, 2, 8, 0.2, 0, 0.1, 0.7],
            [0.1, 2, 2, 7, 0.8, 0, 0.2, 1.0],
            [0.1, 1, 1, 4, 0.5, 0.8, 0.4, 1.2],
            [0.1, 0.3, 0.2, 1, 1.5, 0.5, 0.4, 1.5],
            [0.5, 1, 1, 2, 0.3, 0, 0.5, 1.5],
        ],
        [
            [0.1, 3, 1, 5, 2, 0, 0.1, 0.5],
            [0.1, 1, 0.5, 7, 1, 0, 0.1, 0.4],
            [0.1, 1, 1, 7, 1, 0, 0.1, 0.4],
            [0.1, 0.7, 0.5, 3, 5, 0, 0.1, 0.5],
            [0.1, 0.2, 0.1, 1, 0.4, 6, 0.2, 0.6],
            [0.1, 0.1, 0.1, 0.2, 0.5, 0.8, 0.2, 6],
            [0.3, 1, 0.5, 2, 2, 0.5, 0.3, 1],
        ],
    ],
    np.float64,
)
_GAP_SECONDS: Final = np.array([7.0, 14.0, 10.0])
"""The median time on a page, by intent: who compares reads."""
_GAP_SPREAD: Final = 0.9
GAP_SECONDS_MAX: Final = 900.0
"""Below the half hour after which a visit is over."""
_BUYS: Final = np.array([-4.6, -3.4, -1.6])
"""Log odds of a purchase by intent, of a customer of average liking, without a cart."""
_LIKING, _CART, _CHECKOUT = 0.9, 0.5, 1.9
"""What they add: a customer's liking, one deviation of it, a cart, a checkout page."""


@dataclass(frozen=True)
class Journeys:
    """Visits, and their steps as one column each, visit by visit and in order.

    Attributes:
        buys: float64, shape (visits,), the chance of a purchase that the truth is drawn with.
        bought: bool, shape (visits,), the truth.
        visit: int64, shape (steps,), the number of the visit.
        kind: int8, shape (steps,), a position in ``KINDS``.
        item: int64, shape (steps,), which page of its kind.
        since_ms: int64, shape (steps,), since the visit's first step.
        gap_ms: int64, shape (steps,), since the step before; 0 at the first.
    """

    buys: Floats
    bought: Bools
    visit: Ints
    kind: npt.NDArray[np.int8]
    item: Ints
    since_ms: Ints
    gap_ms: Ints


def draw_journeys(population: Population, rng: np.random.Generator, customers: Ints) -> Journeys:
    """Draw a visit of each customer given; a customer may be given several times."""
    count = len(customers)
    liking = find_liking(population, customers)
    # who likes to buy comes to buy more often
    intent = pick(_INTENTS, np.clip(rng.random(count) + 0.06 * liking, 0.0, 1.0 - 1e-9))
    kinds = _draw_kinds(rng, intent)
    there = kinds < _EXIT
    medians = _GAP_SECONDS[intent][:, None]
    gaps = np.minimum(medians * np.exp(rng.normal(0, _GAP_SPREAD, kinds.shape)), GAP_SECONDS_MAX) * 1_000
    gaps[:, 0] = 0
    since = np.cumsum(gaps.astype(np.int64), axis=1)
    carts, paid = (kinds == CART).any(axis=1), (kinds == CHECKOUT).any(axis=1)
    odds = _BUYS[intent] + _LIKING * liking + _CART * carts + _CHECKOUT * paid
    buys = 1.0 / (1.0 + np.exp(-odds))
    items = (rng.pareto(1.1, kinds.shape) * 20).astype(np.int64) % 5_000
    return Journeys(
        buys=buys,
        bought=rng.random(count) < buys,
        visit=np.repeat(np.arange(count), there.sum(axis=1)),
        kind=kinds[there],
        item=items[there],
        since_ms=since[there],
        gap_ms=gaps.astype(np.int64)[there],
    )


def find_liking(population: Population, customers: Ints) -> Floats:
    """Return how much customers like to buy online, about a standard normal number each.

    It is half what their cards show, their share of online payments, and half something that no payment shows.
    """
    online = (population.card_online[customers] - 0.4) / 0.2  # the first card of a customer has its number
    hidden = normals(mix64(customers.astype(np.uint64) ^ key_of(population.seed, "liking")), 3)
    liking: Floats = np.sqrt(0.5) * (online + hidden)
    return liking


def _draw_kinds(rng: np.random.Generator, intent: Ints) -> npt.NDArray[np.int8]:
    """Return the kind of every step, shape (visits, STEPS_MAX); after the last one comes ``_EXIT``."""
    kinds = np.full((len(intent), STEPS_MAX), _EXIT, np.int8)
    kinds[:, 0] = _pick_rows(rng, _FIRST[intent])
    going = np.arange(len(intent))
    for step in range(1, STEPS_MAX):
        chosen = _pick_rows(rng, _NEXT[intent[going], kinds[going, step - 1]])
        kinds[going, step] = chosen
        going = going[chosen < _EXIT]
        if not len(going):
            break
    return kinds


def _pick_rows(rng: np.random.Generator, weights: Floats) -> npt.NDArray[np.int8]:
    up_to = np.cumsum(weights, axis=1)
    chances = rng.random(len(weights)) * up_to[:, -1]
    chosen: npt.NDArray[np.int8] = (up_to <= chances[:, None]).sum(axis=1).astype(np.int8)
    return chosen
