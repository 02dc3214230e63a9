"""The scorer and its decision index: killed at each step and at random, given new and broken models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.workers import await_true
from tests.unit.inference.bundles import link_champion, write_bundle

STEPS = ("gathered", "computed", "committing", "produced", "committed")


@fault("kill-scorer", "kill -9 of the scorer and the index in it, at each step and at random times", Plan(rate=200))
def kill_scorer(lab: Lab) -> None:
    lab.aborts_expected = True
    processor = lab.processor()
    for _ in range(max(1, lab.kills // (2 * len(STEPS)))):
        for step in STEPS:
            _kill_one(lab, kill_at=f"{step}:{lab.random.randrange(1, 4)}")
        _kill_one(lab, kill_after_seconds=lab.random.uniform(0, 1.5))
    lab.finish([processor, lab.scorer()])


def _kill_one(lab: Lab, **orders: Any) -> None:
    lab.scorer(**orders).await_death()
    lab.times += 1


@fault("new-model", "a new and a broken bundle put in place under load", Plan(rate=300))
def new_model(lab: Lab) -> None:
    scorer, processor = lab.scorer(), lab.processor()
    lab.run_until(scorer, "committed", 2)
    home = Path(lab.settings.home)
    link_champion(home, write_bundle(home / "models" / "broken", version="broken", model=b"x"))
    lab.times += 1
    await_true(lambda: "bundle_refused" in scorer.log(), "the broken bundle being refused")
    link_champion(home, write_bundle(home / "models" / "tiny-2", version="2"))
    lab.times += 1
    scorer.await_step("committed", scorer.count("committed") + 3)
    lab.finish([processor, scorer])
