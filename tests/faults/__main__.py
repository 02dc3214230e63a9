"""``python -m tests.faults``: break the pipeline in every way that is known, and show the table.

Exit codes: 0 every run is right (or every mutant was caught), 1 not, 2 misused.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from infra.embedded.stack import Stack
from tests.faults.catalogue import CATALOGUE, Entry
from tests.faults.judge import Judgement, judge
from tests.faults.lab import Lab, open_lab
from tests.faults.mutants import MUTANTS
from tests.faults.table import Result, as_json, as_text, summarize, write_page

GROUPS = ("faults_process", "faults_redis", "faults_kafka", "faults_records", "faults_refused", "faults_scorer")


def load_catalogue() -> None:
    """Import every module that enters faults."""
    for group in GROUPS:
        importlib.import_module(f"tests.faults.{group}")


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Servers for one command, in a home that goes when it ends."""
    home = Path(tempfile.mkdtemp(prefix="weir-faults-"))
    stack = Stack(home)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(home)


def run_fault(stack: Stack, entry: Entry, *, seed: int, kills: int) -> Result:
    """Run one fault from an empty deployment to the verdict."""
    began = time.monotonic()
    lab = open_lab(stack, entry.name, entry.plan, seed=seed, kills=kills)
    found = Judgement()
    try:
        entry.run(lab)
        found = judge(lab) if entry.judged else _judge_refusals(lab)
    except Exception as error:  # noqa: BLE001 - a run that breaks down is a red row, and the others still run
        found.problems.append(f"{type(error).__name__}: {error}\n{lab.last_words()}")
    finally:
        lab.crew.end()
    if found.problems:
        found.problems.append(f"logs kept in {_keep_logs(stack, lab)}")
    p50, longest = summarize(lab.recoveries)
    return Result(
        fault=entry.name,
        times=lab.times,
        records=found.records or lab.feeder.sent,
        lost=found.lost,
        doubled=found.doubled,
        state_differences=found.state_differences,
        recovery_s_p50=p50,
        recovery_s_max=longest,
        aborted_copies=found.aborted,
        exact_share=found.exact_share if found.compared else None,
        seconds=round(time.monotonic() - began, 1),
        problems=tuple(found.problems),
    )


def _keep_logs(stack: Stack, lab: Lab) -> Path:
    """Put the logs of a red run where they outlive its servers."""
    kept = Path(tempfile.mkdtemp(prefix="weir-faults-red-"))
    shutil.copytree(lab.crew.folder, kept / "workers", symlinks=True)
    shutil.copytree(stack.home / "logs", kept / "servers")
    return kept


def _judge_refusals(lab: Lab) -> Judgement:
    found = Judgement(problems=list(lab.problems))
    if lab.times == 0:
        found.problems.append("nothing was broken: the run proves nothing")
    return found


def run_mutants(stack: Stack, names: Sequence[str], *, seed: int) -> bool:
    """Switch off each guard in turn; every run must go red."""
    caught_all = True
    for name in names:
        mutant = MUTANTS[name]
        entry = CATALOGUE[mutant.fault]
        result = run_fault(stack, replace(entry, plan=replace(entry.plan, mutant=name)), seed=seed, kills=0)
        caught_all = caught_all and not result.is_right
        verdict = "caught" if not result.is_right else "SURVIVED"
        sys.stdout.write(f"{verdict:9} {name:20} by {mutant.fault} ({result.seconds} s): {_first(result)}\n")
        sys.stdout.flush()
    return caught_all


def _first(result: Result) -> str:
    return result.problems[0][:200] if result.problems else "no difference was found"


def main() -> int:
    """Run what the command line asks for."""
    load_catalogue()
    given = _parse()
    began = time.monotonic()
    with running_stack() as stack:
        if given.mutants:
            return 0 if run_mutants(stack, given.only or list(MUTANTS), seed=given.seed) else 1
        results = []
        for name in given.only or list(CATALOGUE):
            result = run_fault(stack, CATALOGUE[name], seed=given.seed, kills=given.kills)
            results.append(result)
            _report(result)
    sys.stdout.write(as_json(results) + "\n" if given.json else as_text(results))
    if given.write:
        write_page(results, command=given.write, seed=given.seed, seconds=time.monotonic() - began)
    return 0 if all(result.is_right for result in results) else 1


def _report(result: Result) -> None:
    """Say on stderr how a run went, so that a table on stdout stays one."""
    sys.stderr.write(f"{'right' if result.is_right else 'WRONG':6} {result.fault} ({result.seconds} s)\n")
    sys.stderr.write("".join(f"       {problem}\n" for problem in result.problems))
    sys.stderr.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", help="faults (or, with --mutants, guards); all when none is named")
    parser.add_argument(
        "--kills", type=int, default=0, metavar="N", help="kills per fault that kills (0: the short run)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of the table")
    parser.add_argument("--write", metavar="COMMAND", help="write docs/results/faults.md, naming this command")
    parser.add_argument("--mutants", action="store_true", help="switch off each guard; every run must go red")
    parser.add_argument("--list", action="store_true", help="list faults and guards")
    given = parser.parse_args()
    known = MUTANTS if given.mutants else CATALOGUE
    if unknown := [name for name in given.only if name not in known]:
        parser.error(f"expected one of {', '.join(known)}; found {', '.join(unknown)}")
    if given.list:
        sys.stdout.write("".join(f"{entry.name:28} {entry.how}\n" for entry in CATALOGUE.values()))
        sys.stdout.write("".join(f"{name:28} {mutant.why}\n" for name, mutant in MUTANTS.items()))
        sys.exit(0)
    return given


if __name__ == "__main__":
    sys.exit(main())
