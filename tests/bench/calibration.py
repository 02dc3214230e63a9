"""Whether probabilities and prediction sets hold on later time: ``python -m tests.bench.calibration``, minutes.

Simulated histories of the demo's size, each by its own seed, are trained on as ``weir train --quick`` does it. What the
calibration interval says is held against the later test interval, as its labels are known.

Exit code 1 unless coverage is shown to hold: of each class, the share of all seeds together is ``COVERED_MIN`` to
``COVERED_MAX``, and its 95 % interval is no wider than that range is. So few seeds, of which chance alone may decide,
show nothing. Seeds differ by what both of their intervals hold, so the interval over all is one of seeds, as that of
each is one of cards.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from weir.generators.history import build_history
from weir.generators.population import build_population
from weir.infra.arguments import at_least
from weir.schemas.durations import DAY_MS
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.kernels import kernel_of
from weir.training.benchmarks import page
from weir.training.calibration.fit import fit_calibration
from weir.training.calibration.measure import (
    CLASSES,
    Share,
    compute_share,
    count_alike,
    measure_calibration,
    measure_coverage,
)
from weir.training.history import replay
from weir.training.models import TREES_QUICK, fit_trees
from weir.training.parts import build_parts, set_calibration_apart
from weir.training.split import MATURITY_MS

SEEDS, CARDS, DAYS = 60, 2_000, 90
END_MS = 1_748_736_000_000
"""2025-06-01, 00:00 UTC: a seed gives the same figures whenever it is run."""
COVERED_MIN, COVERED_MAX = 0.88, 0.92
_TITLE = "Calibration on later time"


def main() -> int:
    """Measure, print, and say by the exit code whether prediction sets hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.calibration")
    parser.add_argument("--seeds", type=at_least(2), default=SEEDS, help="one seed says nothing of how seeds differ")
    parser.add_argument("--cards", type=int, default=CARDS)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--write", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    rows: list[list[str]] = []
    held: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for seed in range(1, arguments.seeds + 1):
        row, of_seed = _measure(seed, arguments.cards, arguments.days)
        rows.append(row)
        for name, counts in of_seed.items():
            held[name].append(counts)
        sys.stderr.write(f"{' | '.join(row)}\n")
    together = {name: _join(held[name]) for name in CLASSES}
    said = (
        f"Simulated histories of {arguments.cards:,} cards and {arguments.days} days, trained on as `weir train "
        "--quick` does it, and held against the later test interval. Coverage is the share of a class whose 90 % "
        "prediction set holds it, with its 95 % interval.\n\n"
    )
    heads = [
        "seed",
        "fitted on",
        "Brier, score",
        "probability",
        "ECE, score",
        "probability",
        "fraud covered",
        "the rest",
    ]
    all_of = ", ".join(f"{name} {_say(each)}" for name, each in together.items())
    body = f"{said}{page.table(heads, rows)}\nAll seeds together: {all_of}.\n"
    sys.stdout.write(body)
    if arguments.write:
        flags = f"--seeds {arguments.seeds} --cards {arguments.cards} --days {arguments.days}"
        command = f"python -m tests.bench.calibration {flags}"
        page.write_section(arguments.write, _TITLE, page.describe(command, f"{datetime.now(UTC):%Y-%m-%d}"), body)
    return 0 if all(map(is_shown, together.values())) else 1


def is_shown(share: Share) -> bool:
    """Tell whether a coverage is in its range, and known well enough to say so."""
    is_known = share.high - share.low <= COVERED_MAX - COVERED_MIN
    return is_known and COVERED_MIN <= share.value <= COVERED_MAX


def _join(of_seeds: list[tuple[int, int]]) -> Share:
    """Return the share of all seeds, of whose rows those of one seed are alike."""
    held = np.concatenate([np.arange(rows) < count for count, rows in of_seeds])
    seeds = np.repeat(np.arange(len(of_seeds)), [rows for _, rows in of_seeds])
    return compute_share(int(held.sum()), len(held), count_alike(held, seeds))


def _measure(seed: int, cards: int, days: int) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """Return a row of the table, and of each class how many are held and how many there are."""
    past = build_history(build_population(seed, cards), END_MS - days * DAY_MS, END_MS)
    labels = pa.Table.from_batches([past.labels])
    examples = replay(kernel_of(payments), [past.transactions], labels, BUILT_IN)
    split, parts = set_calibration_apart(*build_parts(examples, labels, MATURITY_MS, payments), examples)
    trees = fit_trees(parts["train"].pair, parts["validation"].pair, payments.feature_names, trees=TREES_QUICK)
    apart, test = parts["calibration"], parts["test"]
    worth = fit_calibration(apart.positive, trees.score(apart.features), apart.keys)
    assert worth is not None
    scores = trees.score(test.features)
    found = measure_calibration(test.positive, scores, worth, test.keys)
    covered = measure_coverage(test.positive, worth.compute_sets(scores.astype("float32")), test.keys)
    count = {"positive": int(test.positive.sum()), "negative": int((test.positive == 0).sum())}
    on = f"{'its own' if split.calibration else 'validation'}, {int(apart.positive.sum())} frauds"
    figures = [f"{found[f'{of}{name}']:.5f}" for name in ("brier", "ece") for of in ("", "calibrated_")]
    row = [str(seed), on, *figures, *(f"{_say(covered[name])} of {count[name]:,}" for name in ("positive", "negative"))]
    return row, {name: (round(covered[name].value * count[name]), count[name]) for name in CLASSES}


def _say(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


if __name__ == "__main__":
    sys.exit(main())
