"""How far each consumer group is behind its input and who reads it, asked of the brokers without joining a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import TopicPartition

from weir.inference.undecided import find_owed
from weir.infra.kafka.first_start import read_committed
from weir.infra.kafka.group_owners import NOBODY, read_owners
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.kafka.positions import Following, find_undecided_until, followings
from weir.infra.kafka.source import Partition
from weir.infra.settings import Settings
from weir.streaming.service import wait_for

REQUEST_TIMEOUT_SECONDS = 10.0
NO_NEED = "-"
"""``weir run`` decides rows as it makes them: nobody has to read them after it."""


@dataclass(frozen=True)
class GroupLag:
    """One partition of one group's input.

    Where ``weir run`` decides rows as it makes them, the scorer counts as if it stood at the end.

    Attributes:
        committed: next offset of the group; ``None`` where it has committed nothing yet.
        end: of the log, open transactions included.
        lag_records: offsets from the first committed record that the group has not read to the end; 0 where there is no
            such record: behind the last one there may be markers of transactions. Between records there may be some
            too, so it is at least the number of records.
    """

    stage: str
    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag_records: int


def read_lag(settings: Settings) -> list[GroupLag]:
    """Return the lag of every stage.

    Raises:
        Refused: a topic does not exist.
        Transient: the brokers did not answer in time.
    """
    with closing(History(settings.kafka)) as history:
        return [row for each in followings(settings) for row in _read_group(settings, each, history)]


def read_readers(settings: Settings, rows: Sequence[GroupLag]) -> list[str]:
    """Return for each row who reads its partition: ``instance 0``, ``moving``, ``nobody``, or ``-`` for no need.

    Raises:
        Transient: the brokers did not answer in time.
    """
    wanted: dict[str, set[Partition]] = {}
    for row in rows:
        wanted.setdefault(row.group, set()).add((row.topic, row.partition))
    owners = {group: read_owners(settings.kafka, group, partitions) for group, partitions in wanted.items()}
    found = [owners[row.group].of((row.topic, row.partition)) for row in rows]
    free = {each.stage for each in followings(settings) if NOBODY in found and _is_decided_before(settings, each)}
    return [NO_NEED if who == NOBODY and row.stage in free else who for row, who in zip(rows, found, strict=True)]


def _is_decided_before(settings: Settings, each: Following) -> bool:
    """Return whether what makes a stage's records decides them as well, as far as it committed."""
    source = each.made_from
    return source is not None and find_undecided_until(_ask(settings, source.group, source.topic)) is not None


def _read_group(settings: Settings, each: Following, history: History) -> list[GroupLag]:
    # a leader or coordinator that is just moving says so, and answers a moment later
    ends = wait_for(lambda: end_offsets(settings.kafka, each.topic), seconds=REQUEST_TIMEOUT_SECONDS)
    committed = {at.partition: at.offset if at.offset >= 0 else None for at in _ask(settings, each.group, each.topic)}
    if each.made_from:
        until_ms = find_undecided_until(_ask(settings, each.made_from.group, each.made_from.topic))
        for number, end in ends.items() if until_ms is not None else ():
            if (committed[number] or 0) >= find_owed(history, (each.topic, number), until_ms, end):
                committed[number] = end
    behind = {number: end - at for number, at, end in _find_unread(history, each.topic, committed, ends)}
    return [
        GroupLag(each.stage, each.group, each.topic, number, at, ends[number], behind.get(number, 0))
        for number, at in committed.items()
    ]


def _find_unread(
    history: History, topic: str, committed: Mapping[int, int | None], ends: Mapping[int, int]
) -> Iterator[tuple[int, int, int]]:
    """Yield each partition that has records which its group has not read: the first one's offset, and the end."""
    starts = {
        (topic, number): max(at or 0, history.low((topic, number)))
        for number, at in committed.items()
        if (at or 0) < ends[number]
    }
    for (_, number), first in history.first_offsets(starts).items():
        if first is not None and first < ends[number]:
            yield number, first, ends[number]


def _ask(settings: Settings, group: str, topic: str) -> list[TopicPartition]:
    """Return what a group has committed of a topic, with its notes."""
    ends = wait_for(lambda: end_offsets(settings.kafka, topic), seconds=REQUEST_TIMEOUT_SECONDS)
    asked = [TopicPartition(topic, number) for number in ends]
    return wait_for(lambda: read_committed(settings.kafka, group, asked), seconds=REQUEST_TIMEOUT_SECONDS)
