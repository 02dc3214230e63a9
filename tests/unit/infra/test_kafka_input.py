"""The input's bookkeeping over a client in memory: what is handed out, again or not, when a look-up fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from weir.infra.kafka.source import SLOW, USUAL, WAITED, WAITED_FOR, Gathered, Partition, PartitionedInput
from weir.schemas.errors import Transient

P0: Partition = ("rows", 0)
P1: Partition = ("rows", 1)


@dataclass
class _Record:
    where: Partition
    at: int
    waited_for: bool = False

    def headers(self) -> list[tuple[str, bytes]] | None:
        return [("traceparent", b"00"), (WAITED_FOR, b"1")] if self.waited_for else None

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return self.where[0]

    def partition(self) -> int:
        return self.where[1]

    def offset(self) -> int:
        return self.at


@dataclass
class _Client:
    """A consumer over lists of offsets; what it hands out is gone until somebody seeks."""

    logs: dict[Partition, list[int]]
    at: dict[Partition, int] = field(default_factory=dict)
    paused: set[Partition] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)
    comes: list[int] = field(default_factory=list)
    """What is appended to the first log as soon as it is waited for."""
    passes: Callable[[float], None] = lambda _: None
    """Told how long is waited; nothing comes before."""
    waited_for: set[int] = field(default_factory=set)
    """Offsets of records whose senders wait."""

    def subscribe(self, topics: list[str], *, on_assign: Callable[..., None], **_: Any) -> None:
        del topics
        on_assign(self, [TopicPartition(*key) for key in self.logs])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.at = {(p.topic, p.partition): 0 for p in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for p in partitions:
            self.at.pop((p.topic, p.partition), None)

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {(p.topic, p.partition) for p in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(p.topic, p.partition) for p in partitions}

    def seek(self, place: TopicPartition) -> None:
        self.at[place.topic, place.partition] = place.offset

    def consume(self, count: int, timeout_seconds: float) -> list[_Record]:
        self.waits.append(timeout_seconds)
        self.passes(timeout_seconds)
        if timeout_seconds and self.comes:
            next(iter(self.logs.values())).extend(self.comes)
            self.comes.clear()
        found = [
            _Record(key, offset, offset in self.waited_for)
            for key, log in self.logs.items()
            if key not in self.paused
            for offset in log
            if offset >= self.at[key]
        ][:count]
        for record in found:
            self.at[record.where] = record.at + 1
        return found

    def consumer_group_metadata(self) -> str:
        return "member"


class _LookUp:
    """Answers for the log's first record at or above an offset, unless it is away."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self.away = False

    def __call__(self, key: Partition, start: int) -> int | None:
        if self.away:
            raise Transient("kafka: away")
        return next((offset for offset in self._client.logs[key] if offset >= start), None)


def _build(logs: dict[Partition, list[int]]) -> tuple[PartitionedInput, _Client, _LookUp]:
    client = _Client(logs)
    look_up = _LookUp(client)
    source = PartitionedInput([client], first_offset=look_up)
    source.subscribe(["rows"], on_assigned=lambda _: None, on_revoked=lambda *_: None)
    return source, client, look_up


def _gather(source: PartitionedInput, max_records: int = 100) -> Gathered:
    return source.gather(max_records, timeout_seconds=0.0, linger_seconds=0.0)


def _offsets(gathered: Gathered) -> dict[Partition, list[int]]:
    return {key: [record.offset() for record in records] for key, records in gathered.records.items()}


def test_records_in_hand_when_a_hole_could_not_be_verified_are_handed_out_again() -> None:
    """``P0: 0 1 2 3``, ``P1: (marker) 1 2``: the look-up of P1's first record fails with P0's records in hand."""
    source, _, look_up = _build({P0: [0, 1, 2, 3], P1: [1, 2]})
    source.resume(P0, 0)
    source.resume(P1, 0)
    look_up.away = True
    with pytest.raises(Transient):
        _gather(source)
    look_up.away = False
    assert _offsets(_gather(source)) == {P0: [0, 1, 2, 3], P1: [1, 2]}


def test_only_what_was_not_yet_advanced_over_is_handed_out_again() -> None:
    source, client, look_up = _build({P0: [0, 1], P1: []})
    source.resume(P0, 0)
    assert _offsets(_gather(source)) == {P0: [0, 1]}
    source.advance(P0, 2)
    client.logs[P0] += [2, 3]
    client.logs[P1] += [7]
    source.resume(P1, 5)
    look_up.away = True
    with pytest.raises(Transient):
        _gather(source)
    look_up.away = False
    assert _offsets(_gather(source)) == {P0: [2, 3], P1: [7]}


def test_a_stale_record_from_further_ahead_is_dropped_and_the_partition_is_read_from_its_place() -> None:
    source, client, _ = _build({P0: [0, 1, 2, 3]})
    source.resume(P0, 0)
    client.at[P0] = 2  # as if the seek had been overtaken
    first = _gather(source)
    assert (_offsets(first), first.dropped) == ({}, 2)
    assert _offsets(_gather(source)) == {P0: [0, 1, 2, 3]}


def test_a_partition_forgotten_after_a_failed_look_up_stays_silent_until_it_is_resumed() -> None:
    source, _, look_up = _build({P0: [1, 2]})
    source.resume(P0, 0)
    look_up.away = True
    with pytest.raises(Transient):
        _gather(source)
    source.forget(P0)
    look_up.away = False
    assert _offsets(_gather(source)) == {}
    source.resume(P0, 2)
    assert _offsets(_gather(source)) == {P0: [2]}


def test_what_a_batch_was_cut_off_from_is_handed_out_again_with_the_next() -> None:
    source, client, _ = _build({P0: [0, 1, 2, 3], P1: [0]})
    source.resume(P0, 0)
    source.resume(P1, 0)
    assert _offsets(_gather(source)) == {P0: [0, 1, 2, 3], P1: [0]}
    source.read_again(P0)
    source.advance(P0, 2)
    source.advance(P1, 1)
    client.logs[P0].append(4)
    assert _offsets(_gather(source)) == {P0: [2, 3, 4]}


def test_a_batch_lingers_only_once_its_first_record_is_in_hand() -> None:
    source, client, _ = _build({P0: []})
    source.resume(P0, 0)
    client.comes = [0, 1, 2]
    gathered = source.gather(100, timeout_seconds=0.5, linger_seconds=0.1)
    assert (_offsets(gathered), client.waits) == ({P0: [0, 1, 2]}, [0.0, 0.5, 0.1])
    client.waits.clear()
    assert _offsets(source.gather(100, timeout_seconds=0.5, linger_seconds=0.1)) == {}
    assert client.waits == [0.0, 0.5]


LINGER = 0.1


def _waits(seconds: float) -> list[float]:
    """Return a wait as it is made: a linger at a time."""
    whole = int(seconds / LINGER + 1e-9)
    rest = seconds - whole * LINGER
    return [LINGER] * whole + ([rest] if rest > 1e-9 else [])


@pytest.mark.parametrize(
    ("seconds", "records", "waited_for", "waits"),
    [
        pytest.param(0.05, 1, False, [LINGER, *_waits(0.15)], id="soon after the last: lingers, and is paced"),
        pytest.param(0.25, 1, False, [0.05], id="a linger ends with the pace"),
        pytest.param(0.35, 1, False, [], id="what waited as long as the pace waits no more"),
        pytest.param(0.35, SLOW.records, False, _waits(0.45), id="some records are worth the longer pace"),
        pytest.param(0.25, SLOW.records, False, [0.05, *_waits(0.5)], id="and linger before"),
        pytest.param(1.25, SLOW.records, False, [], id="unless they waited as long as that"),
        pytest.param(0.35, SLOW.records, True, _waits(0.05), id="one that is waited for makes it shorter"),
        pytest.param(0.45, SLOW.records, True, [], id="and waits no longer than that"),
        pytest.param(0.35, WAITED.records, True, [], id="nor with more than a few"),
        pytest.param(0.35, USUAL.records, False, [], id="more than a few are not paced"),
        pytest.param(0.05, USUAL.records, False, [LINGER], id="but linger"),
        pytest.param(0.05, 1_000, False, [], id="a batch that is full waits for nothing"),
    ],
)
def test_how_long_a_batch_waits_that_has_records_already(
    seconds: float, records: int, waited_for: bool, waits: list[float]
) -> None:
    now = [100.0]
    client = _Client({P0: [0]}, passes=lambda waited: now.__setitem__(0, now[0] + waited))
    source = PartitionedInput([client], first_offset=_LookUp(client), monotonic=lambda: now[0])
    source.subscribe(["rows"], on_assigned=lambda _: None, on_revoked=lambda *_: None)
    source.resume(P0, 0)
    source.gather(1_000, timeout_seconds=0.5, linger_seconds=LINGER)
    now[0] += seconds
    client.waits.clear()
    client.logs[P0] += range(1, 1 + records)
    client.waited_for = {records} if waited_for else set()  # the last of them
    source.gather(1_000, timeout_seconds=0.5, linger_seconds=LINGER)
    assert client.waits == pytest.approx([0.0, *waits])


def test_a_record_after_a_quiet_while_waits_for_one_linger() -> None:
    now = [100.0]
    client = _Client({P0: []}, passes=lambda waited: now.__setitem__(0, now[0] + waited))
    source = PartitionedInput([client], first_offset=_LookUp(client), monotonic=lambda: now[0])
    source.subscribe(["rows"], on_assigned=lambda _: None, on_revoked=lambda *_: None)
    source.resume(P0, 0)
    client.comes = [0]
    source.gather(1_000, timeout_seconds=0.5, linger_seconds=LINGER)
    assert client.waits == [0.0, 0.5, LINGER]


def test_a_batch_of_one_record_is_full_with_its_first() -> None:
    source, client, _ = _build({P0: [0, 1]})
    source.resume(P0, 0)
    assert _offsets(_gather(source, 1)) == {P0: [0]}
    source.advance(P0, 1)
    assert _offsets(_gather(source, 1)) == {P0: [1]}
    assert client.waits == [0.0, 0.0]


def test_a_partition_that_comes_to_one_member_before_the_other_is_told_that_it_lost_it_is_let_go_of_first() -> None:
    told: list[str] = []
    clients = [_Client({P0: [0, 1]}), _Client({})]
    source = PartitionedInput(clients, first_offset=lambda _, start: start)
    source.subscribe(
        ["rows", "labels"],
        on_assigned=lambda partitions: told.append(f"assigned {partitions}"),
        on_revoked=lambda partitions, lost: told.append(f"{'lost' if lost else 'revoked'} {partitions}"),
    )
    source.resume(P0, 1)
    told.clear()
    first, second = clients
    source._assign(second, [TopicPartition(*P0)])
    source._lose(first, [TopicPartition(*P0)])  # too late: it is the other's
    assert told == [f"lost {[P0]}", f"assigned {[P0]}"]
    source.resume(P0, 1)
    assert (P0 in first.paused, P0 in second.paused) == (False, False)
    source._revoke(second, [TopicPartition(*P0)])
    assert told[2:] == [f"revoked {[P0]}"]
