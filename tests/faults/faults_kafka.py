"""The broker killed or away, replies of commits lost, partitions added."""

from __future__ import annotations

from threading import Event

from confluent_kafka.admin import AdminClient, NewPartitions

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan

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
        lab.stack.start(["kafka"])
        lab.watch_recovery()
    lab.finish([processor, scorer])


@fault("broker-away", "the broker away for a while", Plan(rate=80))
def broker_away(lab: Lab) -> None:
    lab.keep(lab.scorer())
    lab.run_until(lab.keep(lab.processor()), "committed", 4)
    lab.stack.kill("kafka")
    Event().wait(AWAY_SECONDS_FULL if lab.kills else AWAY_SECONDS)
    lab.stack.start(["kafka"])
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


@fault("partitions-raised", "two partitions become three while the load goes on", Plan(rate=200))
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
