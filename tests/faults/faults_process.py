"""Processes that die or freeze: at each numbered step, at random times, and as zombies that wake up too late."""

from __future__ import annotations

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.workers import await_true

PROCESSOR_STEPS = (
    "gathered", "computed", "committing", "produced", "committed", "applying", "apply_answered", "applied",
    "catch_up_folded", "catch_up_applied",
)  # fmt: skip
SCORER_STEPS = ("gathered", "decided", "committing", "produced", "committed")


def kill_processor_at(lab: Lab, step: str, number: int = 2) -> None:
    """Start a processor that dies at a step, then see its successor move the view on."""
    worker = lab.processor(kill_at=f"{step}:{number}")
    died = worker.await_death()
    lab.times += 1
    heir = lab.processor()
    lab.watch_recovery(died)
    heir.stop()


@fault("kill-committed", "kill -9 of the processor between the Kafka commit and the write to Redis")
def kill_committed(lab: Lab) -> None:
    scorer = lab.scorer()
    for _ in range(lab.kills or 2):
        kill_processor_at(lab, "committed", lab.random.randrange(2, 5))
    lab.finish([lab.processor(), scorer])
