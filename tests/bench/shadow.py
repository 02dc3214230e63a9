"""What a shadow costs a scorer: ``python -m tests.bench.shadow``.

The middle of a scorer (decode, decide, encode; no broker) with trees of a usual size as the shadow, and without one,
in turns; the best round of each. Next to it the time of the shadow's graph alone on the same rows: all that a shadow
costs more than that is overhead.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightgbm
import numpy as np

from tests.bench.lists import BATCHES, ROUNDS, ROWS, SEED, build_messages, measure_ns
from tests.golden.decided import build_decider, build_reader
from tests.golden.product import FEATURES_SCHEMA_ID
from tests.unit.inference.bundles import write_bundle
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.decide import Decider
from weir.inference.shadow import ShadowScorer
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureRowWriter
from weir.training.export import build_onnx

TREES, LEAVES = 200, 31
TIMES_MAX = 1.2
"""Of the shadow's own graph."""


class _Current:
    """What is in force; the shadow can be put."""

    def __init__(self, now: Any) -> None:
        self.bundle, self.rules, self.thresholds, self.lists = now.bundle, now.rules, None, now.lists
        self.shadow: Bundle | None = None


def build_shadow(folder: Path) -> Bundle:
    """Return trees over all features, fitted to noise: their time is what counts."""
    chance = np.random.default_rng(SEED)
    rows = chance.gamma(2, 0.02, size=(20_000, len(payments.feature_names))).astype(np.float32)
    data = lightgbm.Dataset(rows, (chance.random(len(rows)) < 0.1).astype(int))
    parameters = {"objective": "binary", "num_leaves": LEAVES, "verbosity": -1, "num_threads": 1, "seed": SEED}
    model = build_onnx(lightgbm.train(parameters, data, TREES), metadata={}).SerializeToString()
    return load_bundle(write_bundle(folder, model=model, version="shadow"), stream=payments)


def main() -> int:
    """Measure, print, and say by the exit code whether the target is met."""
    decider, decisions = build_decider()
    current = _Current(decider._current)
    decider = Decider(current, payments, ShadowScorer(current))
    reader, writer = build_reader(), FeatureRowWriter(payments, topic="features", schema_id=FEATURES_SCHEMA_ID)
    batches = [build_messages(writer, number) for number in range(BATCHES)]
    matrices = [reader.from_avro(messages).batch.features for messages in batches]

    def run(messages: list[Any]) -> None:
        decisions.to_avro(decider.decide(reader.from_avro(messages).batch), decision_time_ms=0)

    with TemporaryDirectory() as folder:
        shadow = build_shadow(Path(folder) / "shadow")
        best = {"without": float("inf"), "with": float("inf"), "its graph alone": float("inf")}
        for _ in range(ROUNDS):
            for name, put in (("without", None), ("with", shadow)):
                current.shadow = put
                best[name] = min(best[name], measure_ns(run, batches))
            started = time.process_time_ns()
            for features in matrices:
                shadow.score(features)
            alone = (time.process_time_ns() - started) / (ROWS * BATCHES)
            best["its graph alone"] = min(best["its graph alone"], alone)
    times = (best["with"] - best["without"]) / best["its graph alone"]
    for name, cost in best.items():
        sys.stdout.write(f"{name:<20}{cost:10.0f} ns a row\n")
    sys.stdout.write(f"{'times its graph':<20}{times:10.2f}   target {TIMES_MAX}\n")
    return 0 if times <= TIMES_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
