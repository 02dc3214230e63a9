"""Where results go: a page for people, one flat object of medians for machines, and the raw samples."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tests.bench.figures import Verdict, medians
from tests.bench.rounds import Outcome

PAGE, FLAT, RAW = "bench.md", "bench.json", "bench-raw.json"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""Each run rewrites what is between them; what is around them is written by hand and stays."""
_PACKAGES = ("confluent-kafka", "fastavro", "lightgbm", "numba", "numpy", "onnxruntime", "pyarrow", "pyruhvro", "redis")
_EMPTY_PAGE = f"# Measured\n\n{BEGIN}\n{END}\n"


def flat(outcome: Outcome) -> dict[str, float]:
    """Return the median of every key."""
    return {key: round(value, 3) for key, value in medians(outcome.values).items()}


def describe_machine() -> dict[str, object]:
    """Return what a figure has to be read with; of a busy machine it is a bound from below."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_1m": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "peers": _peers(),
    }


def as_text(verdicts: Sequence[Verdict], outcome: Outcome) -> str:
    """Return the table as Markdown, with what failed or could not be measured."""
    head = "| what | target | median | lowest | highest | runs | met |\n|---|---:|---:|---:|---:|---:|---|\n"
    lines = [_line(verdict, outcome.missing) for verdict in verdicts]
    failed = [f"\nFailed: {each}\n" for each in outcome.failed]
    missing = [f"\nNot measured: {what}: {why}.\n" for what, why in outcome.missing.items()]
    return head + "".join(lines + failed + missing)


def replace_measured(page: str, measured: str) -> str:
    """Return a page with its measured part replaced; a page that has none gets one at its end.

    >>> replace_measured(f"before {BEGIN} old {END} after", "new").split("\\n")
    ['before <!-- measured: begin -->', 'new', '<!-- measured: end --> after']
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        before, after = page, "\n"
    return f"{before}{BEGIN}\n{measured}\n{END}{after}"


def write(
    folder: Path, verdicts: Sequence[Verdict], outcome: Outcome, *, machine: dict[str, object], command: str
) -> None:
    """Write all three files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder / PAGE, as_text(verdicts, outcome), machine=machine, command=command)
    (folder / FLAT).write_text(json.dumps(flat(outcome), indent=1) + "\n")
    raw = {
        "command": command,
        "machine": machine,
        "rounds": [[asdict(sample) for sample in samples] for samples in outcome.rounds],
        "failed": outcome.failed,
        "missing": outcome.missing,
    }
    (folder / RAW).write_text(json.dumps(raw, indent=1) + "\n")


def write_page(page: Path, table: str, *, machine: dict[str, object], command: str) -> None:
    """Write a table into a page's measured part, with the command, the machine and the versions."""
    before = page.read_text() if page.exists() else _EMPTY_PAGE
    page.write_text(replace_measured(before, f"{_about(machine, command)}\n{table}"))


def _about(machine: Mapping[str, object], command: str) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in dict(machine["packages"]).items())  # type: ignore[call-overload]
    peers = ", ".join(f"{name} {version}" for name, version in dict(machine["peers"]).items())  # type: ignore[call-overload]
    return (
        f"`{command}`, {machine['date']}: {machine['cores']} cores ({machine['cpu']}), {machine['system']}, "
        f"Python {machine['python']}, load {machine['load_1m']} at the end.\n"
        f"Ours: {packages}.\nPeers: {peers or 'not installed'}.\n"
    )


def _line(verdict: Verdict, missing: Mapping[str, str]) -> str:
    target = verdict.target
    sign = "≤" if target.at_most else "≥"
    bound = "" if target.bound is None else f"{sign} {_number(target.bound)}"
    if verdict.median is None:
        why = missing.get(target.key, "not measured in this run")
        return f"| {target.what} | {bound} | | | | 0 | {why} |\n"
    met = {True: "yes", False: "**no**", None: ""}[verdict.met]
    spread = " | ".join(_number(value) for value in (verdict.median, min(verdict.values), max(verdict.values)))
    return f"| {target.what} | {bound} | {spread} | {len(verdict.values)} | {met} |\n"


def _number(value: float) -> str:
    """Format for people: as many digits as a reader can use.

    >>> _number(40000), _number(12.34), _number(0.317)
    ('40,000', '12.3', '0.32')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _peers() -> dict[str, str]:
    """Return the pinned versions of what the peers are made of."""
    lock = Path(__file__).parents[2] / "requirements" / "peers.lock"
    wanted = ("quixstreams", "faust-streaming", "confluent-kafka", "redis")
    pins = [line.split(" ")[0].split("==") for line in lock.read_text().splitlines() if "==" in line]
    return {name: version for name, version in pins if name in wanted}
