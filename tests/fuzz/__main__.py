"""``python -m tests.fuzz --records N``: mutated records through the decoder, judged by two other readers.

Exit codes: 0 nothing crashed and nothing was read wrongly, 1 something was, 2 misused.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.decoder import fuzz

SHOWN_MAX = 5


def main() -> int:
    """Run and show a line per topic kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000, help="values in all, over six topic kinds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wrong = 0
    started = time.monotonic()
    for kind, tally in fuzz(options.records, options.seed):
        reasons = ", ".join(f"{name} {count}" for name, count in tally.reasons.most_common())
        sys.stdout.write(f"{kind}: {tally.values} values, {tally.accepted} accepted, {reasons}\n")
        for each in tally.wrong[:SHOWN_MAX]:
            sys.stdout.write(f"  wrong: {each}\n")
        wrong += len(tally.wrong)
    sys.stdout.write(f"{wrong} wrong; seed {options.seed}, {time.monotonic() - started:.0f} s\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
