"""The broker killed or away, replies of commits lost, partitions added."""

from __future__ import annotations

from functools import partial
from itertools import islice
from threading import Event

from confluent_kafka.admin import AdminClient, NewPartitions

from tests.faults.catalogue import fault
from tests.faults.faults_process import kill_in_catch_up, kill_processor
from tests.faults.lab import Lab, Plan
from tests.faults.load import Sending
from tests.faults.logs import read_topic
from tests.faults.workers import await_true

AGAIN_RECORDS, MORE_RECORDS = 120, 300

AWAY_SECONDS, AWAY_SECONDS_FULL = 15.0, 60.0


@fault(
    "broker-kill",
    "kill -9 of the broker under load, transactions open; nobody restarts a process",
    Plan(rate=80),
)
def broker_kill(lab: Lab) -> None:
    scorer = lab.crew.start("weir", arguments=("score", "--with-index", "--metrics-port", "0"))
    processor = lab.crew.start("weir", arguments=("process", "--metrics-port", "0"))
    for _ in range(max(2, min(lab.kills, 5))):
        # between this step and the next a transaction is open
        processor.await_step("produced", processor.count("produced") + 2)
        lab.stack.kill("kafka")
        lab.times += 1
        lab.stack.start(("kafka",))
        lab.watch_recovery()
    lab.finish([processor, scorer])


@fault("broker-away", "the broker away for a while", Plan(rate=80))
def broker_away(lab: Lab) -> None:
    lab.keep(lab.scorer())
    lab.run_until(lab.keep(lab.processor()), "committed", 4)
    lab.stack.kill("kafka")
    Event().wait(AWAY_SECONDS_FULL if lab.kills else AWAY_SECONDS)
    lab.stack.start(("kafka",))
    lab.times += 1
    lab.watch_recovery()
    lab.finish([])


@fault("commit-reply-lost", "every fourth commit is made and its reply is lost")
def commit_reply_lost(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor(quirks=("lose_commit_reply",))
    lab.finish([processor, scorer])
    lab.times += processor.count("commit_reply_lost")


def raise_partitions(lab: Lab, count: int, *topics: str) -> None:
    """Add partitions to topics; dead letters' topics come before their sources."""
    admin = AdminClient({"bootstrap.servers": lab.settings.kafka.bootstrap_servers})
    for future in admin.create_partitions([NewPartitions(name, count) for name in topics]).values():
        future.result(20)


@fault("keys-moved", "partitions are raised as the runbook says; then ids and labels of before again, with kills")
def keys_moved(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    lab.feeder.finish()
    lab.await_drained()
    processor.stop()
    names = lab.settings.topics
    topics = (names.dlq, names.labels_dlq, names.features_dlq, names.decisions, names.features)
    raise_partitions(lab, 3, *topics)
    raise_partitions(lab, 3, names.transactions, names.labels)
    for kind in ("transactions", "labels"):
        await_true(partial(lab.feeder.knows, kind, 3), f"the sender knowing of 3 partitions of {kind}")
    lab.times += 1
    before = _sent_before(lab)
    for kill in (
        partial(kill_processor, kill_at="committed:4"),
        partial(kill_processor, kill_at="applying:4"),
        partial(kill_in_catch_up, step="catch_up_applied"),
    ):
        lab.feeder.send(lab.random.sample(before, AGAIN_RECORDS))
        lab.feeder.send(islice(lab.feeder.stream, MORE_RECORDS))
        kill(lab)
    lab.feeder.send(lab.random.sample(before, AGAIN_RECORDS))
    lab.finish([lab.processor(), scorer])


def _sent_before(lab: Lab) -> list[Sending]:
    """Return what both inputs hold, to be sent again by key."""
    names, bootstrap = lab.settings.topics, lab.settings.kafka.bootstrap_servers
    topics = {"transactions": names.transactions, "labels": names.labels}
    return [Sending(kind, e.key, e.value) for kind, topic in topics.items() for e in read_topic(bootstrap, topic)]


@fault(
    "labels-elsewhere", "labels and payments of a partition on different members, one of which dies", Plan(partitions=3)
)
def labels_elsewhere(lab: Lab) -> None:
    # twice as many partitions of payments as of labels: with halves of each, some keys' labels are with the other one
    raise_partitions(lab, 2 * lab.plan.partitions, lab.settings.topics.dlq, lab.settings.topics.transactions)
    scorer, first, second = lab.scorer(), lab.processor(0), lab.processor(1)
    lab.run_until(first)
    lab.run_until(second)
    second.kill()
    lab.times += 1
    second = lab.processor(1)
    lab.watch_recovery()
    lab.finish([first, second, scorer])


@fault("partitions-raised", "two partitions become three while the load continues", Plan(rate=200))
def partitions_raised(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    lab.run_until(processor, "committed", 3)
    names = lab.settings.topics
    raise_partitions(lab, 3, names.dlq, names.labels_dlq, names.transactions, names.labels)
    lab.times += 1
    processor.stop()
    processor = lab.processor()
    lab.watch_recovery()
    lab.finish([processor, scorer])
