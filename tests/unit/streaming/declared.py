"""Random declarations of a given size, and random events for them.

What decides the machine code (how many measures, flags, attributes and windows there are) is given; everything else is
drawn: the windows themselves, expressions, features, holds, how many events an entity keeps, what can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tests.unit.streaming.streams import PACES_MS, START_MS, Event
from weir.schemas.entity import Entity, Feature
from weir.schemas.expression import Expression, col
from weir.schemas.stream import Flag, Measure, Position, Reversal, Stream, Value

WINDOWS = ("1m", "5m", "30m", "1h", "6h", "1d", "7d", "30d")
HOLDS_MAX = 3
Draw = np.random.Generator


@dataclass(frozen=True)
class Sizes:
    """How much of each a stream declares."""

    measures: int
    flags: int
    attributes: int
    entities: int
    windows: int


OWN = Sizes(measures=2, flags=6, attributes=4, entities=2, windows=4)
BARE = Sizes(measures=1, flags=1, attributes=0, entities=1, windows=2)
NOTHING = Sizes(measures=0, flags=0, attributes=1, entities=1, windows=2)
"""Of the shape of ``BARE``: there is at least one of each."""
FULL = Sizes(measures=4, flags=16, attributes=8, entities=8, windows=6)


def declare(seed: int, sizes: Sizes) -> Stream:
    """A stream of its own fields: ``event_id``, ``at``, ids ``e0_id``.., texts ``f0``.., integers ``n0``.. ."""
    rng = np.random.default_rng(seed)
    entities = [_entity(rng, number, sizes) for number in range(sizes.entities)]
    measures = [Measure(f"m{i}", _number(rng, i), bound=3_000_000) for i in range(sizes.measures)]
    flags = [Flag(f"flag{i}", _condition(rng, sizes)) for i in range(sizes.flags)]
    reversal = (
        Reversal("back", col("n0") < 0, of=_pick(rng, measures).name) if measures and rng.random() < 0.5 else None
    )
    position = Position("lat", "lon") if rng.random() < 0.5 else None
    windows = sorted(rng.choice(len(WINDOWS), sizes.windows, replace=False).tolist())
    stream = Stream(
        name="own", schema="own.avsc", id="event_id", time="at", key=entities[0], entities=entities, features=[],
        measures=measures, flags=flags, reversal=reversal, position=position, values=_values(sizes),
    )  # fmt: skip
    features = _features(rng, stream, [WINDOWS[at] for at in windows])
    return Stream(
        name="own", schema="own.avsc", id="event_id", time="at", key=entities[0], entities=entities,
        features=list(features), measures=measures, flags=flags, reversal=reversal, position=position,
        values=_values(sizes),
    )  # fmt: skip


def _pick(rng: Draw, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _entity(rng: Draw, number: int, sizes: Sizes) -> Entity:
    """The key tells apart as much as it may, so that the shape is the same for every seed."""
    fields = [f"f{i}" for i in range(sizes.attributes)]
    told = fields if number == 0 else [name for name in fields if rng.random() < 0.5]
    return Entity(f"e{number}", f"e{number}_id", told, shared=number > 0, recent=int(rng.choice([1, 3, 20, 64])))


def _number(rng: Draw, i: int) -> Expression:
    return _pick(rng, [col(f"n{i}"), col(f"n{i}") + 7, col("n0") - col(f"n{i}"), col(f"n{i}") * 2])


def _condition(rng: Draw, sizes: Sizes) -> Expression:
    found = [col("n0") > int(rng.integers(-50, 500)), col("at").is_weekend()]
    if sizes.measures:
        found.append(col("m0").between(-100, int(rng.integers(2_000))))
    if sizes.attributes:
        field = f"f{int(rng.integers(sizes.attributes))}"
        found += [col(field).is_in(["v1", "v3"]), col(field).is_null(), col(field) != "v2"]
    one, other = _pick(rng, found), _pick(rng, found)
    return _pick(rng, [one, ~one, one & other, one | ~other])


def _values(sizes: Sizes) -> list[Value]:
    values = [Value("hour", col("at").hour()), Value("n0", col("n0"))]
    values += [Value("m0", col("m0"))] if sizes.measures else []
    return values + ([Value("flag0", col("flag0"))] if sizes.flags else [])


def _features(rng: Draw, stream: Stream, windows: list[str]) -> Iterator[tuple[Feature, ...]]:
    """Counts over every window and a held one, so that the shape is the same; a few of everything else."""
    held = rng.choice(windows, min(HOLDS_MAX, len(windows)), replace=False).tolist()
    yield stream.key.event.count(" ".join(windows))
    yield stream.key.event.count(held[0], hold=held[0])
    seen = {"event.count"}
    for entity in stream.entities:
        half_life = str(_pick(rng, windows))
        for subject, aggregate in _kinds(stream, entity):
            name = f"{entity.name}.{subject}.{aggregate}"
            if rng.random() < 0.35 and name not in seen:
                seen.add(name)
                window = half_life if aggregate == "decayed" else str(_pick(rng, windows))
                can_hold = aggregate not in ("gap", "age", "decayed", "speed", "zscore", "over_min")
                hold = window if can_hold and window in held and rng.random() < 0.4 else ""
                if name != f"{stream.key.name}.event.count":
                    yield entity.subject(subject).declare(aggregate, window, hold=hold)


def _kinds(stream: Stream, entity: Entity) -> Iterator[tuple[str, str]]:
    for aggregate in ("count", "gap", "age", "decayed"):
        yield "event", aggregate
    for measure in stream.measures:
        for aggregate in ("sum", "mean", "std", "min", "max", "zscore", "over_min"):
            yield measure.name, aggregate
    for flag in stream.flags:
        yield flag.name, "ratio"
    for attribute in entity.attributes:
        yield attribute, "distinct"
        yield attribute, "new"
    if stream.reversal:
        yield stream.reversal.name, "count"
        yield stream.reversal.name, "sum"
    if stream.position:
        yield "position", "speed"


def draw_events(seed: int, sizes: Sizes, count: int, *, keys: int, partitions: int = 1) -> list[Event]:
    """Events that burst, pause, go back in time, come late and repeat themselves."""
    rng = np.random.default_rng(seed)
    now_ms, pace_ms, events = START_MS, _pick(rng, PACES_MS), []
    for number in range(count):
        pace_ms = _pick(rng, PACES_MS) if rng.random() < 0.1 else pace_ms
        now_ms += 0 if rng.random() < 0.1 else int(rng.exponential(pace_ms))
        back_ms = int(rng.exponential(_pick(rng, PACES_MS))) if rng.random() < 0.2 else 0
        key = int(rng.integers(keys))
        made = {"event_id": f"x-{number}", "at": now_ms - back_ms, "append_ms": now_ms, "digest": 7}
        made |= {
            f"e{i}_id": f"{i}-{int(rng.integers(3))}" if rng.random() < 0.8 else None for i in range(sizes.entities)
        }
        made |= {"e0_id": f"k-{key}", "partition": key % partitions, **_numbers(rng, sizes), **_texts(rng, sizes)}
        events.append(made)
        if rng.random() < 0.04:
            again = _pick(rng, events)
            events.append(again | {"append_ms": now_ms, "digest": again["digest"] + int(rng.integers(2))})
    return events


def _numbers(rng: Draw, sizes: Sizes) -> Event:
    numbers = {f"n{i}": int(rng.choice([0, 1, 7, 450, 90_000, -3, -5_000])) for i in range(max(1, sizes.measures))}
    known = rng.random() < 0.6
    return numbers | {"lat": float(rng.uniform(-90, 90)) if known else None, "lon": float(rng.uniform(-180, 180))}


def _texts(rng: Draw, sizes: Sizes) -> Event:
    return {f"f{i}": None if rng.random() < 0.2 else f"v{int(rng.pareto(1.0)) % 30}" for i in range(sizes.attributes)}


def records_of(sizes: Sizes) -> Callable[[Sequence[Event]], pa.RecordBatch]:
    """Return what makes records of events."""
    texts = ["event_id", *(f"e{i}_id" for i in range(sizes.entities)), *(f"f{i}" for i in range(sizes.attributes))]
    types = dict.fromkeys(texts, pa.string()) | {"at": pa.int64(), "lat": pa.float64(), "lon": pa.float64()}
    types |= {f"n{i}": pa.int64() for i in range(max(1, sizes.measures))}

    def build(events: Sequence[Event]) -> pa.RecordBatch:
        columns = [pa.array([event[name] for event in events], kind) for name, kind in types.items()]
        return pa.RecordBatch.from_arrays(columns, names=list(types))

    return build
