"""The members of one process in a group: they take turns, and what is asked of a partition goes to its owner."""

from __future__ import annotations

from typing import Any

from weir.infra.kafka.members import Members


class _Consumer:
    """Hands out numbered records of its topic and notes how long each was waited for."""

    def __init__(self, topic: str, records: int) -> None:
        self.topic, self.left = topic, records
        self.topics: list[str] = []
        self.waits: list[float] = []
        self.asked = 0

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        del callbacks
        self.topics = topics

    def consume(self, count: int, seconds: float) -> list[str]:
        self.waits.append(seconds)
        taken = min(count, self.left)
        self.left -= taken
        return [self.topic] * taken

    def consumer_group_metadata(self) -> object:
        self.asked += 1
        return f"member of {self.topic}"


def _build(events: int, labels: int) -> tuple[Members, _Consumer, _Consumer]:
    first, second = _Consumer("events", events), _Consumer("labels", labels)
    return Members([first, second]), first, second


def test_each_consumer_reads_the_topic_of_its_place() -> None:
    members, first, second = _build(0, 0)
    members.subscribe(["events", "labels"])
    assert (first.topics, second.topics) == (["events"], ["labels"])


def test_a_topic_with_a_backlog_keeps_no_other_from_its_turn() -> None:
    members, _, _ = _build(1_000, 1_000)
    batches = [members.consume(10, 0.0) for _ in range(4)]
    assert [set(batch) for batch in batches] == [{"labels"}, {"events"}, {"labels"}, {"events"}]
    assert {len(batch) for batch in batches} == {10}


def test_a_batch_of_one_record_takes_turns_too() -> None:
    members, _, _ = _build(5, 5)
    assert sorted(members.consume(1, 0.0) + members.consume(1, 0.0)) == ["events", "labels"]


def test_only_the_first_is_waited_for_and_not_when_the_batch_is_full() -> None:
    members, first, second = _build(0, 3)
    assert members.consume(10, 0.5) == ["labels"] * 3
    assert (first.waits, second.waits) == ([0.5], [0.0])
    second.left = 10
    assert members.consume(10, 0.5) == ["labels"] * 10
    assert first.waits == [0.5]


def test_metadata_are_those_of_the_owner_asked_once_for_all_its_partitions() -> None:
    members, first, second = _build(0, 0)
    members.own(first, [("events", 0), ("events", 1), ("labels", 0)])  # as a static member of the release before
    members.own(second, [("labels", 1)])
    found = members.metadata([("events", 0), ("labels", 0), ("labels", 1)])
    assert found["events", 0] is found["labels", 0]
    assert found["labels", 1] == "member of labels"
    assert (first.asked, second.asked) == (1, 1)


def test_they_have_joined_once_each_was_told_its_partitions_though_it_has_none() -> None:
    members, first, second = _build(0, 0)
    members.own(first, [("events", 0)])
    assert not members.have_joined
    members.own(second, [])
    assert members.have_joined
