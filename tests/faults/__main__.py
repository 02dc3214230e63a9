"""``python -m tests.faults``: break the pipeline in every way that is known, and show the table.

Exit codes: 0 every run is right (or every mutant was caught), 1 not, 2 misused.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from tests.faults.catalogue import CATALOGUE
from tests.faults.jobs import run_all
from tests.faults.mutants import MUTANTS, judge_mutant
from tests.faults.runs import Task, load_catalogue, run_task
from tests.faults.service_page import write_section
from tests.faults.table import Result, as_json, as_text, write_page
from weir.schemas.checks.expression_types import nearest


def run_mutants(names: Sequence[str], *, seed: int, jobs: int) -> bool:
    """Switch off each guard in turn; every run must go red, and not because the mutant itself is broken."""
    tasks = [Task(MUTANTS[name].fault, seed, kills=0, mutant=name) for name in names]
    caught_all = True
    for task, result in run_all(tasks, run_task, jobs=jobs):
        verdict = judge_mutant(result)
        caught_all = caught_all and verdict == "caught"
        sys.stdout.write(f"{verdict:9} {task.mutant:20} by {task.fault} ({result.seconds} s): {_first(result)}\n")
        sys.stdout.flush()
    return caught_all


def _first(result: Result) -> str:
    return result.problems[0][:200] if result.problems else "no difference was found"


Told = Callable[[dict[int, list[Result]]], None]


def run_faults(
    names: Sequence[str], *, seeds: Sequence[int], kills: int, jobs: int, told: Told
) -> dict[int, list[Result]]:
    """Run every fault with every seed; the rows of a seed are in the order of the names.

    ``told`` gets all seeds that are complete each time that one of them is, so that hours are not lost with the last.
    """
    tasks = [Task(name, seed, kills) for seed in seeds for name in names]
    found: dict[int, list[Result]] = {seed: [] for seed in seeds}
    for task, result in run_all(tasks, run_task, jobs=jobs, waits=lambda task: CATALOGUE[task.fault].plan.waits):
        rows = found[task.seed]
        rows.append(result)
        rows.sort(key=lambda row: list(names).index(row.fault))
        _report(task, result)
        if len(rows) == len(names):
            told({seed: rows for seed, rows in found.items() if len(rows) == len(names)})
    return found


def main() -> int:
    """Run what the command line asks for."""
    load_catalogue()
    given = _parse()
    began = time.monotonic()
    if given.mutants:
        return 0 if run_mutants(given.only or list(MUTANTS), seed=given.seed[0], jobs=given.jobs) else 1

    names = given.only or list(CATALOGUE)
    runs = len(names) * len(given.seed)
    sys.stderr.write(f"starting servers for {runs} run(s), half a minute to a few minutes each; a line follows each\n")
    sys.stderr.flush()

    def write(complete: dict[int, list[Result]]) -> None:
        seconds = time.monotonic() - began
        if given.write and not given.only:
            write_page(complete, command=given.write, seconds=seconds)
        if given.write:
            write_section(complete, command=given.write, seconds=seconds)

    found = run_faults(names, seeds=given.seed, kills=given.kills, jobs=given.jobs, told=write)
    results = [row for rows in found.values() for row in rows]
    sys.stdout.write(as_json(results) + "\n" if given.json else "\n".join(map(as_text, found.values())))
    sys.stdout.flush()
    wrong = [result for result in results if not result.is_right]
    for result in wrong:  # again, where the end of a long output is all that is kept
        sys.stderr.write(f"WRONG  {result.fault}: {_first(result)}\n")
    return 1 if wrong else 0


def _report(task: Task, result: Result) -> None:
    """Say on stderr how a run went, so that a table on stdout stays one."""
    sys.stderr.write(
        f"{'right' if result.is_right else 'WRONG':6} {result.fault} (seed {task.seed}, {result.seconds} s)\n"
    )
    sys.stderr.write("".join(f"       {problem}\n" for problem in result.problems))
    sys.stderr.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", help="faults (or, with --mutants, guards); all when none is named")
    parser.add_argument(
        "--kills", type=int, default=0, metavar="N", help="kills per fault that kills (0: the short run)"
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="one run of every fault for each")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at once, each on servers of its own")
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of the table")
    parser.add_argument(
        "--write",
        metavar="COMMAND",
        help="write the availability into docs/results/service.md, and docs/results/faults.md where no fault is named; "
        "both name this command",
    )
    parser.add_argument("--mutants", action="store_true", help="switch off each guard; every run must go red")
    parser.add_argument("--list", action="store_true", help="list faults and guards")
    given = parser.parse_args()
    if unknown := find_unknown(given.only, of_guards=given.mutants):
        parser.error(unknown)
    if given.list:
        sys.stdout.write(list_all())
        sys.exit(0)
    return given


def find_unknown(names: Iterable[str], *, of_guards: bool) -> str:
    """Return what is wrong with the first name that is not a fault's, or not a guard's; nothing where all are known."""
    known, others = (MUTANTS, CATALOGUE) if of_guards else (CATALOGUE, MUTANTS)
    kind, target = ("guard", "faults-short") if of_guards else ("fault", "faults-mutants")
    for name in names:
        if name in others:
            return f"expected a {kind}; {name} is a {'fault' if of_guards else 'guard'}: make {target} FAULT={name}"
        if name not in known:
            return f"expected a {kind}, found '{name}'{nearest(name, known)}; --list shows all"
    return ""


def list_all() -> str:
    """Return the faults and the guards, each list under its heading."""
    faults = [f"{entry.name:28} {entry.how}" for entry in CATALOGUE.values()]
    guards = [f"{name:28} {mutant.why}" for name, mutant in MUTANTS.items()]
    heads = "faults: make faults-short FAULT=name", "guards: make faults-mutants FAULT=name"
    return "\n".join([heads[0], *faults, "", heads[1], *guards]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
