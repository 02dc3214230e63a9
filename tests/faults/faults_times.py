"""Times that are not now: history sent today, and senders whose clocks are off by a day."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.faults.catalogue import fault
from tests.faults.contracts import encode
from tests.faults.faults_process import kill_processor
from tests.faults.faults_records import newest_schema, payments
from tests.faults.lab import Lab, Plan
from tests.faults.load import DAY_MS, Sending
from tests.faults.logs import read_topic
from tests.faults.workers import await_true

YEAR_DAYS = 365
RETENTION_SECONDS = 90.0
"""A broker looks for what it may delete 30 s after its start, and then every five minutes."""
OFF_RECORDS = 40


@fault(
    "old-history",
    "a year of payments sent today, until the broker has deleted the same from a topic of its defaults",
    Plan(rate=80, cards=40, waits=True, shape={"span_ms": YEAR_DAYS * DAY_MS, "records_max": 9_000, "in_order": True}),
)
def old_history(lab: Lab) -> None:
    lab.keep(lab.scorer())
    lab.run_until(lab.keep(lab.processor()))
    control = _send_control(lab)
    lab.stack.kill("kafka")
    lab.stack.start(("kafka",))
    lab.times += 1
    lab.watch_recovery()
    await_true(partial(_is_deleted, lab, control), "the control topic's records being deleted", RETENTION_SECONDS)
    starts = [_first_offset(lab, lab.settings.topics.transactions, n) for n in range(lab.plan.partitions)]
    lab.expect(not any(starts), f"the broker has deleted payments of the input: it starts at {starts}")
    lab.finish([])


def _send_control(lab: Lab) -> str:
    """Put what the input has into a topic that keeps its senders' times and the default seven days."""
    name, bootstrap = f"{lab.settings.topics.transactions}.control", lab.settings.kafka.bootstrap_servers
    config = {"message.timestamp.type": "CreateTime", "retention.ms": str(7 * DAY_MS)}
    admin = AdminClient({"bootstrap.servers": bootstrap})  # held: its futures end with it
    admin.create_topics([NewTopic(name, 1, config=config)])[name].result(20)
    producer = Producer({"bootstrap.servers": bootstrap})
    for entry in read_topic(bootstrap, lab.settings.topics.transactions):
        producer.produce(name, entry.value, entry.key, timestamp=entry.append_ms - YEAR_DAYS * DAY_MS)
    assert not producer.flush(30), "the control topic did not take its records"
    return name


def _first_offset(lab: Lab, topic: str, number: int) -> int:
    consumer = Consumer({"bootstrap.servers": lab.settings.kafka.bootstrap_servers, "group.id": "faults-control"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[0])
    finally:
        consumer.close()


def _is_deleted(lab: Lab, control: str) -> bool:
    lab.revive()
    return _first_offset(lab, control, 0) > 0


@fault("producer-clock-off", "producers whose clocks are a day ahead, a day behind, or stand at 1970, and a kill")
def producer_clock_off(lab: Lab) -> None:
    scorer = lab.scorer()
    now_ms = lab.now_ms()
    lab.feeder.send(_clocked(lab, "ahead", event_ms=now_ms + DAY_MS, sender_ms=now_ms + DAY_MS))
    lab.feeder.send(_clocked(lab, "behind", event_ms=now_ms - DAY_MS, sender_ms=now_ms - DAY_MS))
    lab.feeder.send(_clocked(lab, "stamped-tomorrow", event_ms=now_ms, sender_ms=now_ms + DAY_MS))
    lab.feeder.send(_clocked(lab, "stamped-1970", event_ms=now_ms, sender_ms=1))
    kill_processor(lab, kill_at="committed:3")
    lab.finish([lab.processor(), scorer])
    prefix = lab.settings.processor.dlq_header_prefix
    letters = read_topic(lab.settings.kafka.bootstrap_servers, lab.settings.topics.dlq)
    reasons = [e.header(prefix + "reason") for e in letters if b"ahead-tx" in (e.value or b"")]
    wanted = ["from_future"] * OFF_RECORDS
    lab.expect(reasons == wanted, f"expected {OFF_RECORDS} dead letters from_future, found {reasons}")
    for name in ("behind", "stamped-tomorrow", "stamped-1970"):
        wrong = [e for e in letters if f"{name}-tx".encode() in (e.value or b"")]
        lab.expect(not wrong, f"{len(wrong)} payments of the producer {name} are dead letters")


def _clocked(lab: Lab, name: str, *, event_ms: int, sender_ms: int) -> Iterator[Sending]:
    url, known = lab.settings.registry.url, newest_schema(lab)
    for row in payments(lab, OFF_RECORDS, named=name, event_time_ms=event_ms):
        yield Sending("transactions", row["card_id"].encode(), encode(url, known, row), sender_ms=sender_ms)
