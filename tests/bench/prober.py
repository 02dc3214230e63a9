"""Publishes payments of cards that nobody knows, on schedule, and asks the feature reader until it knows them.

The reader is the one that the API answers ``GET /v1/features`` with. A process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import pyarrow as pa

from weir.generators.events import compute_transactions
from weir.generators.population import build_population
from weir.generators.rush import Rush
from weir.generators.stream import build_encoder
from weir.inference.api.reader import build_feature_reader
from weir.infra.kafka.clients import build_producer
from weir.infra.redis.client import connect
from weir.infra.redis.partials_reader import FeatureReader
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.contracts import event_schemas
from weir.streaming.kernels import shipped_kernel

PROBES_PER_SECOND = 40
_WORLD_CARDS = 500
_LOOK_EVERY_SECONDS = 0.004
"""Also how exact the figures are; looking more often would take a core from what is measured."""
_GIVE_UP_SECONDS = 20.0

Probe = tuple[float, str, bytes]
"""Due UTC epoch ms, card, value."""


def main() -> None:
    """Probe, then write ``[due ms, latency ms]`` of every probe as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--begin-ms", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    settings = load_settings()
    reader = build_feature_reader(settings, connect(settings.redis), shipped_kernel())
    probes = draw_probes(settings, given.begin_ms, given.seconds)
    sys.stdout.write(json.dumps(probe_all(settings, reader, probes)) + "\n")


def draw_probes(settings: Settings, begin_ms: int, seconds: float) -> list[Probe]:
    """Return payments of fresh cards, one every 25 ms."""
    times = begin_ms + np.arange(int(seconds * PROBES_PER_SECOND)) * (1_000 // PROBES_PER_SECOND)
    world = build_population(begin_ms, _WORLD_CARDS)
    payments = compute_transactions(Rush(world, begin_ms).fill(times.astype(np.int64)), world)
    cards = [f"probe_{begin_ms}_{number}" for number in range(payments.num_rows)]
    column = payments.schema.get_field_index("card_id")
    registry = Registry(settings.registry)
    encoder = build_encoder(registry, event_schemas(settings.stream), settings.topics.transactions)
    registry.close()
    values = encoder.encode(payments.set_column(column, "card_id", pa.array(cards)))
    return list(zip(times.tolist(), cards, values, strict=True))


def probe_all(settings: Settings, reader: FeatureReader, probes: list[Probe]) -> list[tuple[float, float]]:
    """Publish each probe when it is due and look for those that are out; return due times and latencies.

    Raises:
        TimeoutError: some stay unseen.
    """
    producer = build_producer(settings.kafka, linger_ms=0)
    waiting = list(reversed(probes))
    out: dict[str, float] = {}
    found: list[tuple[float, float]] = []
    give_up_ms = probes[-1][0] + _GIVE_UP_SECONDS * 1_000
    while waiting or out:
        while waiting and waiting[-1][0] <= time.time() * 1_000:
            due_ms, card, value = waiting.pop()
            producer.produce(settings.topics.transactions, value, card.encode())
            out[card] = due_ms
        producer.poll(0)
        cards = list(out)
        answers = reader.read_many([("card", card) for card in cards]) if cards else []
        now_ms = time.time() * 1_000
        seen = [card for card, answer in zip(cards, answers, strict=True) if answer.partials]
        found += [(due_ms, now_ms - due_ms) for due_ms in map(out.pop, seen)]
        if now_ms > give_up_ms:
            raise TimeoutError(f"{len(out)} probes were not seen in {_GIVE_UP_SECONDS:.0f} s")
        time.sleep(_LOOK_EVERY_SECONDS)
    return found


if __name__ == "__main__":
    main()
