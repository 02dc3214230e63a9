"""How much of everything a run takes: enough to measure, small enough to end in time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Of one run; times in seconds, rates per second.

    Attributes:
        cards: of the world; customers, merchants, devices and addresses follow from it.
        records: of the shared input topic.
        partitions: of every topic.
        backlog_seconds_max: a peer that needs longer for ``records`` is measured on what it did until then; enough for
            three commits of one that commits every 5 s.
        live_seconds: of each open-loop load, after ``settle_seconds`` that are not counted.
        flood_records: of the flood of malformed ones, with the good ones between them.
        dead_letters: to be replayed.
        kernel_records: of the Parquet file that the kernel runs over.
        api_seconds: of each load on the API.
    """

    cards: int
    records: int
    partitions: int
    backlog_seconds_max: float
    live_seconds: float
    settle_seconds: float
    flood_records: int
    dead_letters: int
    kernel_records: int
    api_seconds: float


FULL = Sizes(
    cards=200_000,
    records=600_000,
    partitions=4,
    backlog_seconds_max=22.0,
    live_seconds=15.0,
    settle_seconds=3.0,
    flood_records=200_000,
    dead_letters=60_000,
    kernel_records=600_000,
    api_seconds=8.0,
)
QUICK = Sizes(
    cards=50_000,
    records=320_000,
    partitions=4,
    backlog_seconds_max=17.0,
    live_seconds=6.0,
    settle_seconds=2.0,
    flood_records=50_000,
    dead_letters=10_000,
    kernel_records=200_000,
    api_seconds=4.0,
)
