"""Steps of visits as columns, and as records: of the streams ``clicks`` and ``sessions``, their labels, the truth."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.generators.population import Population, phone_of, stray_device, tablet_of
from weir.generators.seeds import Bools, Floats, Ints, device_strings, key_of, uuid_strings
from weir.generators.visits.journeys import CART, KINDS, PRODUCT, SEARCH, Journeys
from weir.schemas.durations import DAY_MS, MINUTE_MS

LABEL_DELAY_MS: Final = 30 * MINUTE_MS
"""After the last step: by then the visit is over, and the shop knows."""
_PATHS: Final = ("/", "/search", "/category/", "/product/", "/cart", "/checkout", "/help/")
_NUMBERED: Final = pa.array([path.endswith("/") and path != "/" for path in _PATHS])
_REFERRERS: Final = ("search.example", "news.example", "mail.example", "partner.example")
_REFERRED, _OTHER_DEVICE = 0.4, 0.06
TRUTH_SCHEMA: Final = pa.schema(
    [("click_id", pa.string()), ("visit", pa.int64()), ("bought", pa.bool_()), ("buys", pa.float64())]
)


@dataclass(frozen=True)
class Steps:
    """Columns of equal length, one row a click.

    Attributes:
        time_ms: when.
        customer: the number of the customer.
        visit: tells visits apart, in the whole world.
        step, products, searches, carts: of the visit so far, this one included.
        since_ms: since the visit's first step.
        gap_ms: since the step before, 0 at the first.
        left_ms: until the visit's last step.
        kind, item: which page.
        device: see ``seeds.device_strings``.
        referrer: a position in the list of referrers, -1 for none.
        buys, bought: the chance of a purchase, and the truth.
    """

    time_ms: Ints
    customer: Ints
    visit: Ints
    step: Ints
    products: Ints
    searches: Ints
    carts: Ints
    since_ms: Ints
    gap_ms: Ints
    left_ms: Ints
    kind: npt.NDArray[np.int8]
    item: Ints
    device: Ints
    referrer: Ints
    buys: Floats
    bought: Bools

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: Ints | Bools | slice) -> Steps:
        """Return the given rows, in that order."""
        return Steps(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def in_time_order(self) -> Steps:
        """Return all rows by time; rows of one millisecond keep their order."""
        return self.take(np.argsort(self.time_ms, kind="stable"))

    def at(self, times_ms: Ints) -> Steps:
        """Return the rows at other moments; what a visit has come to is as it was."""
        return replace(self, time_ms=times_ms)


def join(parts: list[Steps]) -> Steps:
    """Join columns."""
    return Steps(**{each.name: np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Steps)})


def lay_out(
    population: Population, rng: np.random.Generator, journeys: Journeys, customers: Ints, starts_ms: Ints, first: int
) -> Steps:
    """Put visits at moments; ``first`` is the number of the first of them."""
    visit = journeys.visit
    begins = np.searchsorted(visit, np.arange(len(customers)))
    ends = np.append(begins[1:], len(visit))
    who, started = customers[visit], starts_ms[visit]
    other = rng.random(len(customers)) < _OTHER_DEVICE
    own = np.where(
        rng.random(len(customers)) < 0.7,
        phone_of(population, customers, starts_ms // DAY_MS),
        tablet_of(population, customers),
    )
    device = np.where(other, stray_device(rng.integers(0, 1 << 40, len(customers))), own)
    referred = rng.random(len(customers)) < _REFERRED
    referrer = np.where(referred, rng.integers(0, len(_REFERRERS), len(customers)), -1)
    step = np.arange(len(visit)) - begins[visit] + 1
    return Steps(
        time_ms=started + journeys.since_ms,
        customer=who,
        visit=visit + first,
        step=step,
        products=_count(journeys.kind == PRODUCT, begins, visit),
        searches=_count(journeys.kind == SEARCH, begins, visit),
        carts=_count(journeys.kind == CART, begins, visit),
        since_ms=journeys.since_ms,
        gap_ms=journeys.gap_ms,
        left_ms=journeys.since_ms[ends - 1][visit] - journeys.since_ms,
        kind=journeys.kind,
        item=journeys.item,
        device=device[visit],
        referrer=np.where(step == 1, referrer[visit], -1),
        buys=journeys.buys[visit],
        bought=journeys.bought[visit],
    )


def _count(is_one: Bools, begins: Ints, visit: Ints) -> Ints:
    """Count the steps of a kind up to each step of its visit."""
    up_to: Ints = np.cumsum(is_one)
    return up_to - (up_to[begins] - is_one[begins])[visit]


def compute_clicks(steps: Steps, population: Population) -> pa.RecordBatch:
    """Return the fields of ``clicks``."""
    referrers = pa.array(_REFERRERS).take(pa.array(np.maximum(steps.referrer, 0)))
    return pa.RecordBatch.from_pydict(
        {
            "click_id": _ids(steps, population),
            "customer_id": population.customer_names.take(pa.array(steps.customer)),
            "event_time_ms": pa.array(steps.time_ms),
            "page": _pages(steps),
            "dwell_ms": pa.array(steps.gap_ms.astype(np.int32)),
            "device_id": device_strings(population.seed, steps.device),
            "referrer": pc.if_else(pa.array(steps.referrer >= 0), referrers, pa.scalar(None, pa.string())),
        }
    )


def compute_sessions(steps: Steps, population: Population) -> pa.RecordBatch:
    """Return the fields of ``sessions``, by what the simulator knows of each visit."""
    first = replace(steps, step=np.ones(len(steps), np.int64))
    columns: dict[str, Any] = {
        "click_id": _ids(steps, population),
        "customer_id": population.customer_names.take(pa.array(steps.customer)),
        "session_id": _ids(first, population),
        "event_time_ms": pa.array(steps.time_ms),
        "page": _pages(steps),
        "kind": pa.array(KINDS).take(pa.array(steps.kind)),
        "device_id": device_strings(population.seed, steps.device),
        "step": steps.step,
        "seconds": steps.since_ms // 1_000,
        "dwell_ms": steps.gap_ms,
        "products": steps.products,
        "searches": steps.searches,
        "carts": steps.carts,
    }
    whole = {name: pa.array(each.astype(np.int32)) for name, each in columns.items() if isinstance(each, np.ndarray)}
    return pa.RecordBatch.from_pydict(columns | whole)


def compute_purchases(steps: Steps, population: Population) -> pa.RecordBatch:
    """Return the label of every step, known half an hour after its visit's last one."""
    return pa.RecordBatch.from_pydict(
        {
            "click_id": _ids(steps, population),
            "customer_id": population.customer_names.take(pa.array(steps.customer)),
            "event_time_ms": pa.array(steps.time_ms),
            "label_time_ms": pa.array(steps.time_ms + steps.left_ms + LABEL_DELAY_MS),
            "bought": pa.array(steps.bought),
            "source": pa.array(["shop"] * len(steps)),
        }
    )


def compute_truth(steps: Steps, population: Population) -> pa.RecordBatch:
    """Return what only the simulator knows."""
    columns = [_ids(steps, population), pa.array(steps.visit), pa.array(steps.bought), pa.array(steps.buys)]
    return pa.RecordBatch.from_arrays(columns, schema=TRUTH_SCHEMA)


def _ids(steps: Steps, population: Population) -> pa.Array:
    low = steps.visit.astype(np.uint64) * np.uint64(1_000) + steps.step.astype(np.uint64)
    return uuid_strings(np.full(len(steps), key_of(population.seed, "clicks")), low)


def _pages(steps: Steps) -> pa.Array:
    kind = pa.array(steps.kind)
    numbered = pc.binary_join_element_wise(pa.array(_PATHS).take(kind), pa.array(steps.item).cast(pa.string()), "")
    return pc.if_else(_NUMBERED.take(kind), numbered, pa.array(_PATHS).take(kind))
