"""The scorer alone, on feature rows that are there already."""

from __future__ import annotations

from tests.bench.backlog import measure
from tests.bench.figures import Sample
from tests.bench.lab import Lab
from tests.bench.warm import ensure_model, keep_processed


def scorer(lab: Lab, name: str) -> list[Sample]:
    """Measure the scorer on the feature rows of the shared input."""
    ensure_model(lab)
    rows = keep_processed(lab).settings.topics.features
    deployment = lab.deployment(name, WEIR_TOPICS__FEATURES=rows)
    output = deployment.settings.topics.decisions
    sample = measure(lab, "scorer_eps", output, lambda processes: processes.weir("score"), deployment)
    lab.discard(deployment)
    return [sample]
