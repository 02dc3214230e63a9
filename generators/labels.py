"""What each payment turned out to be, and when that became known: late, with a long tail, and now and then wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.generators import seeds
from weir.generators.events import Events, compute_ids
from weir.generators.population import Population
from weir.generators.seeds import Bools, Floats, Ints, mix64, normals, uniforms
from weir.schemas.durations import DAY_MS

SOURCES = ("matured", "analyst", "customer", "chargeback")
_MATURED, _ANALYST, _CUSTOMER, _CHARGEBACK = range(4)
MISSED_SHARE = 0.005
"""Frauds that nobody ever reports; they mature as if they were honest."""
FALSE_ALARM_SHARE = 0.0001
"""Honest payments that their owner disputes by mistake."""
_MEDIAN_DAYS = np.array([0.0, 0.2, 2.0, 10.0])
_SPREAD = np.array([0.0, 0.8, 0.8, 0.9])
_LONGEST_DAYS = 120.0
_SHORTEST_DAYS = 10 / (24 * 60)
_MATURES_DAYS = (10.0, 20.0)


def compute_labels(events: Events, population: Population) -> pa.RecordBatch:
    """Return one label per payment, by the time it becomes known, with the fields of ``labels``.

    The draws hang on the transaction id alone, so a payment has the same label however the interval was cut.
    """
    hashes = mix64(events.id_high ^ mix64(events.id_low))
    fraud = _reported(events, hashes)
    source = _sources(events, hashes, fraud)
    label_time = events.time_ms + (_delay_days(hashes, source) * DAY_MS).astype(np.int64)
    devices = seeds.device_strings(population.seed, events.device)
    columns = {
        "transaction_id": compute_ids(events),
        "card_id": population.card_names.take(pa.array(events.card)),
        "merchant_id": population.merchant_names.take(pa.array(events.merchant)),
        "device_id": pc.if_else(pa.array(events.device >= 0), devices, pa.scalar(None, pa.string())),
        "event_time_ms": pa.array(events.time_ms),
        "label_time_ms": pa.array(label_time),
        "is_fraud": pa.array(fraud),
        "source": pa.array(SOURCES).take(pa.array(source)),
    }
    return pa.RecordBatch.from_pydict(columns).take(pa.array(np.argsort(label_time, kind="stable")))


def _reported(events: Events, hashes: seeds.Hashes) -> Bools:
    noise = uniforms(hashes, 11)
    reported: Bools = np.where(events.fraud, noise >= MISSED_SHARE, noise < FALSE_ALARM_SHARE)
    return reported


def _sources(events: Events, hashes: seeds.Hashes, fraud: Bools) -> Ints:
    """Analysts look at what was refused; of the rest, most comes as a chargeback."""
    draw = uniforms(hashes, 12)
    seen_by_analyst = draw < np.where(events.declined, 0.6, 0.08)
    source = np.where(draw > 0.72, _CUSTOMER, _CHARGEBACK)
    return np.where(fraud, np.where(seen_by_analyst, _ANALYST, source), _MATURED)


def _delay_days(hashes: seeds.Hashes, source: Ints) -> Floats:
    matures = _MATURES_DAYS[0] + (_MATURES_DAYS[1] - _MATURES_DAYS[0]) * uniforms(hashes, 13)
    reported = _MEDIAN_DAYS[source] * np.exp(_SPREAD[source] * normals(hashes, 14))
    return np.where(source == _MATURED, matures, np.clip(reported, _SHORTEST_DAYS, _LONGEST_DAYS))
