"""Processes that die or freeze: at each numbered step, at random times, and as zombies that wake up too late."""

from __future__ import annotations

from math import ceil
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.workers import Worker

LIVE_STEPS = (
    "gathered", "computed", "ahead", "committing", "produced", "committed", "applying", "apply_answered", "applied",
)  # fmt: skip
CATCH_UP_STEPS = ("catch_up_folded", "catch_up_applied")
RANDOM_SECONDS_MAX = 1.5
TAKE_OVER_SECONDS = 60.0


def kill_processor(lab: Lab, **orders: Any) -> None:
    """Start a processor that dies as ordered, then see its successor move the view on."""
    died = lab.processor(**orders).await_death()
    lab.times += 1
    heir = lab.processor()
    # of both kinds: what was committed and not applied may be labels alone, and there may be nothing else to do
    lab.watch_recovery(died, units=lab.units())
    heir.stop()


def kill_in_catch_up(lab: Lab, step: str) -> None:
    """Kill one processor before its write to Redis, and the next while it makes up for that."""
    lab.processor(kill_at="committed:2").await_death()
    lab.times += 1
    kill_processor(lab, kill_at=step)


@fault("kill-committed", "kill -9 of the processor between the Kafka commit and the write to Redis")
def kill_committed(lab: Lab) -> None:
    scorer = lab.scorer()
    for _ in range(lab.kills or 2):
        kill_processor(lab, kill_at=f"committed:{lab.random.randrange(2, 5)}")
    lab.finish([lab.processor(), scorer])


@fault("kill-each-step", "kill -9 of the processor at every numbered step of the protocol", Plan(rate=100))
def kill_each_step(lab: Lab) -> None:
    lab.aborts_expected = True
    scorer = lab.scorer()
    rounds = max(1, ceil(lab.kills / (len(LIVE_STEPS) + len(CATCH_UP_STEPS))))
    for _ in range(rounds):
        for step in LIVE_STEPS:
            kill_processor(lab, kill_at=f"{step}:{lab.random.randrange(1, 4)}")
        for step in CATCH_UP_STEPS:
            kill_in_catch_up(lab, step)
    lab.finish([lab.processor(), scorer])


@fault("kill-random", "kill -9 of the processor at random times", Plan(rate=150))
def kill_random(lab: Lab) -> None:
    scorer = lab.scorer()
    for _ in range(lab.kills or 4):
        kill_processor(lab, kill_after_seconds=lab.random.uniform(0, RANDOM_SECONDS_MAX))
    lab.finish([lab.processor(), scorer])


def _take_over(lab: Lab, frozen: Worker) -> Worker:
    """Freeze, wait until another instance decides in its place, thaw."""
    frozen.await_frozen()
    heir = lab.processor(1)
    lab.watch_recovery()
    heir.await_step("committed", 2, TAKE_OVER_SECONDS)
    frozen.resume()
    lab.times += 1
    return heir


def _zombie(lab: Lab, step: str, number: int = 3) -> None:
    scorer = lab.scorer()
    frozen = lab.processor(stop_at=(f"{step}:{number}",))
    heir = _take_over(lab, frozen)
    lab.finish([heir, *_still_there(frozen), scorer])


def _still_there(worker: Worker) -> list[Worker]:
    return [worker] if worker.is_alive else []


@fault("zombie-before-commit", "SIGSTOP past the session timeout with a transaction open, take-over, SIGCONT")
def zombie_before_commit(lab: Lab) -> None:
    lab.aborts_expected = True
    _zombie(lab, "produced")


@fault("zombie-before-apply", "SIGSTOP past the session timeout before the write to Redis, take-over, SIGCONT")
def zombie_before_apply(lab: Lab) -> None:
    _zombie(lab, "applying")


@fault("stalled-member", "a member stalls with gathered records, is replaced, and then wants to commit them")
def stalled_member(lab: Lab) -> None:
    # the first batch is of payments, whose units begin first: a later one may be of labels alone, which have no output
    _zombie(lab, "gathered", 1)
    stalled = lab.crew.workers[1]
    refused = "transaction aborted" in stalled.log() or stalled.process.exitcode not in {0, None}
    lab.expect(refused, "the stalled member's commit was not refused")


@fault("rebalance-storm", "instances added, stopped and killed while the others work", Plan(rate=300, partitions=4))
def rebalance_storm(lab: Lab) -> None:
    scorer, first = lab.scorer(), lab.processor()
    lab.run_until(first)
    for _ in range(max(2, lab.kills // 2)):
        one, other = lab.processor(1), lab.processor(2)
        one.await_step("committed", 1)
        other.await_step("committed", 1)
        one.kill()
        other.stop()
        lab.times += 2
        back = lab.processor(1)
        lab.watch_recovery()
        back.stop()
    lab.finish([first, scorer])


@fault("same-ordinal-twice", "a second processor of the same ordinal is started while the first one works")
def same_ordinal_twice(lab: Lab) -> None:
    scorer, first = lab.scorer(), lab.processor()
    lab.run_until(first)
    second = lab.processor()
    lab.run_until(second)
    lab.times += 1
    first.await_death()
    lab.expect(first.process.exitcode not in {0, None}, "the first of two with one ordinal was not fenced")
    lab.watch_recovery()
    lab.finish([second, scorer])


@fault(
    "one-partition",
    "kill -9 before the write to Redis with one partition: shared features must be equal",
    Plan(partitions=1),
)
def one_partition(lab: Lab) -> None:
    scorer = lab.scorer()
    kill_processor(lab, kill_at="committed:3")
    lab.finish([lab.processor(), scorer])


@fault("clock-off", "a processor whose clock is a day ahead dies, and one whose clock is right continues")
def clock_off(lab: Lab) -> None:
    scorer = lab.scorer()
    kill_processor(lab, kill_at="committed:4", quirks=("clock_ahead",))
    lab.finish([lab.processor(), scorer])
