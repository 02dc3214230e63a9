"""Reading the log again must not stop at an open transaction: what was committed after it counts."""

from __future__ import annotations

import threading

import pytest

from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.history import History
from weir.infra.settings import Settings

pytestmark = pytest.mark.server


def test_a_record_committed_after_an_open_transaction_is_read_once_that_one_has_ended(deployment: Settings) -> None:
    """``log: [open][committed]``: the last stable offset is 0, the high watermark 2."""
    topic = deployment.topics.dlq
    opened = build_producer(deployment.kafka, transactional_id=f"{topic}-open")
    opened.init_transactions(30)
    opened.begin_transaction()
    opened.produce(topic, b"open", partition=0)
    opened.flush(30)
    committed = build_producer(deployment.kafka)
    committed.produce(topic, b"committed", partition=0)
    committed.flush(30)

    history = History(deployment.kafka)
    assert history.end((topic, 0)) == 0
    end = history.high_watermark((topic, 0))
    assert end == 2
    ending = threading.Timer(0.5, opened.abort_transaction, [30])
    ending.start()
    read = [message.value() for chunk in history.read((topic, 0), 0, end, chunk=100) for message in chunk]
    ending.join()
    history.close()
    assert read == [b"committed"]
