"""Runs every command about the past on the demo's data, and writes what each says: ``make past-page``.

``weir demo`` has run in this home. What is published here is taken back, and the one card that is erased at the end is
erased from the archive for good; to keep the demo's archive, give a copy of its home.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from deltalake import DeltaTable

from tests.house.source import ROOT
from tests.past_scenes import CHANGED, FILES, SCENES
from weir.infra.settings import Settings, load_settings
from weir.schemas.project import SHIPPED

LINES_MAX = 60
_CUT_FIRST, _CUT_LAST = 44, 12
_COLUMNS = 118
_AROUND_MS = 10_000
_UNTOLD = re.compile(r"^\{|: rows (checked|computed) up to line |^(compiling|compiled) the kernel")
_BEGIN = """# Every command about the past, on the demo's data

`make demo`, and then `make past-page`, which runs each of these commands and writes what it says, as it says it;
`…` is where lines are left out. {when}, {machine}, with a load of {load} from other work; the seconds of a command hold
the start of the program.

What each means: [rules](../rules.md), [publishing](../publishing.md), [what-if](../whatif.md),
[evidence and time travel](../evidence.md), [the archive](../archive.md), [models](../models.md),
[changing features](../changing-features.md).

A demo's labels have just come, and count once they have matured, so figures of fraud are empty here;
[what-if](../whatif.md) says what they are."""


class Run(NamedTuple):
    """Payments of a stolen card that is tried, as the simulator made them: from approved to declined."""

    card: str
    event: str
    first_ms: int
    last_ms: int


def main() -> int:
    """Run, write, and say by the exit code whether each command ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "past.md")
    out, settings = parser.parse_args().out, load_settings()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="weir-past-") as folder:
        _write_files(Path(folder))
        lines = [_begin()]
        for title, told, commands in SCENES:
            lines += [f"## {title}", told]
            for command, code in commands:
                shown = _run(command, Path(folder), settings)
                wrong += shown.code != code
                lines.append(shown.text + ("" if shown.code == code else f"\n\nexpected exit code {code}"))
                out.write_text("\n\n".join(lines) + "\n")
    return 1 if wrong else 0


class Shown(NamedTuple):
    """How a command ended, and its block of the page."""

    code: int
    text: str


def _begin() -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return _BEGIN.format(when=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine, load=f"{os.getloadavg()[1]:.0f}")


def _write_files(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for path in [*SHIPPED.glob("*.avsc"), SHIPPED / "payments.py"]:
        (folder / path.name).write_text(path.read_text())
    (folder / "changed.py").write_text((folder / "payments.py").read_text().replace(*CHANGED))


def _run(command: str, folder: Path, settings: Settings) -> Shown:
    own = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WEIR_HOME": str(settings.home.absolute()),
        "COLUMNS": str(_COLUMNS),
        "ROOT": str(ROOT),
    }
    if "$NEW" in command or "$OLD" in command:
        old, new = find_bundles(settings)
        own |= {"OLD": _version(old), "NEW": _version(new), "NEW_FOLDER": str(new.absolute())}
    if "$CARD" in command or "$ID" in command:
        run = find_run(settings)
        times = {"FROM": run.first_ms - _AROUND_MS, "TO": run.last_ms + _AROUND_MS}
        own |= {"CARD": run.card, "ID": run.event} | {name: _time(at) for name, at in times.items()}
    sys.stderr.write(f"$ {command}\n")
    began = datetime.now(UTC)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=own, capture_output=True, text=True, check=False
    )
    seconds = (datetime.now(UTC) - began).total_seconds()
    said = [line.rstrip() for line in [*done.stdout.splitlines(), *_told(done.stderr)]]
    said = [line.replace(str(settings.home.absolute()), "<home>").replace(str(folder), ".") for line in said]
    shown = [f"$ {command}", *_cut(said)]
    return Shown(
        done.returncode, "\n".join(["```text", *shown, "```", "", f"exit code {done.returncode}, {seconds:.1f} s"])
    )


def _told(stderr: str) -> Iterator[str]:
    """Yield what is said of the outcome: not the log, which is for machines, nor how far a long command is."""
    return (line for line in stderr.splitlines() if not _UNTOLD.search(line))


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= LINES_MAX else [*lines[:_CUT_FIRST], "…", *lines[-_CUT_LAST:]]


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def find_bundles(settings: Settings) -> tuple[Path, Path]:
    """Return the bundle that was made first, and the one that was made last."""
    folders = sorted(each for each in settings.models_dir.iterdir() if each.is_dir() and not each.is_symlink())
    return folders[0], folders[-1]


def _version(bundle: Path) -> str:
    return bundle.name.rpartition("-")[2]


def find_run(settings: Settings) -> Run:
    """Return the longest run of card testing of the demo that begins with an approval and ends with a decline."""
    truth = pq.read_table(settings.home / "demo" / "truth.parquet").to_pylist()
    actors = {row["transaction_id"]: row["actor_id"] for row in truth if "testing" in row["scenario"]}
    columns = ["id", "card_id", "decision", "append_ms"]
    table = DeltaTable(settings.home / "archive" / settings.topics.decisions).to_pyarrow_dataset()
    runs: dict[Any, list[dict[str, Any]]] = {}
    for row in table.to_table(columns=columns).sort_by("append_ms").to_pylist():
        if row["id"] in actors:
            runs.setdefault(actors[row["id"]], []).append(row)
    turned = [rows for rows in runs.values() if (rows[0]["decision"], rows[-1]["decision"]) == ("APPROVE", "DECLINE")]
    if not turned:
        raise SystemExit("expected a card-testing run that turned, and that is not erased; run `make demo` again")
    rows = max(turned, key=len)
    return Run(rows[0]["card_id"], rows[-1]["id"], rows[0]["append_ms"], rows[-1]["append_ms"])


if __name__ == "__main__":
    sys.exit(main())
