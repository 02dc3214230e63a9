"""A loop over a log in memory, for tests of what the loop itself does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from weir.infra.kafka.group_position import Standing, begin_at_committed
from weir.infra.kafka.sink import Offsets, Rows
from weir.infra.kafka.source import Gathered, Partition
from weir.schemas.errors import Transient
from weir.streaming.loop import Loop, LoopConfig
from weir.streaming.stage import Outcome
from weir.streaming.unit_state import NoState

P0: Partition = ("rows", 0)
P1: Partition = ("rows", 1)


@dataclass
class FakeRecord:
    number: int

    def offset(self) -> int:
        return self.number


@dataclass
class FakeSource:
    """A log in memory behind the input's port; ``committed_at`` is what the group has committed."""

    logs: dict[Partition, list[int]]
    committed_at: dict[Partition, int] = field(default_factory=dict)
    low: dict[Partition, int] = field(default_factory=dict)
    at: dict[Partition, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    away: bool = False
    has_joined: bool = True
    note: str = "id-1"

    def subscribe(self, topics: list[str], *, on_assigned: Callable, on_revoked: Callable) -> None:
        assert topics == ["rows"]
        self.revoke = on_revoked
        on_assigned(list(self.logs))

    def gather(self, max_records: int, *, timeout_seconds: float, linger_seconds: float) -> Gathered:
        del timeout_seconds, linger_seconds
        gathered = Gathered()
        for partition, at in self.at.items():
            found = [FakeRecord(offset) for offset in self.logs[partition] if offset >= at][:max_records]
            if found:
                gathered.records[partition] = found
        return gathered

    def committed(self, partition: Partition) -> tuple[int | None, str]:
        if self.away:
            raise Transient("kafka: away")
        return self.committed_at.get(partition), self.note

    def watermarks(self, partition: Partition) -> tuple[int, int]:
        return self.low.get(partition, 0), max(self.logs[partition], default=-1) + 1

    def resume(self, partition: Partition, offset: int) -> None:
        self.calls.append(f"resume {partition[1]}@{offset}")
        self.at[partition] = offset

    def forget(self, partition: Partition) -> None:
        self.calls.append(f"forget {partition[1]}")
        del self.at[partition]

    def advance(self, partition: Partition, next_offset: int) -> None:
        self.at[partition] = next_offset

    def end_offset_cached(self, partition: Partition) -> int:
        return len(self.logs[partition])


class FakeStage:
    """Takes what it is given, unless the next entry of a script says what happens instead; commits it too."""

    kind, topic, transactional = "f", "rows", True

    def __init__(self, source: FakeSource, script: list[Exception | None] | None = None) -> None:
        self.source = source
        self.script = script or []
        self.begun: list[int] = []
        self.seen: list[tuple[int, int]] = []

    def begin(self, partition: Partition, found: Standing) -> int:
        self.begun.append(partition[1])
        return begin_at_committed(partition, found)

    def process(self, records: dict[int, list[Any]]) -> Outcome:
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        self.seen += [(number, record.offset()) for number, part in records.items() for record in part]
        return Outcome()

    def send(self, rows: object, records: object, offsets: Offsets) -> None:
        del rows, records
        self.sent = offsets

    def finish(self, rows: Iterable[Rows]) -> None:
        list(rows)
        self.source.committed_at |= self.sent.next_offsets


def build_loop(source: FakeSource, stage: FakeStage, **changes: Any) -> Loop:
    config = LoopConfig("score", 2, 0.0, **({"sleep": lambda _: None} | changes))
    state = NoState(stage, cast(Any, source), group="g", topic_id="id-1", start_over="start over")
    return Loop(config, [stage], cast(Any, source), state, stage)


def run_loop(source: FakeSource, stage: FakeStage, turns: int, **changes: object) -> list[float]:
    slept: list[float] = []
    left = iter(range(turns))
    build_loop(source, stage, **({"sleep": slept.append} | changes)).run(lambda: next(left, None) is None)
    return slept
