"""``weir doctor``: what the embedded stack needs, whether it is here, and the command that fixes what is not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from weir.infra.embedded.artifacts import KAFKA_LOCK, find_missing_kafka_jars, load_lock, registry_dir
from weir.infra.embedded.java import find_java
from weir.infra.embedded.redis_server import find_redis
from weir.infra.embedded.space import freeable, measure, show_bytes
from weir.infra.embedded.stack import Stack
from weir.infra.findings import Finding, Level, worst
from weir.infra.home import stack_env_path
from weir.infra.invariants import examine_all
from weir.infra.settings import Settings, home_dir, load_settings
from weir.schemas.errors import Refused, WeirError
from weir.schemas.project import find_streams

_DISK_BYTES_MIN = 2 * 1024**3
"""The servers take 0.5 GB once unpacked; the rest is room for a log worth playing with."""
_OTHER_PYTHON = "install Python 3.11, 3.12 or 3.13, delete .venv, then `make PYTHON=python3.11 setup`"
_PARTS_SHOWN = 4
_WORTH_BYTES = 1024**2
"""What frees less is not named as a fix."""


_MARKS: dict[Level, str] = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def run(home: Path, *, as_json: bool) -> int:
    """Print every finding. Exit code 1 when one fails; a warning is no fault yet."""
    findings = list(examine(home))
    if as_json:
        sys.stdout.write(json.dumps([vars(finding) for finding in findings]) + "\n")
    else:
        sys.stdout.writelines(_line(finding) for finding in findings)
    return 1 if worst(findings) == "fail" else 0


def examine(home: Path) -> Iterator[Finding]:
    """Look at the machine, then at the stack of ``home``."""
    yield _examine_python()
    yield _attempt("settings", lambda: f"valid, home {load_settings().home}", "see .env.example")
    yield _attempt("java", lambda: f"{find_java().version} at {find_java().path}", "make setup")
    yield _attempt("redis", find_redis, "make setup")
    yield _examine_jars()
    unpacked = registry_dir().is_dir()
    yield _judge("registry app", well=unpacked, found="unpacked" if unpacked else "absent", fix="weir up")
    yield _examine_disk(home)
    yield from _examine_stack(home)
    yield from _examine_promises(home)


def _line(finding: Finding) -> str:
    fix = "" if finding.well or not finding.fix else f"  -> {finding.fix}"
    return f"{_MARKS[finding.level]} {finding.check:<13} {finding.found}{fix}\n"


def _judge(check: str, *, well: bool, found: str, fix: str) -> Finding:
    return Finding(check, "ok", found) if well else Finding(check, "fail", found, fix)


def _attempt(name: str, find: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(name, "ok", find())
    except WeirError as error:
        return Finding(name, "fail", str(error), fix)


def _examine_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    inside = "in a virtual environment" if sys.prefix != sys.base_prefix else "outside a virtual environment"
    well = (3, 11) <= sys.version_info[:2] < (3, 14)
    return _judge("python", well=well, found=f"{version}, {inside}", fix=_OTHER_PYTHON)


def _examine_jars() -> Finding:
    missing, of = len(find_missing_kafka_jars()), len(load_lock(KAFKA_LOCK))
    return _judge("kafka jars", well=missing == 0, found=f"{of - missing} of {of}", fix="weir up")


def _examine_disk(home: Path) -> Finding:
    existing = next(folder for folder in [home.absolute(), *home.absolute().parents] if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free >= _DISK_BYTES_MIN:
        return Finding("disk", "ok", f"{show_bytes(free)} free")
    parts = measure(home.absolute())
    largest = ", ".join(f"{part.name} {show_bytes(part.size)}" for part in parts[:_PARTS_SHOWN])
    found = f"{show_bytes(free)} free, expected {show_bytes(_DISK_BYTES_MIN)}; {largest or 'nothing of it is ours'}"
    return Finding("disk", "fail", found, _free_space(sum(part.size for part in freeable(parts)), free))


def _free_space(gain: int, free: int) -> str:
    """Return what frees space without loss, and what else there is to do where that is not enough."""
    elsewhere = "free space elsewhere on this disk, or set WEIR_HOME to a folder of another one"
    if gain < _WORTH_BYTES:
        return f"nothing here can be freed without loss: {elsewhere}"
    gains = f"`weir clean --apply` frees {show_bytes(gain)} without loss (`weir clean` shows what)"
    return gains if free + gain >= _DISK_BYTES_MIN else f"{gains}; that is not enough: {elsewhere}"


def _examine_promises(home: Path) -> Iterator[Finding]:
    """Look at what the promises rely on while processes run, wherever the settings say that the servers are."""
    try:
        settings = load_settings() if home == home_dir() else load_settings({"WEIR_HOME": str(home)})
    except Refused:
        return  # said above
    try:
        streams = find_streams(Path.cwd()).streams
    except Refused as error:
        yield Finding("project", "fail", str(error).replace("\n", "; "), "see `weir check`")
        streams = ()
    yield from examine_all(settings, streams, without=_find_away(home, settings))


def _find_away(home: Path, settings: Settings) -> set[str]:
    """Return the embedded servers that are meant and do not serve: that was said, and asking them takes long."""
    if not stack_env_path(home).is_file():
        return set()
    stack = Stack(home)
    own = load_settings({"WEIR_HOME": str(home)})
    meant = {
        "kafka": settings.kafka.bootstrap_servers == own.kafka.bootstrap_servers,
        "redis": settings.redis.url == own.redis.url,
        "registry": settings.registry.url == own.registry.url,
    }
    return {status.name for status in stack.status() if not status.ready and meant[status.name]}


def _examine_stack(home: Path) -> Iterator[Finding]:
    if not home.is_dir():
        yield Finding("stack", "fail", "never started", "weir up")
        return
    for status in Stack(home).status():
        found = f"{status.address}, pid {status.pid}" if status.pid else f"{status.address}, not running"
        fix = "weir up" if not status.pid else f"weir logs {status.name}"
        yield _judge(status.name, well=status.ready, found=found, fix=fix)
