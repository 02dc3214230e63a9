from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from weir.inference.inspect import lag
from weir.infra.kafka import first_start
from weir.infra.kafka.group_position import format_note
from weir.infra.kafka.positions import find_undecided_until
from weir.infra.settings import load_settings
from weir.streaming import service

END, COMMITTED = 10, 7


class Log:
    """Each partition's records, by offset; a record's append time is its offset."""

    def __init__(self, records: list[int]) -> None:
        self.records = records

    def low(self, _: object) -> int:
        return 0

    def offset_at_time(self, _: object, timestamp_ms: int) -> int:
        return next((at for at in self.records if at >= timestamp_ms), END)

    def first_offsets(self, starts: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int | None]:
        return {each: next((at for at in self.records if at >= start), None) for each, start in starts.items()}

    def close(self) -> None:
        return


class Group:
    """What every group committed, with a note by partition; the coordinator loads at the first so many questions."""

    def __init__(self, notes: Mapping[int, str], loading: int) -> None:
        self.notes, self.loading = notes, loading

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        del timeout
        self.loading -= 1
        error = KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS) if self.loading >= 0 else None
        offset = -1001 if error else COMMITTED
        said = [(at.partition, self.notes.get(at.partition, "")) for at in asked]
        return [SimpleNamespace(partition=at, offset=offset, error=error, metadata=note) for at, note in said]

    def close(self) -> None:
        return


@pytest.fixture(autouse=True)
def _asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_PAUSE_SECONDS", 0.0)


def _read_lag(
    monkeypatch: pytest.MonkeyPatch,
    *,
    records: list[int],
    notes: Mapping[int, str] | None = None,
    loading: int = 0,
    partitions: int = 1,
) -> dict[str, list[int]]:
    """Return the lags of each stage by partition; there may be several partitions of feature rows."""
    group, count = Group(notes or {}, loading), {"features": partitions}
    monkeypatch.setattr(first_start, "build_consumer", lambda *_, **__: group)
    monkeypatch.setattr(lag, "History", lambda _: Log(records))
    monkeypatch.setattr(lag, "end_offsets", lambda _, topic: dict.fromkeys(range(count.get(topic, 1)), END))
    found: dict[str, list[int]] = {}
    for row in lag.read_lag(load_settings({})):
        found.setdefault(row.stage, []).append(row.lag_records)
    return found


def test_a_partition_that_has_no_answer_yet_is_asked_for_again_and_not_shown_as_never_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = _read_lag(monkeypatch, records=list(range(END)), loading=1)
    assert found == {"process": [3, 3], "score": [3], "index": [3]}


@pytest.mark.parametrize(("records", "behind"), [([5, 6, 7, 8], 3), ([5, 6, 9], 1), ([5, 6], 0)])
def test_markers_of_transactions_at_the_end_are_no_lag(
    monkeypatch: pytest.MonkeyPatch, records: list[int], behind: int
) -> None:
    assert _read_lag(monkeypatch, records=records) == {"process": [behind] * 2, "score": [behind], "index": [behind]}


@pytest.mark.parametrize(
    ("until_ms", "behind"), [(None, 3), (0, 0), (6, 0), (8, 3)], ids=["score", "run", "run, after score", "owed"]
)
def test_a_scorer_is_behind_in_what_was_made_before_it_was_decided_where_it_is_made(
    monkeypatch: pytest.MonkeyPatch, until_ms: int | None, behind: int
) -> None:
    notes = {0: format_note("topic-id", 4, undecided_until_ms=until_ms)}
    found = _read_lag(monkeypatch, records=list(range(END)), notes=notes)
    assert found == {"process": [3, 3], "score": [behind], "index": [3]}


def test_rows_that_are_decided_as_they_are_made_may_have_other_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One partition of events, three of rows: each of those holds rows that were made from it."""
    notes = {0: format_note("topic-id", 1, undecided_until_ms=0)}
    found = _read_lag(monkeypatch, records=list(range(END)), notes=notes, partitions=3)
    assert found["score"] == [0, 0, 0]


def _source(offset: int, until_ms: int | None) -> Any:
    return SimpleNamespace(offset=offset, metadata=format_note("id", 2, undecided_until_ms=until_ms))


def test_rows_are_decided_where_they_are_made_when_each_partition_is_and_a_new_one_says_nothing() -> None:
    assert find_undecided_until([_source(3, 0), _source(5, 70)]) == 70
    assert find_undecided_until([_source(3, 0), _source(-1001, None)]) == 0
    assert find_undecided_until([_source(3, 0), _source(5, None)]) is None
    assert find_undecided_until([_source(-1001, None)]) is None
