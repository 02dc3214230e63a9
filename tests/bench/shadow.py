"""What a shadow costs a scorer: ``python -m tests.bench.shadow``, two minutes.

The middle of a scorer (decode, decide, encode, metrics; no broker) with trees of a usual size as the shadow, and
without one. Next to it the time of the shadow's graph alone on the same rows: all that a shadow costs more than that is
overhead. The champion is trees of the same size, as usual, or a graph of next to nothing: 200 trees fill a processor's
second cache, so next to the small one a shadow pays for what it pushes out, which trees that decide have paid already.

Processor time, and by pairs: each batch is taken without, with, with and without, its graph alone in between, so what
else runs on the machine is in all of them alike. The figure is the median over batches, its interval a bootstrap's.
The best of each, one from another, would say what two lucky moments differ by.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from tests.bench.lists import BATCHES, ROWS, SEED, build_messages
from tests.golden.decided import build_decider, build_reader
from tests.golden.product import FEATURES_SCHEMA_ID
from tests.unit.inference.bundles import write_bundle
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.decide import Decider
from weir.inference.metering import meter_decisions
from weir.inference.shadow import ShadowScorer
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureRowWriter
from weir.training.export import build_onnx

TREES, LEAVES = 200, 31
PAIRS = {ROWS: 20, 1_000: 60, 256: 200, 64: 300}
"""Batches measured, by their rows: of a backlog, and of scorers that are less and less busy."""
RESAMPLED = 2_000
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
    """Measure, print, and say by the exit code whether the target is met for batches of every size."""
    decider, decisions = build_decider()
    current = _Current(decider._current)
    decider = Decider(current, payments, ShadowScorer(current))
    reader, writer = build_reader(), FeatureRowWriter(payments, topic="features", schema_id=FEATURES_SCHEMA_ID)
    batches = [build_messages(writer, number) for number in range(BATCHES)]

    def run(messages: list[Any], put: Bundle | None) -> int:
        current.shadow = put
        started = time.process_time_ns()
        decided = decider.decide(reader.from_avro(messages).batch)
        decisions.to_avro(decided, decision_time_ms=0)
        meter_decisions(decided, now_ms=0)
        return time.process_time_ns() - started

    def measure(rows: int, pairs: int, shadow: Bundle) -> npt.NDArray[np.float64]:
        taken = [messages[:rows] for messages in batches]
        features = [reader.from_avro(messages).batch.features for messages in taken]
        costs = []
        for pair in range(pairs):
            messages, matrix = taken[pair % BATCHES], features[pair % BATCHES]
            first = run(messages, None), run(messages, shadow)
            started = time.process_time_ns()
            shadow.score(matrix)
            alone = time.process_time_ns() - started
            last = run(messages, shadow), run(messages, None)
            costs.append([(first[0] + last[1]) / 2, (first[1] + last[0]) / 2, alone])
        return np.array(costs) / rows

    found = []
    with TemporaryDirectory() as folder:
        shadow, trees = (build_shadow(Path(folder) / name) for name in ("shadow", "champion"))
        for named, champion in (("trees", trees), ("small", current.bundle)):
            current.bundle = champion
            sys.stdout.write(f"champion: {named}; load {', '.join(f'{each:.1f}' for each in os.getloadavg())}\n")
            found += [_show(rows, measure(rows, pairs, shadow)) for rows, pairs in PAIRS.items()]
    return 0 if max(found) <= TIMES_MAX else 1


def _show(rows: int, costs: npt.NDArray[np.float64]) -> float:
    """Print what batches cost, columns without, with and alone, ns a row; return how many times the graph alone."""
    times = (costs[:, 1] - costs[:, 0]) / costs[:, 2]
    drawn = np.random.default_rng(SEED).choice(times, (RESAMPLED, len(times)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    without, put, alone = np.median(costs, axis=0)
    sys.stdout.write(
        f"{rows:>6} rows: without {without:8.0f}, with {put:8.0f}, its graph alone {alone:8.0f} ns a row; "
        f"times its graph {np.median(times):.2f} ({low:.2f} to {high:.2f}), target {TIMES_MAX}\n"
    )
    return float(np.median(times))


if __name__ == "__main__":
    sys.exit(main())
