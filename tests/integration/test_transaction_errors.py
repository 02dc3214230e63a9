"""What brokers may answer to a transaction's requests, by librdkafka's own mock brokers, and which way each one goes.

Retriable: the client asks again, and the batch is committed. Abortable: nothing of it is visible, and the same producer
continues. Fatal: the process ends. (A commit that is made and whose reply is lost is ``commit-reply-lost``, and what
becomes of outputs and state is judged there and in the other faults of ``tests/faults`` on a real broker.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError

from tests.integration.mock_cluster import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END,
    PRODUCE,
    TXN_OFFSET_COMMIT,
    MockCluster,
    running_mock,
)
from weir.infra.kafka.clients import build_consumer, build_producer
from weir.infra.kafka.sink import Aborted, Fenced, Offsets, Record, Rows, TransactionalOutput
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient

SOURCE = "transactions"
LETTER = Record("transactions.dlq", b"card", b"value")


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with running_mock() as running:
        for topic in (SOURCE, LETTER.topic):
            running.create_topic(topic)
        yield running


@pytest.fixture(scope="module")
def metadata(cluster: MockCluster) -> Iterator[Any]:
    consumer = build_consumer(KafkaSettings(bootstrap_servers=cluster.bootstrap_servers), group="g")
    yield consumer.consumer_group_metadata()
    consumer.close()


class _Loop:
    """The output side of a processor."""

    def __init__(self, cluster: MockCluster, name: str, metadata: Any) -> None:
        kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers)
        self._output = TransactionalOutput(build_producer(kafka, transactional_id=name))
        self._metadata = metadata
        self._next = 0

    def commit(self, rows: Iterable[Rows] = ()) -> None:
        self._next += 1
        where = (SOURCE, 0)
        self._output.commit(rows, [LETTER], Offsets({where: self._next}, {where: "topic"}, {where: self._metadata}))


@pytest.fixture
def loop(cluster: MockCluster, metadata: Any, request: pytest.FixtureRequest) -> _Loop:
    one = _Loop(cluster, request.node.name, metadata)
    one.commit()  # what comes first (looking the coordinator up, say) is not what is tested
    return one


@pytest.mark.parametrize(
    ("request_kind", "error"),
    [
        (END, KafkaError.COORDINATOR_NOT_AVAILABLE),
        (END, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
        (END, KafkaError._TRANSPORT),
        (ADD_PARTITIONS, KafkaError.CONCURRENT_TRANSACTIONS),
        (ADD_OFFSETS, KafkaError.NOT_COORDINATOR),
        (TXN_OFFSET_COMMIT, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
        (PRODUCE, KafkaError.NOT_LEADER_FOR_PARTITION),
    ],
)
def test_what_can_be_asked_again_is_and_the_batch_is_committed(
    cluster: MockCluster, loop: _Loop, request_kind: int, error: int
) -> None:
    cluster.refuse(request_kind, error, error)
    loop.commit()
    loop.commit()


@pytest.mark.parametrize(
    ("request_kind", "error"),
    [
        (ADD_PARTITIONS, KafkaError.TOPIC_AUTHORIZATION_FAILED),
        (ADD_OFFSETS, KafkaError.GROUP_AUTHORIZATION_FAILED),
        (TXN_OFFSET_COMMIT, KafkaError.UNKNOWN_MEMBER_ID),
        (TXN_OFFSET_COMMIT, KafkaError.ILLEGAL_GENERATION),
        (TXN_OFFSET_COMMIT, KafkaError.FENCED_INSTANCE_ID),
    ],
)
def test_what_voids_the_batch_is_aborted_and_the_next_one_is_committed(
    cluster: MockCluster, loop: _Loop, request_kind: int, error: int
) -> None:
    cluster.refuse(request_kind, error)
    with pytest.raises(Aborted):
        loop.commit()
    loop.commit()


@pytest.mark.parametrize(
    ("request_kind", "error"),
    [
        (END, KafkaError.PRODUCER_FENCED),
        (END, KafkaError.INVALID_PRODUCER_EPOCH),
        (END, KafkaError.INVALID_TXN_STATE),
        (ADD_PARTITIONS, KafkaError.PRODUCER_FENCED),
        (ADD_OFFSETS, KafkaError.INVALID_PRODUCER_EPOCH),
        (TXN_OFFSET_COMMIT, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    ],
)
def test_what_only_another_process_can_mend_ends_this_one(
    cluster: MockCluster, loop: _Loop, request_kind: int, error: int
) -> None:
    cluster.refuse(request_kind, error)
    with pytest.raises(Fenced):
        loop.commit()


def test_rows_that_cannot_be_made_abort_the_transaction_and_the_next_one_is_committed(loop: _Loop) -> None:
    def make_rows() -> Iterator[Rows]:
        yield Rows(LETTER.topic, [b"card"], [b"sent while the next are made"])
        raise Transient("what decides is away")

    with pytest.raises(Transient, match="what decides is away"):
        loop.commit(make_rows())
    loop.commit()
