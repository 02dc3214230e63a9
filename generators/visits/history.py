"""A past of visits that ends at a given moment, as Parquet files, and the best that a model can make of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.generators.geography import CITIES
from weir.generators.population import Population
from weir.generators.seeds import Bools, Floats, Ints, rng_for
from weir.generators.visits.journeys import PRODUCT, draw_journeys
from weir.generators.visits.steps import (
    Steps,
    compute_clicks,
    compute_purchases,
    compute_sessions,
    compute_truth,
    join,
    lay_out,
)
from weir.schemas.durations import DAY_MS, HOUR_MS, MINUTE_MS

VISITS_PER_DAY: Final = 0.3
"""Of a customer of average activity."""
_APART_MS: Final = 31 * MINUTE_MS
"""Between two visits of a customer, so that they are two by everybody's measure."""
_VISITS_A_DAY_MAX: Final = 1 << 24
_OFFSET_HOURS: Final = np.array([city.utc_offset_hours for city in CITIES])
_STREAMS: Final = {"clicks": compute_clicks, "sessions": compute_sessions}


@dataclass(frozen=True)
class Figures:
    """What there is to find in a history, over its steps.

    Attributes:
        base_rate: the share of steps whose visit ends in a purchase: the PR-AUC of knowing nothing.
        popularity: the PR-AUC of ranking steps by how often their page was looked at.
        ceiling: that of the chance that each purchase was drawn with; no model can be better but by luck.
    """

    steps: int
    visits: int
    purchases: int
    base_rate: float
    popularity: float
    ceiling: float


def draw_visits(population: Population, from_ms: int, to_ms: int) -> Steps:
    """Return the steps of [from, to) in time order; whole days are drawn, so a longer past contains a shorter one."""
    days = range(from_ms // DAY_MS, (to_ms - 1) // DAY_MS + 1)
    steps = _keep_apart(join([_draw_day(population, day) for day in days]))
    return steps.take((steps.time_ms >= from_ms) & (steps.time_ms < to_ms)).in_time_order()


def _draw_day(population: Population, day: int) -> Steps:
    rng = rng_for(population.seed, "visits", day)
    everyone = np.arange(len(population.customer_names))
    # the first card of a customer has the customer's number
    customers = np.repeat(everyone, rng.poisson(VISITS_PER_DAY * population.card_activity[everyone]))
    local = rng.normal(population.card_peak_hour[customers] + 3, 4.0)  # after work rather than at lunch
    utc = (local - _OFFSET_HOURS[population.card_city[customers]]) % 24
    starts = day * DAY_MS + np.minimum((utc * HOUR_MS).astype(np.int64), DAY_MS - 1)
    journeys = draw_journeys(population, rng, customers)
    return lay_out(population, rng, journeys, customers, starts, day * _VISITS_A_DAY_MAX)


def _keep_apart(steps: Steps) -> Steps:
    """Leave out visits that begin before the customer's visit before is well over."""
    first = np.flatnonzero(steps.step == 1)
    order = first[np.lexsort((steps.time_ms[first], steps.customer[first]))]
    same = np.append(False, steps.customer[order][1:] == steps.customer[order][:-1])
    ended = np.append(0, (steps.time_ms + steps.left_ms)[order][:-1])
    crowded = order[same & (steps.time_ms[order] < ended + _APART_MS)]
    return steps.take(~np.isin(steps.visit, steps.visit[crowded]))


def write_visits(steps: Steps, population: Population, stream: str, known_ms: int, folder: Path) -> dict[str, int]:
    """Write a stream's events, labels and truth, and return how many rows of each; clicks have no labels.

    Args:
        steps: in time order.
        population: whose they are.
        stream: ``clicks`` or ``sessions``; also the name of the file.
        known_ms: labels that are known by then are written.
        folder: is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, pa.RecordBatch] = {stream: _STREAMS[stream](steps, population)}
    if stream == "sessions":
        labels = compute_purchases(steps, population)
        labels = labels.filter(pc.less_equal(labels["label_time_ms"], known_ms))
        tables["labels"] = labels.take(pc.sort_indices(labels["label_time_ms"]))
    tables["truth"] = compute_truth(steps, population)
    for name, table in tables.items():
        pq.write_table(pa.Table.from_batches([table]), folder / f"{name}.parquet", compression="zstd")
    return {name: table.num_rows for name, table in tables.items()}


def measure(steps: Steps) -> Figures:
    """Measure what there is to find."""
    first = steps.step == 1
    page = steps.kind.astype(np.int64) * 10_000 + np.where(steps.kind == PRODUCT, steps.item, 0)
    _, which, seen = np.unique(page, return_inverse=True, return_counts=True)
    return Figures(
        steps=len(steps),
        visits=int(first.sum()),
        purchases=int(steps.bought[first].sum()),
        base_rate=float(steps.bought.mean()),
        popularity=average_precision(steps.bought, seen[which].astype(np.float64)),
        ceiling=average_precision(steps.bought, steps.buys),
    )


def average_precision(truth: Bools, scores: Floats) -> float:
    """Return the area under the precision-recall curve, as a sum of steps; equal scores are one step.

    >>> average_precision(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]))
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    found: Ints = np.cumsum(truth[order])
    last: npt.NDArray[np.int64] = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    gained = np.diff(found[last], prepend=0)
    return float((gained * found[last] / (last + 1)).sum() / max(1, found[-1]))
