"""What a rule costs in the stream: ``python -m tests.bench.rules``.

Rules of three conditions over sixty features of which one in twenty is missing, in batches of a thousand rows, on one
thread; the best of several runs, because everything else that runs makes it slower.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from weir.inference.core.condition_steps import Rows
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.schemas.checks.expression_types import NUMBER, TEXT, Column
from weir.schemas.expression_parser import parse_expression
from weir.schemas.rules import Rule

ROWS, FEATURES, SEED = 1_000, 60, 1
ROUNDS = 200
NAMES = tuple(f"f{n}" for n in range(FEATURES))
COLUMNS = dict.fromkeys(NAMES, Column(NUMBER, True)) | {"country": Column(TEXT, True, avro="string")}
TARGETS_NS = {"one rule": 6.0, "200 rules": 1_200.0}
"""At most so many nanoseconds a row."""


def build_rules(texts: list[str]) -> RuleSet:
    """Return rules of these conditions."""
    read = [parse_expression(text).expression for text in texts]
    given = [Rule(f"r{n}", "REVIEW", when, "measured") for n, when in enumerate(read) if when is not None]
    return build_rule_set(given, COLUMNS)


def build_rows() -> Rows:
    """Return a batch as the kernel makes it."""
    chance = np.random.default_rng(SEED)
    features = chance.gamma(2, 3, size=(ROWS, FEATURES)).astype(np.float32)
    features[chance.random(features.shape) < 0.05] = np.nan
    fields = pa.record_batch({"country": pa.array(chance.choice(["DE", "FR", "NO"], ROWS))})
    return Rows(features, NAMES, np.zeros(ROWS, np.float32), fields, Lists())


def write_conditions(count: int) -> list[str]:
    """Return conditions of three comparisons each, no two alike."""
    chance = np.random.default_rng(SEED)
    found = []
    for number in range(count):
        one, two, three = chance.choice(NAMES, 3, replace=False)
        # of a level that few rows reach, as rules are
        found.append(f"{one} >= {20 + number * 0.01:.2f} and ({two} <= 4 or {three} > {8 + number * 0.01:.2f})")
    return found


def measure_ns(function: Callable[[], object]) -> float:
    """Return nanoseconds a row, of the fastest run."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter_ns()
        function()
        best = min(best, time.perf_counter_ns() - started)
    return best / ROWS


def main() -> int:
    """Measure, print, and say by the exit code whether the targets are met."""
    rows = build_rows()
    cases = {
        "no rule": build_rules([]),
        "one rule": build_rules(write_conditions(1)),
        "20 rules": build_rules(write_conditions(20)),
        "200 rules": build_rules(write_conditions(200)),
        "one rule over text": build_rules(["country == 'NO' and f0 > 20"]),
    }
    none = measure_ns(lambda: cases["no rule"].match(rows))
    met = True
    for name, rules in cases.items():
        cost = measure_ns(lambda rules=rules: rules.match(rows)) - (none if name != "no rule" else 0.0)  # type: ignore[misc]
        bound = TARGETS_NS.get(name)
        met &= bound is None or cost <= bound
        each = f"{cost / max(1, len(rules.rules)):8.2f} ns a rule" if len(rules.rules) > 1 else ""
        sys.stdout.write(f"{name:<20}{cost:10.2f} ns a row{each}{f'   target {bound:g}' if bound else ''}\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
