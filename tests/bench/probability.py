"""What a probability and a prediction set cost a scorer: ``python -m tests.bench.probability``, seconds.

The map and its two comparisons alone, and the two columns of the decisions with them and as nulls, for batches of a
row, of a busy scorer and of a backlog; processor time, the best of some rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from weir.inference.core.calibration import Calibration
from weir.inference.core.decisions import Judgement
from weir.inference.core.records import build_confidence

KNOTS, ROUNDS = 66, 40
BATCHES = (1, 256, 4_000)
NS_MAX = 300
"""A row of a busy scorer's batch, next to nulls: a tenth of what trees of a usual size take."""


def main() -> int:
    """Measure, print, and say by the exit code whether the target is met."""
    knots = np.linspace(0, 1, KNOTS)
    worth = Calibration(1, (*knots.tolist(),), (*(knots**2).tolist(),), 0.1, 0.4)
    more = {}
    for rows in BATCHES:
        scores = np.random.default_rng(1).random(rows).astype(np.float32)
        outcomes = np.zeros(rows, np.uint8)
        plain = Judgement(scores, outcomes, [], [], "")
        sure = Judgement(scores, outcomes, [], [], "", calibration=worth)
        alone = _measure(partial(_apply, worth, scores), rows)
        made, nulls = (_measure(partial(build_confidence, each), rows) for each in (sure, plain))
        more[rows] = made - nulls
        sys.stdout.write(f"{rows:>6} rows: the map {alone:8.0f}, columns {made:8.0f}, as nulls {nulls:8.0f} ns a row\n")
    return 0 if more[BATCHES[1]] <= NS_MAX else 1


def _apply(worth: Calibration, scores: npt.NDArray[np.float32]) -> None:
    worth.compute_probabilities(scores)
    worth.compute_sets(scores)


def _measure(run: Callable[[], Any], rows: int) -> float:
    turns, best = max(3, 8_000 // max(rows, 16)), float("inf")
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        for _ in range(turns):
            run()
        best = min(best, (time.process_time_ns() - started) / (turns * rows))
    return best


if __name__ == "__main__":
    sys.exit(main())
