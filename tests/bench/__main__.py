"""``python -m tests.bench``: measure, judge, and write what was found."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.bench import report
from tests.bench.figures import judge
from tests.bench.lab import open_lab
from tests.bench.plan import CONTENDERS, QUICK_NAMES, RATIO_NAMES
from tests.bench.rounds import Contender, Outcome, end_cleanly_on_sigterm, run_rounds, say
from tests.bench.sizes import FULL, QUICK
from tests.bench.targets import QUICK_TARGETS, TARGETS

ROUNDS = 5
QUICK_ROUNDS_MAX = 3
"""Of a quick run, the first included: one in which a ratio is missed is followed by another of what it is made of.

A busy minute costs the processor, which keeps everything busy at once, more than a peer. So a ratio counts when some
round met it: that shows a program that became much slower, and not one that became a little slower.
"""


def main(argv: list[str]) -> int:
    """Run the benchmark. Exit codes: 0 measured, 1 failed in part or a ratio of the quick run missed, 2 misused."""
    given = _parse(argv)
    chosen = _choose(given.only, quick=given.quick)
    outcome = Outcome()
    judged = given.quick and not given.only
    try:
        with open_lab(QUICK if given.quick else FULL) as lab:
            say("servers are up; drawing payments, compiling the kernel")
            lab.prepare()
            run_rounds(lab, chosen, 1 if given.quick else given.rounds, outcome)
            while judged and len(outcome.rounds) < QUICK_ROUNDS_MAX and _may_be_met(outcome):
                say("a ratio was missed: measuring it again")
                run_rounds(lab, [CONTENDERS[name] for name in RATIO_NAMES], 1, outcome)
    except KeyboardInterrupt:
        outcome.failed.append("interrupted")
    machine = report.describe_machine()
    verdicts = judge(QUICK_TARGETS if given.quick else TARGETS, outcome.values)
    say(report.as_text(verdicts, outcome))
    if given.write:
        report.write(Path(given.write), verdicts, outcome, machine=machine, command=given.command)
    if given.json:
        sys.stdout.write(json.dumps(report.flat(outcome)) + "\n")
    missed = judged and not _ratios_met(outcome)
    if judged:
        say("a ratio was met in no round" if missed else "each ratio was met in some round")
    return 1 if outcome.failed or missed or not any(outcome.values) else 0


def _may_be_met(outcome: Outcome) -> bool:
    """True when a ratio was missed that another round could meet."""
    return not (_ratios_met(outcome) or outcome.failed or outcome.missing)


def _ratios_met(outcome: Outcome) -> bool:
    """True when each ratio of the quick run was met in some round."""
    rounds = [[values] for values in outcome.values]
    return all(any(judge([target], values)[0].met for values in rounds) for target in QUICK_TARGETS)


def _choose(only: str, *, quick: bool) -> list[Contender]:
    names = only.replace(",", " ").split() or (QUICK_NAMES if quick else list(CONTENDERS))
    return [CONTENDERS[name] for name in names]


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="what fits in three minutes, ratios judged")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="NAMES", help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--json", action="store_true", help="write the medians to stdout, one flat object")
    parser.add_argument("--write", default="", metavar="DIR", help="write the page and both JSON files there")
    parser.add_argument("--command", default="", help="what the page says was run")
    given = parser.parse_args(argv)
    unknown = set(given.only.replace(",", " ").split()) - set(CONTENDERS)
    if unknown or given.rounds < 1:
        parser.error(f"expected rounds >= 1 and names of {', '.join(CONTENDERS)}; found {sorted(unknown)}")
    return given


if __name__ == "__main__":
    end_cleanly_on_sigterm()
    sys.exit(main(sys.argv[1:]))
