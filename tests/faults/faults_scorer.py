"""The scorer and its decision index: killed at each step and at random, given new and broken models."""

from __future__ import annotations

from contextlib import closing
from math import ceil, exp
from pathlib import Path
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.workers import await_true
from tests.integration.outputs import Outputs
from tests.unit.inference.bundles import build_graph, link_champion, write_bundle
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules
from weir.schemas.streams.payments import payments

SCORE_DIFFERENCE_MAX = 1e-6
BIAS = {"2": -3.0, "nowhere": -2.0, "3": -1.0}
"""Of a model by its version: its one score says which model gave it."""
STEPS = ("gathered", "computed", "committing", "produced", "committed")


@fault("kill-scorer", "kill -9 of the scorer and the index in it, at each step and at random times", Plan(rate=200))
def kill_scorer(lab: Lab) -> None:
    lab.aborts_expected = True
    processor = lab.processor()
    for _ in range(max(1, ceil(lab.kills / (2 * len(STEPS))))):
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


@fault("model-switched", "models published under load, one that is nowhere, a kill meanwhile, and back", Plan(rate=300))
def model_switched(lab: Lab) -> None:
    processor, scorer = lab.processor(), lab.scorer()
    lab.run_until(scorer, "committed", 2)
    _publish_model(lab, "2")
    _await_decided_by(lab, "2")
    _publish_model(lab, "nowhere", folder=Path(lab.settings.home) / "elsewhere")
    await_true(lambda: "published_refused" in scorer.log(), "the model that is nowhere being refused")
    scorer.stop()
    dies = lab.scorer(kill_at=f"produced:{lab.random.randrange(2, 5)}")
    _publish_model(lab, "3")
    dies.await_death()
    scorer = lab.scorer()
    _await_decided_by(lab, "3")
    with Publisher(lab.settings, read_rules, who="a fault", why="back") as publisher:
        publisher.roll_back("champion", publisher.log.find("champion", "2"))
    lab.times += 1
    scorer.await_step("committed", scorer.count("committed") + 3)
    lab.finish([processor, scorer])
    _check_versions(lab)


def _publish_model(lab: Lab, version: str, folder: Path | None = None) -> None:
    """Publish a model that gives every row the score of its version."""
    names = payments.feature_names
    graph = build_graph(names, {}, bias=BIAS[version])
    folder = folder or Path(lab.settings.home) / "models" / f"constant-{version}"
    text = (write_bundle(folder, model=graph, names=names, version=version) / "manifest.json").read_text()
    with Publisher(lab.settings, read_rules, who="a fault", why="a test") as publisher:
        publisher.publish("champion", [text], version)
    lab.times += 1


def _await_decided_by(lab: Lab, version: str) -> None:
    with closing(Outputs(lab.settings)) as outputs:
        await_true(lambda: version in {row["model_version"] for row in outputs.decisions()}, f"decisions by {version}")


def _check_versions(lab: Lab) -> None:
    """Every decision carries the version that gave its score, and each version has decided."""
    with closing(Outputs(lab.settings)) as outputs:
        rows = [row for row in outputs.decisions_to_end() if row["model_version"] in BIAS]
    lab.expect({row["model_version"] for row in rows} == {"2", "3"}, "not every model decided, or one that is nowhere")
    wrong = [
        row["transaction_id"]
        for row in rows
        if row["score"] is None or abs(row["score"] - 1 / (1 + exp(-BIAS[row["model_version"]]))) > SCORE_DIFFERENCE_MAX
    ]
    lab.expect(not wrong, f"{len(wrong)} decisions carry another version than their score's")
