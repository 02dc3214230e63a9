"""A live stream as blocks of records that are ready to send; what is due when is fixed beforehand, nothing waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from weir.generators.encoding import Encoder
from weir.generators.events import SCENARIOS, Events, compute_transactions, compute_truth
from weir.generators.faults import NO_FAULTS, Faults, compute_shifted_ms, draw_duplicates, draw_malformed
from weir.generators.outgoing import Outgoing, merge
from weir.generators.population import Population
from weir.generators.rush import Rush
from weir.generators.schedule import due_ms
from weir.generators.seeds import Floats, rng_for


@dataclass(frozen=True)
class LivePlan:
    """What a live stream is to be.

    Attributes:
        start_ms: UTC epoch milliseconds of the first record; it and the seed fix everything.
        rate_per_second, seconds, shape: see ``schedule.due_ms``.
        v1_share: of the payments, encoded by version 1 of the schema.
    """

    start_ms: int
    rate_per_second: float
    seconds: float
    shape: str = "constant"
    faults: Faults = NO_FAULTS
    v1_share: float = 0.0


def live_blocks(population: Population, plan: LivePlan, encoder: Encoder, topic: str) -> Iterator[Outgoing]:
    """Yield the stream in order. An event's own time is the moment its record is due, unless it is sent late."""
    rush = Rush(population, plan.start_ms)
    rng = rng_for(population.seed, "live", plan.start_ms)
    offsets = due_ms(rate_per_second=plan.rate_per_second, seconds=plan.seconds, shape=plan.shape)
    for offset in offsets:
        if len(offset):
            due = plan.start_ms + offset
            yield _block(rng, population, rush.fill(due.astype(np.int64)), due, plan, encoder, topic)


def _block(  # one call site; a class for it would hold what it passes on
    rng: np.random.Generator,
    population: Population,
    events: Events,
    due: Floats,
    plan: LivePlan,
    encoder: Encoder,
    topic: str,
) -> Outgoing:
    shifted, kinds = compute_shifted_ms(rng, events.time_ms, plan.faults)
    events = replace(events, time_ms=shifted)
    payments = compute_transactions(events, population)
    oldest = rng.random(len(events)) < plan.v1_share
    kinds += Counter(payments=len(events), v1=int(oldest.sum())) + _count_scenarios(events)
    good = Outgoing(
        topic=topic,
        due_ms=due,
        keys=[card.encode() for card in payments["card_id"].to_pylist()],
        values=list(encoder.encode_mixed(payments, oldest)),
        kinds=kinds,
        truth=compute_truth(events),
    )
    extra = [draw_duplicates(rng, good, plan.faults.duplicates)] if plan.faults.duplicates else []
    if plan.faults.malformed:
        extra.append(draw_malformed(rng, good, payments, encoder, plan.faults.malformed))
    return merge([good, *extra]) if extra else good


def _count_scenarios(events: Events) -> Counter[str]:
    codes, counts = np.unique(events.scenario[events.scenario > 0], return_counts=True)
    by_scenario = {f"scenario.{SCENARIOS[code]}": int(n) for code, n in zip(codes, counts, strict=True)}
    return Counter(fraud=int(events.fraud.sum())) + Counter(by_scenario)
