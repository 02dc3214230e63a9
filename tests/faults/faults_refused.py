"""Starts that must be refused, with exit code 2 and a line that names the fix."""

from __future__ import annotations

from functools import partial
from itertools import islice

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.conftest import create_deployment
from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.worker import EXIT_REFUSED
from tests.faults.workers import await_true
from weir.infra.kafka.group_owners import describe_group

SECONDS = 60.0
DECIDED_MIN = 200


def expect_refusal(lab: Lab, what: str, fix: str, **orders: object) -> None:
    """Start a processor by its command line; it must refuse and name the fix."""
    worker = lab.crew.start("weir", arguments=("process",), **orders)
    worker.await_death(SECONDS)
    lab.times += 1
    code, text = worker.process.exitcode, worker.log()
    lab.expect(code == EXIT_REFUSED, f"{what}: expected exit code {EXIT_REFUSED}, found {code}: {worker.tail(3)}")
    lab.expect(fix in text, f"{what}: the message does not name {fix!r}: {worker.tail(2)}")


def run_weir(lab: Lab, *arguments: str) -> None:
    """Run a verb to its end; it must succeed."""
    worker = lab.crew.start("weir", arguments=arguments)
    worker.await_death(SECONDS)
    lab.expect(worker.process.exitcode == 0, f"weir {' '.join(arguments)} failed: {worker.tail(3)}")


@fault(
    "refused-starts",
    "wrong eviction policy, offsets lost, reset or of another group, short retention, topic created again",
    Plan(records=600),
    judged=False,
)
def refused_starts(lab: Lab) -> None:
    lab.feeder.finish()
    processor = lab.processor()
    await_true(partial(lab.has_passed, DECIDED_MIN), "outputs that a refusal can protect")
    processor.stop()
    _wrong_policy(lab)
    expect_refusal(lab, "group renamed", "offsets recover", environment={"WEIR_PROCESSOR__GROUP": "renamed"})
    _short_retention(lab)
    _sender_clock(lab)
    _reset_offsets(lab)
    _delete_offsets(lab)
    _recreate_topic(lab)


def _wrong_policy(lab: Lab) -> None:
    lab.redis.config_set("maxmemory-policy", "volatile-lru")
    try:
        expect_refusal(lab, "wrong eviction policy", "noeviction")
    finally:
        lab.redis.config_set("maxmemory-policy", "noeviction")


def admin_of(lab: Lab) -> AdminClient:
    return AdminClient({"bootstrap.servers": lab.settings.kafka.bootstrap_servers, "log_level": 0})


def _set_input(lab: Lab, option: str, value: str) -> None:
    entry = ConfigEntry(option, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, lab.settings.topics.transactions, incremental_configs=[entry])
    admin = admin_of(lab)  # held: its futures end with it
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


def _short_retention(lab: Lab) -> None:
    _set_input(lab, "retention.ms", str(7 * 86_400_000))
    expect_refusal(lab, "retention shorter than the look-back", "retention.ms")
    _set_input(lab, "retention.ms", str(60 * 86_400_000))


def _sender_clock(lab: Lab) -> None:
    """Kafka's default, under which a backfill is deleted as soon as it is sent."""
    _set_input(lab, "message.timestamp.type", "CreateTime")
    expect_refusal(lab, "times of the senders' clocks", "message.timestamp.type=LogAppendTime")
    _set_input(lab, "message.timestamp.type", "LogAppendTime")


def group_consumer(lab: Lab) -> Consumer:
    return Consumer(
        {"bootstrap.servers": lab.settings.kafka.bootstrap_servers, "group.id": lab.settings.processor.group}
    )


def input_of(lab: Lab) -> list[TopicPartition]:
    return [TopicPartition(lab.settings.topics.transactions, number) for number in range(lab.plan.partitions)]


def _reset_offsets(lab: Lab) -> None:
    await_empty_group(lab)
    consumer = group_consumer(lab)
    held = consumer.committed(input_of(lab), timeout=10)
    back = [TopicPartition(p.topic, p.partition, 0, metadata=p.metadata) for p in held]
    consumer.commit(offsets=back, asynchronous=False)
    expect_refusal(lab, "offsets reset backwards", "offsets recover")
    await_empty_group(lab)
    consumer.commit(offsets=held, asynchronous=False)
    consumer.close()


def await_empty_group(lab: Lab) -> None:
    """A static member is gone only when its session has timed out."""

    def is_empty() -> bool:
        found = describe_group(lab.settings.kafka, lab.settings.processor.group)
        return found is None or not found.members

    await_true(is_empty, "the group being empty")


def _delete_offsets(lab: Lab) -> None:
    await_empty_group(lab)
    group = lab.settings.processor.group
    admin = admin_of(lab)
    for future in admin.delete_consumer_groups([group]).values():
        future.result(20)
    expect_refusal(lab, "offsets deleted", "offsets recover")
    await_empty_group(lab)
    run_weir(lab, "offsets", "recover", "--apply")
    processor = lab.processor()
    before = lab.applied()
    lab.feeder.send(islice(lab.feeder.stream, DECIDED_MIN))
    await_true(partial(lab.has_passed, before), "the repaired group deciding again")
    processor.stop()


def _recreate_topic(lab: Lab) -> None:
    name = lab.settings.topics.transactions
    admin = admin_of(lab)
    for future in admin.delete_topics([name]).values():
        future.result(20)
    await_true(lambda: name not in admin_of(lab).list_topics(timeout=10).topics, "the topic being gone")
    create_deployment(lab.settings)
    expect_refusal(lab, "topic recreated", "weir offsets")
