"""A user's stream of rides, and an oracle that reads the same declaration and counts in plain Python.

Every window is evaluated over all events of the entity so far, held in a list; no line of it is shared with the kernel.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from weir.schemas.stream import Stream

Row = dict[str, Any]
DECLARATION = '''"""Rides: a rider books a vehicle."""

from weir import Check, Entity, Flag, Measure, Rule, Stream, Value, col

rider = Entity("rider", "rider_id", tells_apart=["vehicle_id", "city", "phone", "voucher"])
vehicle = Entity("vehicle", "vehicle_id", tells_apart=["rider_id", "city", "phone", "voucher"], shared=True)

rides = Stream(
    name="NAME",
    schema="rides.avsc",
    id="ride_id",
    time="at_ms",
    key=rider,
    entities=[rider, vehicle],
    event="ride",
    keep=["vehicle_id", "city"],
    measures=[Measure("fare", col("fare"), bound=100_000), Measure("wait", col("wait_s"), bound=86_400)],
    flags=[
        Flag("late", col("wait") > 600),
        Flag("free", col("fare") == 0),
        Flag("dear", col("fare") >= 5_000),
        Flag("has_voucher", ~col("voucher").is_null()),
        Flag("paid_cash", col("pays").is_in(["cash", "coin"])),
        Flag("capital", col("city") == "berlin"),
    ],
    checks=[Check(col("city").matches("[a-z]+"), expected="a city in lower case")],
    values=[Value("fare", col("fare")), Value("is_night", col("at_ms").hour() < 5)],
    features=[
        *[subject.count("1h 1d 7d") for subject in (rider.event, vehicle.event)],
        *[subject.sum("1h 7d") for subject in (rider.fare, rider.wait, vehicle.fare, vehicle.wait)],
        *[subject.mean("1d") for subject in (rider.fare, rider.wait, vehicle.fare, vehicle.wait)],
        *[subject.min("7d") for subject in (rider.wait, vehicle.fare)],
        *[subject.max("7d") for subject in (rider.fare, vehicle.wait)],
        *[subject.std("7d") for subject in (rider.wait, vehicle.fare)],
        *[subject.ratio("1d 7d") for subject in (rider.late, rider.free, rider.dear, rider.has_voucher)],
        *[subject.ratio("1d") for subject in (vehicle.paid_cash, vehicle.capital, vehicle.late)],
        *[subject.distinct("1d 7d") for subject in (rider.vehicle, rider.city, rider.phone, vehicle.rider)],
        *[subject.new("7d") for subject in (rider.phone, vehicle.rider, vehicle.city)],
        rider.event.gap("7d"),
        vehicle.event.age("7d"),
    ],
    rules=[
        Rule("busy", "REVIEW", col("rider_event_count_1d") >= 4, "a day has hours"),
        Rule("ring", "REVIEW", (col("rider_vehicle_distinct_7d") > 5) & (col("vehicle_event_age_7d") < 3e5), "a ring"),
        Rule("rides_free", "DECLINE", (col("rider_free_ratio_7d") >= 0.5) & (col("ride_fare") == 0), "", "FREE_RIDES"),
    ],
)
'''
SCHEMA = """{"type": "record", "name": "Ride", "fields": [
 {"name": "ride_id", "type": "string"}, {"name": "rider_id", "type": "string"},
 {"name": "vehicle_id", "type": "string"},
 {"name": "city", "type": "string"}, {"name": "phone", "type": ["null", "string"], "default": null},
 {"name": "voucher", "type": ["null", "string"], "default": null}, {"name": "pays", "type": "string"},
 {"name": "fare", "type": "long"}, {"name": "wait_s", "type": "int"}, {"name": "at_ms", "type": "long"}]}"""
WINDOWS_MS = {"1h": 3_600_000, "1d": 86_400_000, "7d": 7 * 86_400_000}
FLAGS = {
    "late": lambda row: row["wait_s"] > 600,
    "free": lambda row: row["fare"] == 0,
    "dear": lambda row: row["fare"] >= 5_000,
    "has_voucher": lambda row: row["voucher"] is not None,
    "paid_cash": lambda row: row["pays"] in {"cash", "coin"},
    "capital": lambda row: row["city"] == "berlin",
}
MEASURES = {"fare": "fare", "wait": "wait_s"}


def build_rides(seed: int, count: int, begin_ms: int) -> list[Row]:
    """Return rides of few riders and vehicles over ten days, some out of order; no entity has more than 64."""
    dice = random.Random(seed)
    step_ms = 10 * 86_400_000 // count
    return [
        {
            "ride_id": f"ride-{number}",
            "rider_id": f"rider-{dice.randrange(count // 20)}",
            "vehicle_id": f"vehicle-{dice.randrange(count // 20)}",
            "city": dice.choice(["berlin", "bonn", "ulm", "jena"]),
            "phone": dice.choice([None, "a", "b", "c", "d", "e"]),
            "voucher": dice.choice([None, None, "v1", "v2"]),
            "pays": dice.choice(["cash", "card", "coin", "app"]),
            "fare": dice.choice([0, dice.randrange(1, 4_000), dice.randrange(4_000, 100_000)]),
            "wait_s": dice.randrange(1_200),
            "at_ms": begin_ms + number * step_ms - dice.choice([0, 0, 0, dice.randrange(7_200_000)]),
        }
        for number in range(count)
    ]


def expect(stream: Stream, rides: list[Row]) -> list[dict[str, float | None]]:
    """Return the features of each ride in the order of the log, where all of it was in one partition."""
    before: dict[tuple[str, str], list[Row]] = defaultdict(list)
    found = []
    for ride in rides:
        values: dict[str, float | None] = {
            f"{stream.event}_fare": float(ride["fare"]),
            f"{stream.event}_is_night": float(ride["at_ms"] // 3_600_000 % 24 < 5),
        }
        for feature in stream.all_features:
            if feature.name in values:
                continue
            id_field = f"{feature.entity}_id"
            known = before[feature.entity, ride[id_field]]
            at_ms, span = ride["at_ms"], WINDOWS_MS[feature.window]
            others = [row for row in known if at_ms - span < row["at_ms"] <= at_ms]
            values[feature.name] = _evaluate(feature.aggregate, feature.measure, others, ride)
        for entity in stream.entities:
            before[entity.name, ride[entity.field]].append(ride)
        found.append(values)
    return found


def _evaluate(aggregate: str, subject: str, others: list[Row], ride: Row) -> float | None:
    window = [*others, ride]
    numbers = [row[MEASURES[subject]] for row in window] if subject in MEASURES else []
    field = subject if subject in ride else f"{subject}_id"
    results = {
        "count": lambda: len(window),
        "sum": lambda: sum(numbers),
        "mean": lambda: sum(numbers) / len(numbers),
        "min": lambda: min(numbers),
        "max": lambda: max(numbers),
        "std": lambda: statistics.pstdev(numbers),
        "ratio": lambda: sum(map(FLAGS[subject], window)) / len(window),
        "distinct": lambda: len({row[field] for row in window} - {None}),
        "new": lambda: None if ride[field] is None else float(ride[field] not in {row[field] for row in others}),
        "gap": lambda: (ride["at_ms"] - max(row["at_ms"] for row in others)) / 1_000 if others else None,
        "age": lambda: (ride["at_ms"] - min(row["at_ms"] for row in window)) / 1_000,
    }
    value = results[aggregate]()
    return None if value is None else float(value)


ALLOWED, BLOCKED = "rider-3", "vehicle-4"
LISTS = {"version": "mine", "allow": {"rider": [ALLOWED]}, "block": {"vehicle": [BLOCKED]}}
RULES: dict[str, tuple[str, str, Callable[[Row], bool], str]] = {
    "rides_free": (
        "DECLINE",
        "FREE_RIDES",
        lambda row: row["rider_free_ratio_7d"] >= 0.5 and row["ride_fare"] == 0,
        ": rider_free_ratio_7d >= 0.5 and ride_fare == 0",
    ),
    "busy": (
        "REVIEW",
        "BUSY",
        lambda row: row["rider_event_count_1d"] >= 4,
        "a day has hours: rider_event_count_1d >= 4",
    ),
    "ring": (
        "REVIEW",
        "RING",
        lambda row: row["rider_vehicle_distinct_7d"] > 5 and row["vehicle_event_age_7d"] < 300_000,
        "a ring: rider_vehicle_distinct_7d > 5 and vehicle_event_age_7d < 300000",
    ),
}
"""By precedence; what the declaration says, written a second time by hand."""


def decide(ride: Row, features: Row) -> Row:
    """Return the verdict on a ride by its features: allow list, block list, the strictest rule, else approved."""
    if ride["rider_id"] == ALLOWED:
        return _verdict("APPROVE", "allow_list_rider", "ALLOW_LIST", "rider is on the allow list")
    if ride["vehicle_id"] == BLOCKED:
        return _verdict("DECLINE", "block_list_vehicle", "BLOCK_LIST", "vehicle is on the block list")
    for name, (decision, code, applies, detail) in RULES.items():
        if applies(features):
            return _verdict(decision, name, code, detail)
    return {"decision": "APPROVE", "decided_by": "rules", "reasons": []}


def _verdict(decision: str, decided_by: str, code: str, detail: str) -> Row:
    return {"decision": decision, "decided_by": decided_by, "reasons": [{"code": code, "detail": detail}]}


def is_same(found: float | None, expected: float | None) -> bool:
    """Whether two values are the same number as 32-bit floats have it; deviations but for the last digits."""
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=2e-6, abs_tol=1e-9)
