"""``make verify``: the proofs that take longer than CI may, and the dated page that says how each of them ended.

Each proof is a command with an exit code of its own. A run may be of some of them: the page keeps the newest of each,
with the commit and the day that it is of, so that an old proof looks old.

Exit codes: 0 all that ran hold, 1 not so, 2 misused.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
KEPT, PAGE = RESULTS / "verify.json", RESULTS / "verify.md"
LINES_KEPT = 6
"""Of the end of a proof's output: its figures, or what is wrong."""
LINE_CHARACTERS = 300
SEEDS = 1_000_000
TIMED_OUT = 124
"""As ``timeout`` says it."""


@dataclass(frozen=True)
class Proof:
    """One command.

    Attributes:
        shows: what holds when it ends with 0.
        command: as in a shell; ``{seed}`` is a new random number.
        minutes_max: it is ended after so long, and has failed.
    """

    shows: str
    command: str
    minutes_max: int


PROOFS: dict[str, Proof] = {
    "faults": Proof("nothing is lost or doubled when each part is killed 40 times", "make faults KILLS=40", 360),
    "faults-seed": Proof("every fault once, with a seed that nobody chose", "make faults-short SEED={seed} JOBS=2", 60),
    "mutants": Proof("each guard of the protocol is needed: without it a fault goes red", "make faults-mutants", 30),
    "bench-quick": Proof("the processor is no slower than its peers", "make bench-quick", 20),
    "soak": Proof("in 45 minutes neither memory, handles, lag nor latency climb", "make soak", 75),
    "tests": Proof("the tests that CI has no time for pass", "make test-verify WORKERS=1", 90),
    "coverage": Proof(
        "the tests run nine lines and branches in ten", "make test test-browser coverage COVERAGE=1", 120
    ),
    "benchmark": Proof("models reach the published figures, and no figure is a leak", "make benchmark", 60),
    "quality": Proof(
        "of 2,000 simulated weeks, 93 to 97 % are within the intervals of `weir quality`",
        ".venv/bin/python -m tests.bench.quality --write docs/results",
        30,
    ),
    "calibration": Proof(
        "of 60 simulated histories, 88 to 92 % of each class are in their 90 % prediction sets on later time",
        ".venv/bin/python -m tests.bench.calibration",
        45,
    ),
    "quality-let-through": Proof(
        "the same where 5 % of what is declined is let through, and tells of the rest",
        ".venv/bin/python -m tests.bench.quality --let-through 0.05 --write docs/results",
        30,
    ),
    "whatif": Proof(
        "one rule over ten million decisions in 2 s, 200 rules in 60 s",
        ".venv/bin/python -m tests.bench.whatif --rows 10000000",
        45,
    ),
    "rules": Proof(
        "a rule costs 6 ns a row at most, and 200 of them 1.2 us", ".venv/bin/python -m tests.bench.rules", 5
    ),
    "lists": Proof("a list of a million entries slows a scorer by no 3 %", ".venv/bin/python -m tests.bench.lists", 10),
    "overload": Proof(
        "of three times what the API answers, what it accepts is answered within 250 ms at the 99th percentile",
        ".venv/bin/python -m tests.bench.overload --times 3 --p99-ms-max 250",
        10,
    ),
    "search": Proof(
        "of a million decisions each kind of search answers within 500 ms at the 95th percentile",
        ".venv/bin/python -m tests.bench.search",
        30,
    ),
    "console-live": Proof(
        "at 500 decisions a second the console's live page shows all within 5 s, and in 30 minutes it grows by no 20 %",
        ".venv/bin/python -m tests.bench.console live --minutes 30 --rate 500",
        45,
    ),
    "console-pages": Proof(
        "with a million decisions in the archive each page of the console can be used within a second, that of "
        "thresholds, which reads them, within six",
        ".venv/bin/python -m tests.bench.console pages",
        30,
    ),
    "feast": Proof("Feast gives what the archive logged, bit for bit, and nothing of later", "make test-feast", 20),
    "archive-backlog": Proof(
        "an archiver writes 10,000 payments a second within 500 MB",
        ".venv/bin/python -m tests.bench.archive backlog --payments 300000",
        15,
    ),
    "archive-steady": Proof(
        "at 2,000 payments a second an archiver takes less than 0.3 of a core, and a row can be read within 60 s",
        ".venv/bin/python -m tests.bench.archive steady --seconds 150",
        15,
    ),
    "timeline": Proof(
        "a card's 30 days out of ten million rows in 300 ms; a million decisions made again, none differs",
        ".venv/bin/python -m tests.bench.timeline",
        60,
    ),
}


@dataclass(frozen=True)
class Ended:
    """How a proof ended.

    Attributes:
        code: its exit code, or ``TIMED_OUT``.
        tail: the end of what it said.
    """

    command: str
    commit: str
    day: str
    load: float
    seconds: int
    code: int
    tail: list[str]


def run(proof: Proof, commit: str) -> Ended:
    """Run a proof in a session of its own, and show what it says while it says it."""
    command = proof.command.format(seed=random.randrange(SEEDS))
    load, began, said = os.getloadavg()[0], time.monotonic(), list[str]()
    with subprocess.Popen(
        shlex.split(command),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        too_late = threading.Timer(proof.minutes_max * 60, os.killpg, (child.pid, signal.SIGTERM))
        too_late.start()
        try:
            for line in child.stdout:
                sys.stderr.write(line)
                said = [*said, line.strip()[:LINE_CHARACTERS].replace(str(ROOT), ".")][-LINES_KEPT:]
            code = child.wait() if too_late.is_alive() else TIMED_OUT
        finally:
            too_late.cancel()
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return Ended(command, commit, day, round(load, 1), round(time.monotonic() - began), code, said)


def render(ended: Mapping[str, Ended]) -> str:
    """Return the page; proofs that never ran are on it, as such."""
    rows = "".join(_row(name, proof, ended.get(name)) for name, proof in PROOFS.items())
    tails = "".join(
        f"\n## {name}\n\n`{each.command}`\n\n```text\n" + "\n".join(each.tail) + "\n```\n"
        for name, each in ended.items()
    )
    return (
        "# Longer proofs\n\n"
        "What takes longer than CI may. `make verify` runs all of it, `make verify ONLY=soak` a part, and writes this "
        "page: the newest run of each proof, and the commit that it is of. Below the table is how each one ended.\n\n"
        f"{os.cpu_count()} cores, with all servers and the load on them; load is what the machine had to do before.\n\n"
        "| proof | holds | what it shows | day | commit | load | minutes |\n|---|---|---|---|---|---:|---:|\n"
        f"{rows}{tails}"
    )


def _row(name: str, proof: Proof, ended: Ended | None) -> str:
    if ended is None:
        return f"| `{name}` | not run | {proof.shows} | | | | |\n"
    holds = {0: "yes", TIMED_OUT: "not in time"}.get(ended.code, "**no**")
    minutes = max(1, round(ended.seconds / 60))
    return f"| `{name}` | {holds} | {proof.shows} | {ended.day} | {ended.commit} | {ended.load:g} | {minutes} |\n"


def verify(names: Sequence[str], commit: str, run_one: Callable[[Proof, str], Ended] = run) -> bool:
    """Run proofs one after the other; the page is written after each, so that hours are not lost with the last."""
    kept = {name: Ended(**found) for name, found in json.loads(KEPT.read_text()).items()} if KEPT.exists() else {}
    holds = True
    for name in names:
        sys.stderr.write(f"== {name}: {PROOFS[name].shows}\n")
        kept[name] = run_one(PROOFS[name], commit)
        holds &= kept[name].code == 0
        ordered = {each: kept[each] for each in PROOFS if each in kept}
        KEPT.write_text(json.dumps({each: asdict(found) for each, found in ordered.items()}, indent=1) + "\n")
        PAGE.write_text(render(ordered))
    return holds


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("only", nargs="*", metavar="PROOF", help=f"{', '.join(PROOFS)}; all when none is named")
    given = parser.parse_args()
    if unknown := [name for name in given.only if name not in PROOFS]:
        parser.error(f"expected {', '.join(PROOFS)}, found '{unknown[0]}'")
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    return 0 if verify(given.only or [*PROOFS], commit) else 1


if __name__ == "__main__":
    sys.exit(main())
