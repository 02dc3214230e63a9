"""What is published, kept open: one request at a time uses it, and what was read long ago is read again."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.unit.inference.published.rules_twin import MemoryPublished
from weir.inference.published import opened as opened_module
from weir.inference.published.opened import OpenPublisher
from weir.infra.settings import Settings
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments


class Opens:
    """Opens what is published in memory, under a clock of its own."""

    def __init__(self) -> None:
        self.published, self.now = MemoryPublished(), 0.0
        settings = Settings().of_stream(payments)
        self.kept = OpenPublisher(settings, open_publisher=self.open, monotonic=lambda: self.now)

    def open(self) -> Any:
        self.published.opened += 1
        return self.published


def test_what_was_read_long_ago_is_read_again() -> None:
    opens = Opens()
    for now in (0.0, 59.0, 61.0, 62.0):
        opens.now = now
        with opens.kept.use() as publisher:
            assert id(publisher) == id(opens.published)
    assert (opens.published.opened, opens.published.closed) == (2, 1)
    opens.kept.close()
    opens.kept.close()
    assert opens.published.closed == 2


def test_who_comes_while_another_asks_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_module, "WAIT_SECONDS", 0.01)
    opens = Opens()
    with opens.kept.use(), pytest.raises(Transient, match="found others that ask"), opens.kept.use():
        pass


def test_what_the_brokers_say_is_said_and_it_connects_again() -> None:
    opens = Opens()
    opens.published.away = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    with pytest.raises(Transient, match="kafka: "), opens.kept.use():
        pass
    opens.published.away = None
    with opens.kept.use():
        pass
    assert opens.published.opened == 2
