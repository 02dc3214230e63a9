"""Who reads a partition: a member of the group, nobody, or not settled yet."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicPartition

from weir.infra.kafka import group_owners
from weir.infra.kafka.group_owners import HANDOVER_SECONDS, MOVING, NOBODY, read_owners
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient

GROUP = "weir.processor"
P0, P1 = ("transactions", 0), ("transactions", 1)
STABLE, EMPTY, REBALANCING = (
    ConsumerGroupState.STABLE,
    ConsumerGroupState.EMPTY,
    ConsumerGroupState.PREPARING_REBALANCING,
)


class _Admin:
    """Answers each question with the next description, or raises it."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def describe_consumer_groups(self, groups: list[str], **_: Any) -> dict[str, Future[Any]]:
        future: Future[Any] = Future()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return {groups[0]: future}


def _group(state: ConsumerGroupState, **members: list[tuple[str, int]]) -> Any:
    return SimpleNamespace(
        state=state,
        members=[
            SimpleNamespace(
                group_instance_id=f"{GROUP}-{name.removeprefix('i')}.2.2" if name.startswith("i") else None,
                client_id=name,
                assignment=SimpleNamespace(topic_partitions=[TopicPartition(*at) for at in has]),
            )
            for name, has in members.items()
        ],
    )


def _read(*answers: Any) -> tuple[list[str], list[float]]:
    slept: list[float] = []
    with mock.patch.object(group_owners, "build_asker", return_value=nullcontext(_Admin(*answers))):
        owners = read_owners(KafkaSettings(), GROUP, [P0, P1], sleep=slept.append)
    return [owners.of(P0), owners.of(P1)], slept


def test_each_partition_has_the_instance_that_owns_it() -> None:
    assert _read(_group(STABLE, i0=[P0], rdkafka=[P1])) == (["instance 0", "rdkafka"], [])


@pytest.mark.parametrize(
    "answer", [_group(EMPTY), KafkaException(KafkaError(KafkaError.GROUP_ID_NOT_FOUND))], ids=["empty", "unknown"]
)
def test_a_group_without_members_has_nobody_and_is_asked_once(answer: Any) -> None:
    assert _read(answer) == ([NOBODY, NOBODY], [])


def test_a_group_that_gives_partitions_out_is_moving_and_no_alarm() -> None:
    assert _read(_group(REBALANCING, i0=[], i1=[])) == ([MOVING, MOVING], [])


def test_a_partition_between_two_owners_is_asked_for_again() -> None:
    before, after = _group(STABLE, i0=[P0], i1=[]), _group(STABLE, i0=[P0], i1=[P1])
    assert _read(before, after) == (["instance 0", "instance 1"], [HANDOVER_SECONDS])


def test_a_partition_that_stays_without_an_owner_has_nobody() -> None:
    left = _group(STABLE, i0=[P0])
    assert _read(left, left) == (["instance 0", NOBODY], [HANDOVER_SECONDS])


def test_brokers_that_do_not_answer_are_unreachable() -> None:
    with pytest.raises(Transient, match="members of group"):
        _read(KafkaException(KafkaError(KafkaError._TRANSPORT)))
