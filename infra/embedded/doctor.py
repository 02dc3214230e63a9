"""``weir doctor``: what the embedded stack needs, whether it is here, and the command that mends what is not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.artifacts import KAFKA_LOCK, find_missing_kafka_jars, load_lock, registry_dir
from infra.embedded.java import find_java
from infra.embedded.redis_server import find_redis
from infra.embedded.space import freeable, measure, show_bytes
from infra.embedded.stack import Stack
from infra.registry import Registry
from infra.schemas_cli import check_level_of, topic_of
from infra.settings import load_settings
from schemas.contracts import TOPIC_KINDS, subject
from schemas.errors import WeirError

_DISK_BYTES_MIN = 2 * 1024**3
"""The servers take 0.5 GB once unpacked; the rest is room for a log worth playing with."""
_OTHER_PYTHON = "install Python 3.11, 3.12 or 3.13, delete .venv, then `make PYTHON=python3.11 setup`"
_PARTS_SHOWN = 4
_WORTH_BYTES = 1024**2
"""What frees less is not named as a fix."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``mend`` is the command to run when it is not well."""

    name: str
    well: bool
    found: str
    mend: str = ""


def run(home: Path, *, as_json: bool) -> int:
    """Print every finding. Exit code 0 when all is well, 1 otherwise."""
    findings = list(examine(home))
    if as_json:
        sys.stdout.write(json.dumps([vars(finding) for finding in findings]) + "\n")
    else:
        sys.stdout.writelines(_line(finding) for finding in findings)
    return 0 if all(finding.well for finding in findings) else 1


def examine(home: Path) -> Iterator[Finding]:
    """Look at the machine, then at the stack of ``home``."""
    yield _examine_python()
    yield _attempt("settings", lambda: f"valid, home {load_settings().home}", "see .env.example")
    yield _attempt("java", lambda: f"{find_java().version} at {find_java().path}", "make setup")
    yield _attempt("redis", find_redis, "make setup")
    yield _examine_jars()
    yield Finding(
        "registry app", registry_dir().is_dir(), "unpacked" if registry_dir().is_dir() else "absent", "weir up"
    )
    yield _examine_disk(home)
    yield from _examine_stack(home)
    yield from _examine_levels()


def _line(finding: Finding) -> str:
    mark = "ok  " if finding.well else "FAIL"
    mend = "" if finding.well or not finding.mend else f"  -> {finding.mend}"
    return f"{mark} {finding.name:<13} {finding.found}{mend}\n"


def _attempt(name: str, find: Callable[[], str], mend: str) -> Finding:
    try:
        return Finding(name, well=True, found=find())
    except WeirError as error:
        return Finding(name, well=False, found=str(error), mend=mend)


def _examine_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    inside = "in a virtual environment" if sys.prefix != sys.base_prefix else "outside a virtual environment"
    return Finding("python", (3, 11) <= sys.version_info[:2] < (3, 14), f"{version}, {inside}", _OTHER_PYTHON)


def _examine_jars() -> Finding:
    missing, of = len(find_missing_kafka_jars()), len(load_lock(KAFKA_LOCK))
    return Finding("kafka jars", missing == 0, f"{of - missing} of {of}", "weir up")


def _examine_disk(home: Path) -> Finding:
    existing = next(folder for folder in [home.absolute(), *home.absolute().parents] if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free >= _DISK_BYTES_MIN:
        return Finding("disk", well=True, found=f"{show_bytes(free)} free")
    parts = measure(home.absolute())
    largest = ", ".join(f"{part.name} {show_bytes(part.size)}" for part in parts[:_PARTS_SHOWN])
    found = f"{show_bytes(free)} free, expected {show_bytes(_DISK_BYTES_MIN)}; {largest or 'nothing of it is ours'}"
    return Finding("disk", well=False, found=found, mend=_free_space(sum(part.size for part in freeable(parts)), free))


def _free_space(gain: int, free: int) -> str:
    """Return what frees space without loss, and what else there is to do where that is not enough."""
    elsewhere = "free space elsewhere on this disk, or set WEIR_HOME to a folder of another one"
    if gain < _WORTH_BYTES:
        return f"nothing here can be freed without loss: {elsewhere}"
    gains = f"`weir clean --apply` frees {show_bytes(gain)} without loss (`weir clean` shows what)"
    return gains if free + gain >= _DISK_BYTES_MIN else f"{gains}; that is not enough: {elsewhere}"


def _examine_stack(home: Path) -> Iterator[Finding]:
    if not home.is_dir():
        yield Finding("stack", well=False, found="never started", mend="weir up")
        return
    for status in Stack(home).status():
        found = f"{status.address}, pid {status.pid}" if status.pid else f"{status.address}, not running"
        yield Finding(status.name, status.ready, found, "weir up" if not status.pid else f"weir logs {status.name}")


def _examine_levels() -> Iterator[Finding]:
    """Look at the level of each subject that there is: a wrong one lets a producer in whom nobody can read."""
    try:
        settings = load_settings()
        with closing(Registry(settings.registry)) as registry:
            named = {kind: subject(topic_of(kind, settings.topics)) for kind in TOPIC_KINDS}
            found = [
                check_level_of(registry, name, kind) for kind, name in named.items() if registry.version_texts(name)
            ]
    except WeirError:
        return  # it is away, which is said above, or no registry at all
    wrong = [f"{finding.subject}: {finding.problem.partition(';')[0]}" for finding in found if finding.problem]
    if found:
        yield Finding(
            "schema levels", not wrong, "; ".join(wrong) or f"right for {len(found)}", "weir schemas register"
        )
