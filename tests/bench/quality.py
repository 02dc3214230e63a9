"""Whether the intervals of ``weir quality`` are honest: ``python -m tests.bench.quality``, four minutes.

The truth of 2,000 simulated weeks is held against the 95 % intervals, once a week, for days of four ages. Exit code 1
when one of the twelve figures is covered less or more often than it may be.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.unit.training.quality.coverage import AGES, FIGURES, measure_coverage
from weir.training.benchmarks import page

SEED, WEEKS, FRAUDS_A_DAY = 7, 2_000, 300.0
COVERED_MIN, COVERED_MAX = 0.93, 0.97
_TITLE = "Quality while labels are late: how honest the intervals are"


def main() -> int:
    """Measure, print, and say by the exit code whether all are honest."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality")
    parser.add_argument("--weeks", type=int, default=WEEKS)
    parser.add_argument("--frauds-a-day", type=float, default=FRAUDS_A_DAY)
    parser.add_argument("--write", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    hits, widths = measure_coverage(SEED, arguments.weeks, frauds_a_day=arguments.frauds_a_day)
    covered = {name: float(np.mean(each)) for name, each in hits.items()}
    rows = [
        [f"{age}", *(f"{covered[age, name]:.1%} (width {widths[age, name]:.0%})" for name in FIGURES)] for age in AGES
    ]
    said = (
        f"{arguments.weeks:,} simulated weeks with {arguments.frauds_a_day:.0f} frauds a day on the mean, seed {SEED}: "
        "the share of weeks in which the 95 % interval covers the truth, and the median width of the interval, of the "
        f"truth. Between {COVERED_MIN:.0%} and {COVERED_MAX:.0%} is honest.\n\n"
    )
    body = said + page.table(["days after the decision", "precision", "recall", "money lost"], rows)
    sys.stdout.write(body)
    if arguments.write:
        command = f"python -m tests.bench.quality --weeks {arguments.weeks}"
        page.write_section(arguments.write, _TITLE, page.describe(command, f"{datetime.now(UTC):%Y-%m-%d}"), body)
    return 0 if all(COVERED_MIN <= each <= COVERED_MAX for each in covered.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
