from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from weir.infra.kafka import first_start as group_history
from weir.infra.settings import load_settings

KAFKA = load_settings({}).kafka


class OneRecord:
    """A topic that has a record, or none."""

    def __init__(self, *, has_record: bool) -> None:
        self._first = 0 if has_record else None

    def first_offset(self, partition: object, offset: int) -> int | None:
        del partition, offset
        return self._first

    def close(self) -> None:
        """Nothing is open."""


def ask(monkeypatch: pytest.MonkeyPatch, *, committed: list[bool], has_record: bool) -> bool:
    answers: Iterator[bool] = iter(committed)
    one_partition = {name: SimpleNamespace(partitions=1) for name in ("in", "out")}
    monkeypatch.setattr(group_history, "describe_topics", lambda *_: one_partition)
    monkeypatch.setattr(group_history, "read_committed_offsets", lambda *_: [7 if next(answers) else None])
    monkeypatch.setattr(group_history, "History", lambda _: OneRecord(has_record=has_record))
    return group_history.outputs_without_offsets(KAFKA, group="g", source="in", output="out")


def test_outputs_of_a_group_that_committed_nothing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, committed=[False, False], has_record=True)


def test_a_first_transaction_committed_between_the_two_questions_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ask(monkeypatch, committed=[False, True], has_record=True)


@pytest.mark.parametrize(("committed", "has_record"), [([True], True), ([False], False)])
def test_offsets_or_no_outputs_are_a_start_like_any_other(
    monkeypatch: pytest.MonkeyPatch, committed: list[bool], has_record: bool
) -> None:
    assert not ask(monkeypatch, committed=committed, has_record=has_record)
