"""Where a group stands in a topic: what it committed, and what of the log is still behind that."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from weir.infra.settings import Settings


class Watcher:
    """Where a group stands in a topic, asked by a consumer that never joins it."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,  # a broker answers half a second later at an end
                "log_level": 0,
            }
        )
        self._uncommitted = Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "group.id": "faults-watch",
                "isolation.level": "read_uncommitted",
                "log_level": 0,
            }
        )

    def committed(self, topic: str, partition: int) -> int | None:
        found = self._consumer.committed([TopicPartition(topic, partition)], timeout=10)[0].offset
        return found if found >= 0 else None

    def state(self, topic: str) -> list[tuple[int, int | None, int]]:
        """Per partition: committed, and how many records are after it at read_committed (-1: not known)."""
        found = []
        for number in self._consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            at = TopicPartition(topic, number)
            stable = self._consumer.get_watermark_offsets(at, timeout=10)[1]
            end = self._uncommitted.get_watermark_offsets(at, timeout=10)[1]
            committed = self.committed(topic, number)
            after = self._records_after(topic, number, committed or 0, stable) if stable == end else -1
            found.append((number, committed, after))
        return found

    def is_done(self, topic: str) -> bool:
        try:
            return all(after == 0 for _, _, after in self.state(topic))
        except KafkaException:
            return False

    def _records_after(self, topic: str, number: int, start: int, end: int) -> int:
        """Look for a record in ``[start, end)``: 1, 0 where it has nothing but transaction markers, -1: not known."""
        if start >= end:
            return 0
        self._consumer.assign([TopicPartition(topic, number, start)])
        try:
            message = self._consumer.poll(1.0)
            if message is None:
                return -1
            if message.error() is None:
                return 1
            return 0 if message.error().code() == KafkaError._PARTITION_EOF else -1
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        self._consumer.close()
        self._uncommitted.close()
