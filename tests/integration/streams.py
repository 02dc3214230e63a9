"""Seeded streams for the exactly-once tests, and the check of everything that came out against the oracle.

A stream has out-of-order events, repeated ids, ids used again with another body, and garbage. Each entity has fewer
events than are kept exactly, so that the oracle's plain counts must be met to the last digit.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from tests.integration import oracle
from tests.integration.oracle import Event, Read
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher, build_payment
from weir.inference.api.lookup import look_up
from weir.inference.api.reader import build_feature_reader
from weir.infra.redis.client import connect
from weir.infra.redis.partials_reader import FeatureReader
from weir.infra.settings import Settings
from weir.streaming.kernels import shipped_kernel

SPAN_MS = 3 * 86_400_000
JITTER_MS = 600_000
Await = Callable[[Callable[[], bool], str], None]
Log = list[tuple[int, int, Event | None]]


def build_stream(seed: int, count: int, *, first: int = 0) -> list[tuple[str, Event | None]]:
    """Return keys and payments in the order of publishing; no payment stands for garbage."""
    dice = random.Random(seed)
    begin_ms = int(time.time() * 1_000) - SPAN_MS
    stream: list[tuple[str, Event | None]] = []
    for number in range(first, first + count):
        kind = dice.random()
        sent = [event for _, event in stream if event is not None]
        if kind < 0.04:
            stream.append((f"card-{dice.randrange(40)}", None))
        elif kind < 0.12 and sent:
            again = dice.choice(sent)
            changed = {} if kind < 0.08 else {"amount_minor": again["amount_minor"] + 1}
            stream.append((again["card_id"], again | changed))
        else:
            event = _build_event(dice, number, begin_ms + SPAN_MS * number // (first + count + 1))
            stream.append((event["card_id"], event))
    return stream


def _build_event(dice: random.Random, number: int, about_ms: int) -> Event:
    card = dice.randrange(40)
    lat, lon = dice.choice([(None, None), (dice.uniform(-60, 60), dice.uniform(-170, 170))])
    return build_payment(
        f"t{number}",
        card_id=f"card-{card}",
        customer_id=f"customer-{card // 2}",
        merchant_id=f"merchant-{dice.randrange(50)}",
        device_id=dice.choice([None, f"device-{card % 30}"]),
        ip=dice.choice([None, f"ip-{dice.randrange(25)}"]),
        amount_minor=dice.choice([dice.randrange(1, 200), dice.randrange(200, 20_000)]),
        currency="USD",
        country=dice.choice(["DE", "FR", "US"]),
        event_time_ms=about_ms - dice.randrange(JITTER_MS),
        outcome=dice.choice(["ACCEPTED", "DECLINED"]),
        channel=dice.choice(["POS", "ECOM", "MOTO", "ATM"]),
        issuer_country=dice.choice([None, "DE", "US"]),
        lat=lat,
        lon=lon,
    )


def publish(publisher: Publisher, stream: list[tuple[str, Event | None]], *, versions: tuple[int, ...] = (2,)) -> Log:
    """Publish a stream by its keys, the contract's versions in turn; return what is where."""
    garbage = b"\x07garbage"
    records = [
        (key, garbage if event is None else publisher.value(event, version=versions[number % len(versions)]))
        for number, (key, event) in enumerate(stream)
    ]
    places = publisher.send(records)
    return [(*place, event) for place, (_, event) in zip(places, stream, strict=True)]


def assert_exactly_once(settings: Settings, log: Log, await_true: Await, *, partitions: int) -> None:
    """Hold rows, dead letters and the view in Redis against the oracle, once all of the log is done."""
    judged = oracle.judge(sorted(log, key=lambda each: each[:2]))
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(len(log), await_true)
        rows = {(row["source_partition"], row["source_offset"]): row for row in outputs.rows()}
        letters = Counter((x.source.partition, x.source.offset) for x in outputs.letters() if x.source)
    assert set(rows) == {(read.partition, read.offset) for read in judged if read.counts}
    assert letters == Counter((read.partition, read.offset) for read in judged if not read.counts)
    _assert_rows(rows, judged, card_only=partitions > 1)
    _assert_view(settings, judged, await_true)


def _assert_rows(rows: dict[tuple[int, int], dict[str, Any]], judged: list[Read], *, card_only: bool) -> None:
    """Every row says what the oracle counts; of shared entities only where one partition sees them whole."""
    for at, read in enumerate(judged):
        if read.counts:
            wanted = oracle.features_of(judged, at)
            wanted = {name: value for name, value in wanted.items() if not card_only or name.startswith("card_")}
            row = rows[read.partition, read.offset]
            assert {name: row[name] for name in wanted} == wanted, (read.partition, read.offset)


def await_applied(settings: Settings, ends: dict[str, int], await_true: Await) -> FeatureReader:
    """Wait until Redis stands at these offsets by unit tag; return a reader of it."""
    reader = build_feature_reader(settings, connect(settings.redis), shipped_kernel())
    await_true(lambda: ends.items() <= reader.read_partials("card", "x").positions.items(), f"redis at {ends}")
    return reader


def _assert_view(settings: Settings, judged: list[Read], await_true: Await) -> None:
    """Redis, read as the API reads it, counts for every entity what the oracle counts."""
    ends = {f"t{read.partition:02d}": read.offset + 1 for read in judged}
    reader = await_applied(settings, ends, await_true)
    events = [read.event for read in judged if read.counts]
    at_ms = max(event["event_time_ms"] for event in events)
    look = partial(look_up, shipped_kernel(), reader, now_ms=at_ms)
    # units of labels are another member's, which may join later; without them no view is complete
    await_true(lambda: look("card", "nobody")["complete"], "a complete view")
    for entity, field in oracle.ENTITY_FIELDS.items():
        for entity_id in {event[field] for event in events} - {None}:
            own = [event for event in events if event[field] == entity_id]
            wanted = oracle.windows(own, entity, at_ms)
            found = look(entity, entity_id)
            assert found["complete"], (entity, entity_id)
            assert {name: found["features"][name] for name in wanted} == wanted, (entity, entity_id)
