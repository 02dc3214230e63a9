"""What no command would publish."""

from __future__ import annotations

from confluent_kafka import Producer

from tests.unit.inference.published.acts import build_act
from weir.inference.published.topic import ACTS, PublishedWriter
from weir.infra.settings import Settings


def write_garbage(settings: Settings, rules: str) -> None:
    """Write a broken text, a pickle, nothing, and an act of a later format; ``rules`` are good ones."""
    PublishedWriter(settings.kafka, settings.topics.published).write(build_act("rules", "rules: [{name: 5}]"))
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    later = build_act("rules", rules).encode().replace(b'"format":1', b'"format":2')
    for value in (b"\x80\x04\x95garbage", None, later):
        producer.produce(settings.topics.published, value, b"rules", ACTS)
    assert producer.flush(30) == 0
