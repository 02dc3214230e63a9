"""Writes ``expected/`` from the code as it is: ``python -m tests.golden.make`` shows what would change.

What is kept was made once, by the release that later ones are held to. To write it again is to give up that promise:
a difference that is meant belongs into ``allowed.py``, with its reason.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.golden import bundle
from tests.golden.contracts import observe_contracts, observe_declarations, observe_schemas
from tests.golden.kept import NAMES, load, save
from tests.golden.log import EXPECTED
from tests.golden.observed import PARTITIONS, Lines, differences, observe
from tests.golden.records import schema_without_added
from tests.golden.shipped import ARE_THOSE_KEPT, KEPT_HASH
from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Compare, and write with ``--apply``."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description=__doc__)
    parser.add_argument("--apply", action="store_true", help="write, and so give up what was promised")
    apply = parser.parse_args().apply
    # what allowed.py adds is added to what is written too, so that both agree with the code afterwards
    schemas = {kind: schema_without_added(kind, schema) for kind, schema in observe_schemas().items()}
    found = {name: observe(name, schemas) for name in PARTITIONS} | {"contracts": observe_contracts()}
    if not ARE_THOSE_KEPT:
        sys.stdout.write(f"declarations: kept {KEPT_HASH}, found {DECLARATIONS_HASH}\n")
    for name in NAMES:
        _tell(name, load(name), found[name])
    if apply:
        replace_expected(found, schemas, made_from=_read_head())
    return 0


def _tell(name: str, kept: Lines, found: Lines) -> None:
    for part, lines in found.items():
        changed = differences(kept.get(part, []), lines)
        sys.stdout.write(f"{name} {part}: {len(lines)} lines, {len(changed)} differ\n")


def _read_head() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=_ROOT, capture_output=True, text=True, check=True).stdout


def replace_expected(found: Mapping[str, Lines], schemas: Mapping[str, str], *, made_from: str) -> None:
    """Write all of it next to ``expected/`` and exchange the two: what fails before leaves what was kept."""
    made, before = EXPECTED.with_name("expected.made"), EXPECTED.with_name("expected.before")
    for folder in (made, before):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXPECTED, made)
    _write(made, found, schemas)
    (made / "MADE_FROM").write_text(made_from)
    EXPECTED.rename(before)
    made.rename(EXPECTED)
    shutil.rmtree(before)


def _write(folder: Path, found: Mapping[str, Lines], schemas: Mapping[str, str]) -> None:
    for kind, schema in schemas.items():
        (folder / f"{kind}.avsc").write_text(schema + "\n")
    for name in NAMES:
        save(folder, name, found[name])
    if not ARE_THOSE_KEPT:  # else it stays: a model of an older release can be loaded
        bundle.write(folder / "bundle", FEATURE_NAMES, DECLARATIONS_HASH)
        (folder / "payments.json").write_text(json.dumps(observe_declarations(), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
