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
from tests.unit.training.quality.worlds import LetThrough
from weir.training.benchmarks import page

SEED, WEEKS, FRAUDS_A_DAY = 7, 2_000, 300.0
COVERED_MIN, COVERED_MAX = 0.93, 0.97
REVIEW = 1
_TITLE = "Quality while labels are late: how honest the intervals are"
_TITLE_LET_THROUGH = "Quality with a share of the declined let through: how honest the intervals are"


def main() -> int:
    """Measure, print, and say by the exit code whether all are honest."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality")
    parser.add_argument("--weeks", type=int, default=WEEKS)
    parser.add_argument("--frauds-a-day", type=float, default=FRAUDS_A_DAY)
    parser.add_argument(
        "--let-through", type=float, default=0.0, metavar="SHARE", help="of most caught fraud, declined"
    )
    parser.add_argument("--write", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    let = LetThrough(arguments.let_through, REVIEW) if arguments.let_through else None
    hits, widths = measure_coverage(SEED, arguments.weeks, frauds_a_day=arguments.frauds_a_day, let_through=let)
    covered = {name: float(np.mean(each)) for name, each in hits.items()}
    rows = [
        [f"{age}", *(f"{covered[age, name]:.1%} (width {widths[age, name]:.0%})" for name in FIGURES)] for age in AGES
    ]
    body = _say(arguments, let) + page.table(["days after the decision", "precision", "recall", "money lost"], rows)
    sys.stdout.write(body)
    if arguments.write:
        more = f" --let-through {arguments.let_through:g}" if let else ""
        command = f"python -m tests.bench.quality --weeks {arguments.weeks}{more}"
        title = _TITLE_LET_THROUGH if let else _TITLE
        page.write_section(arguments.write, title, page.describe(command, f"{datetime.now(UTC):%Y-%m-%d}"), body)
    return 0 if all(COVERED_MIN <= each <= COVERED_MAX for each in covered.values()) else 1


def _say(arguments: argparse.Namespace, let: LetThrough | None) -> str:
    declined = "" if let is None else (
        f"{let.of_fraud:.0%} of the caught fraud is declined and gets no label, but for {let.share:.0%} of its cards, "
        "which are let through for review. A day of which none was is not told, and left out. "
    )  # fmt: skip
    return (
        f"{arguments.weeks:,} simulated weeks with {arguments.frauds_a_day:.0f} frauds a day on the mean, seed {SEED}: "
        "the share of weeks in which the 95 % interval covers the truth, and the median width of the interval, of the "
        f"truth. {declined}Between {COVERED_MIN:.0%} and {COVERED_MAX:.0%} is honest.\n\n"
    )


if __name__ == "__main__":
    sys.exit(main())
