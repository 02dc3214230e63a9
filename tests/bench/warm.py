"""What several scenarios stand on and is made once: the model, and deployments that have decided the shared input."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.kafka_log import await_work, count, fill
from tests.bench.lab import Deployment, Lab

_HISTORY_CARDS, _HISTORY_DAYS = 2_000, 60


def ensure_model(lab: Lab) -> None:
    """Train and promote the model of this lab, once."""
    if (lab.home / "models" / "champion").exists():
        return
    history = lab.home / "history"
    environment = {"WEIR_HOME": str(lab.home), **lab.stack.environment()}
    with lab.processes(Deployment("model", environment)) as processes:
        world = ("--cards", str(_HISTORY_CARDS), "--days", str(_HISTORY_DAYS))
        processes.run(processes.weir("generate", "--to", "parquet", "--out", str(history), *world))
        processes.run(processes.module("model", str(history)))


def keep_processed(lab: Lab) -> Deployment:
    """Return the deployment whose feature rows and view are those of the shared input; made at the first call."""
    if "base" not in lab.kept:
        lab.kept["base"] = _process(lab, lab.deployment("base"), stages=("process",))
    return lab.kept["base"]


def keep_live(lab: Lab) -> Deployment:
    """Return a deployment with an input of its own that is decided up to its end; made at a round's first call.

    The loads are paid with the same cards within the hour, which costs more with each of them: more panes to read and
    write, more decisions to explain. So every round begins with cards that have only their history.
    """
    if "live" not in lab.kept_for_round:
        assert lab.payments is not None, "the lab is prepared"
        ensure_model(lab)
        name = f"live-{lab.rounds_done}"
        topic = f"{name}.transactions"
        deployment = lab.deployment(name, transactions=topic)
        fill(deployment.settings, replace(lab.payments, topic=topic))
        lab.kept_for_round["live"] = _process(lab, deployment, stages=("process", "score"))
    return lab.kept_for_round["live"]


def _process(lab: Lab, deployment: Deployment, *, stages: tuple[str, ...]) -> Deployment:
    topics = deployment.settings.topics
    output = {"process": topics.features, "score": topics.decisions}[stages[-1]]
    with lab.processes(deployment) as processes:
        for stage in stages:
            processes.weir(stage)
        await_work(lab.settings, output, records_min=lab.sizes.records, seconds_max=600.0, check=processes.check)
    assert count(lab.settings, output) >= lab.sizes.records
    return deployment
