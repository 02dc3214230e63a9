"""A labelled past of any length that ends at a given moment, as three Parquet files.

Everything is a function of the seed and the epoch day or week: a longer history contains a shorter one with the same
end, and a live stream of the same seed continues with the same cards, habits, travellers and compromised merchants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.generators.events import Events, compute_transactions, compute_truth, concat
from weir.generators.habits import draw_day
from weir.generators.hard_negatives import WEEK_MS, draw_holidays, travellers
from weir.generators.labels import compute_labels
from weir.generators.plan import PAYMENTS_PER_DAY, plan
from weir.generators.population import Population
from weir.generators.rush import fill_all
from weir.generators.seeds import Bools, key_of, rng_for
from weir.schemas.durations import DAY_MS

RUSH_SHARE = 0.35
"""Payments in rushes, over everyday ones: enough for a model to know a live stream when it sees one."""
_RUSH_PAYMENTS_MEAN = 6_000
_ROW_GROUP = 65_536


@dataclass(frozen=True)
class History:
    """``transactions`` by event time, ``labels`` known by the end by label time, ``truth`` as the transactions."""

    transactions: pa.RecordBatch
    labels: pa.RecordBatch
    truth: pa.RecordBatch


def build_history(population: Population, from_ms: int, to_ms: int) -> History:
    """Return what happened in [from, to), UTC epoch milliseconds, and what was known of it at ``to``."""
    return name_events(draw_history(population, from_ms, to_ms), population, to_ms)


def name_events(events: Events, population: Population, known_ms: int) -> History:
    """Return payments in time order as records, with the labels that are known by a moment."""
    labels = compute_labels(events, population)
    known = labels.filter(pc.less_equal(labels["label_time_ms"], known_ms))
    return History(compute_transactions(events, population), known, compute_truth(events))


def draw_history(population: Population, from_ms: int, to_ms: int) -> Events:
    """Return the payments of [from, to) in time order."""
    days = range(from_ms // DAY_MS, (to_ms - 1) // DAY_MS + 1)
    everyday = concat(draw_day(population, day, PAYMENTS_PER_DAY) for day in days).between(from_ms, to_ms)
    parts = [everyday.take(~_while_travelling(population, everyday))]
    parts += _draw_acts(population, from_ms, to_ms)
    parts += _draw_trips(population, from_ms, to_ms)
    parts += [rush for day in days for rush in _draw_rushes(population, day)]
    return concat(parts).between(from_ms, to_ms).in_time_order()


def _while_travelling(population: Population, events: Events) -> Bools:
    """Return which in-person payments cannot be: their owner is abroad that week."""
    week = events.time_ms // WEEK_MS
    gone = np.zeros(len(events), dtype=np.bool_)
    for number in np.unique(week):
        cards, _ = travellers(population, int(number))
        gone |= (week == number) & np.isin(events.card, cards)
    return gone & ~population.merchant_online[events.merchant]


def _draw_acts(population: Population, from_ms: int, to_ms: int) -> Iterator[Events]:
    for act in plan(population, from_ms, to_ms):
        events = act.scenario.draw(population, act.actor, act.start_ms, rushed=False)
        yield events.with_ids(key_of(population.seed, "act", act.actor)).between(from_ms, to_ms)


def _draw_trips(population: Population, from_ms: int, to_ms: int) -> Iterator[Events]:
    for week in range(from_ms // WEEK_MS, (to_ms - 1) // WEEK_MS + 1):
        events = draw_holidays(population, week, PAYMENTS_PER_DAY)
        yield events.with_ids(key_of(population.seed, "trips", week))


def _draw_rushes(population: Population, day: int) -> Iterator[Events]:
    """Yield the day's minutes in fast motion, at rates as live streams have them."""
    rng = rng_for(population.seed, "rushes", day)
    expected = population.cards * PAYMENTS_PER_DAY * RUSH_SHARE / min(_RUSH_PAYMENTS_MEAN, 2 * population.cards)
    for _ in range(int(expected + rng.random())):
        start_ms = day * DAY_MS + int(rng.integers(0, DAY_MS - 600_000))
        per_second = float(np.exp(rng.uniform(np.log(30), np.log(300))))
        seconds = rng.uniform(30, 120)
        count = int(min(per_second * seconds, 12_000, 2.5 * population.cards))
        times = start_ms + (np.arange(count) * (1000 / per_second)).astype(np.int64)
        yield fill_all(population, start_ms, [times])


def write_history(history: History, folder: Path) -> None:
    """Write ``transactions.parquet``, ``labels.parquet`` and ``truth.parquet``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("transactions", "labels", "truth"):
        table = pa.Table.from_batches([getattr(history, name)])
        part = folder / f"{name}.parquet.part"
        pq.write_table(table, part, compression="zstd", row_group_size=_ROW_GROUP)
        part.replace(folder / f"{name}.parquet")  # a file is whole or the one before it
