"""``weir run``: killed at each step, next to the processes that it stands for, and in their place.

A scorer is there all the while: whatever it decides of rows that are decided already would be decided twice.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import ceil
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.faults_process import CATCH_UP_STEPS, LIVE_STEPS
from tests.faults.lab import Lab, Plan
from tests.faults.workers import Worker, await_true

STEPS = (*LIVE_STEPS[:4], "decided", *LIVE_STEPS[4:])
CRASHES = 5
"""More than the starts after which records are suspected."""

ABORTS = 4
"""In each mode."""


def _kill(lab: Lab, **orders: Any) -> None:
    """Start one that dies as ordered, then see its successor move the view on."""
    died = lab.fused(**orders).await_death()
    lab.times += 1
    heir = lab.fused()
    lab.watch_recovery(died)
    heir.stop()


@fault("run-each-step", "kill -9 of `weir run` at every numbered step of the protocol", Plan(rate=100))
def run_each_step(lab: Lab) -> None:
    lab.aborts_expected = True
    scorer = lab.scorer()
    for _ in range(max(1, ceil(lab.kills / (len(STEPS) + len(CATCH_UP_STEPS))))):
        for step in STEPS:
            _kill(lab, kill_at=f"{step}:{lab.random.randrange(1, 4)}")
        for step in CATCH_UP_STEPS:
            lab.fused(kill_at="committed:2").await_death()
            lab.times += 1
            _kill(lab, kill_at=step)
    lab.finish([lab.fused(), scorer])


@fault("run-switched", "the mode is changed back and forth under load, by kills and by stops", Plan(rate=250))
def run_switched(lab: Lab) -> None:
    scorer = lab.scorer()
    for _ in range(max(2, lab.kills // 4)):
        for start in (lab.processor, lab.fused):
            killed = start(kill_at=f"committed:{lab.random.randrange(2, 4)}")
            killed.await_death()
            lab.times += 1
            stopped = start()
            lab.run_until(stopped)
            stopped.stop()
            lab.times += 1
    lab.finish([lab.fused(), scorer])


@fault("run-both", "both modes at once, each killed in turn while the other works", Plan(rate=300, partitions=4))
def run_both(lab: Lab) -> None:
    scorer, separate, fused = lab.scorer(), lab.processor(0), lab.fused(1)
    lab.run_until(separate)
    lab.run_until(fused)
    for _ in range(max(1, lab.kills // 4)):
        separate.kill()
        separate = lab.processor(0)
        lab.watch_recovery()
        fused.kill()
        fused = lab.fused(1)
        lab.watch_recovery()
        lab.times += 2
    lab.finish([separate, fused, scorer])


@fault("run-rolling", "one instance after the other changes the mode, and back again", Plan(rate=250, partitions=4))
def run_rolling(lab: Lab) -> None:
    scorer, workers = lab.scorer(), [lab.processor(0), lab.processor(1)]
    for start in (lab.fused, lab.processor) * max(1, lab.kills // 8):
        for instance, worker in enumerate(workers):
            lab.run_until(worker)
            worker.stop()
            lab.times += 1
            workers[instance] = start(instance)
            lab.watch_recovery()
    lab.finish([*workers, scorer])


@fault(
    "run-model-crash",
    "the model's library ends the process again and again: no record is suspected, and all are decided after",
    Plan(rate=150),
)
def run_model_crash(lab: Lab) -> None:
    scorer = lab.scorer()
    for _ in range(CRASHES):
        lab.fused(quirks=("crashing_model",)).await_death()
        lab.times += 1
    heir = lab.fused()
    lab.watch_recovery()
    suspected = [worker.name for worker in lab.crew.workers if '"suspected"' in worker.log()]
    lab.expect(not suspected, f"records were suspected by {suspected}")
    await_true(lambda: heir.count("committed") > 1, "batches decided after the crashes")
    lab.finish([heir, scorer])


@fault(
    "commits-aborted",
    "every tenth transaction is aborted when the next batch was computed on it already, in both modes",
    Plan(rate=300),
)
def commits_aborted(lab: Lab) -> None:
    lab.aborts_expected = True
    scorer = lab.scorer()
    for start in (lab.processor, lab.fused):
        worker = start(quirks=("abort_commits",))
        await_true(partial(_is_done, worker), "transactions aborted below a batch that was computed")
        lab.expect(worker.is_alive, f"{worker.name} ended after an aborted transaction:\n{worker.tail()}")
        lab.times += worker.count("aborting")
        worker.stop()
    lab.finish([lab.fused(), scorer])


def _is_done(worker: Worker) -> bool:
    """Return whether enough transactions were aborted when the next batch was computed on them, or one ended it."""
    names = [name for name, _ in worker.steps() if name in {"committing", "ahead", "aborting"}]
    return not worker.is_alive or sum(pair == ("ahead", "aborting") for pair in pairwise(names)) >= ABORTS
