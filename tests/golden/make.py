"""Writes ``expected/`` from the code as it is: ``python -m tests.golden.make`` shows what would change.

What is kept was made once, by the release that later ones are held to. To write it again is to give up that promise:
a difference that is meant belongs into ``allowed.py``, with its reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.golden import bundle
from tests.golden.contracts import observe_contracts, observe_schemas
from tests.golden.kept import NAMES, load, save
from tests.golden.log import EXPECTED
from tests.golden.observed import PARTITIONS, Lines, differences, observe
from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Compare, and write with ``--apply``."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description=__doc__)
    parser.add_argument("--apply", action="store_true", help="write, and so give up what was promised")
    apply = parser.parse_args().apply
    if apply and not (EXPECTED / "bundle").exists():
        bundle.write(EXPECTED / "bundle", FEATURE_NAMES, DECLARATIONS_HASH)
    if apply:
        for kind, schema in observe_schemas().items():
            (EXPECTED / f"{kind}.avsc").write_text(schema + "\n")
    found: dict[str, Lines] = {name: observe(name) for name in PARTITIONS} | {"contracts": observe_contracts()}
    for name in NAMES:
        _tell(name, load(name) if (EXPECTED / f"{name}.json.xz").exists() else {}, found[name])
        if apply:
            save(name, found[name])
    if apply:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=_ROOT, capture_output=True, text=True, check=True)
        (EXPECTED / "MADE_FROM").write_text(head.stdout)
    return 0


def _tell(name: str, kept: Lines, found: Lines) -> None:
    for part, lines in found.items():
        changed = differences(kept.get(part, []), lines)
        sys.stdout.write(f"{name} {part}: {len(lines)} lines, {len(changed)} differ\n")


if __name__ == "__main__":
    sys.exit(main())
