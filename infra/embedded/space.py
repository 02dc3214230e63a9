"""What the home and the downloads take on the disk, and which part of it can be freed without loss."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from weir.infra.embedded.artifacts import kafka_jars_dir, registry_dir
from weir.infra.embedded.leftover import children_record, demo_runs
from weir.infra.embedded.stack import ALL_NAMES, recorded_process
from weir.infra.user_folders import cache_dir

_SCRATCH_SECONDS = 3_600.0
"""A download's scratch folder that is older was left by a command that was killed."""
_DATA = {
    "servers/kafka": "payments, decisions, dead letters, labels and offsets: the log",
    "servers/redis": "windows (made again from the log) and the decision index",
    "servers/registry": "schemas and their ids, without which the log cannot be read",
    "models": "model bundles, the champion too",
    "mlruns": "records of training runs, and MLflow's registry of models",
    "history": "the labelled history that `weir train` reads",
    "uploads": "files that are being scored, and results that were not fetched",
}
"""Of the home, and what is lost with it."""
_STATE = ("ports.json", "stack.env", "stack.lock", "demo.json", "demo.lock", "demo-children.json", "servers", "logs")


@dataclass(frozen=True)
class Part:
    """Some paths that belong together.

    Attributes:
        loss: what is lost with them; empty where nothing is.
    """

    name: str
    paths: list[Path]
    what: str
    loss: str = ""
    size: int = field(default=0)


def measure(home: Path) -> list[Part]:
    """Return every part that is there with its size in bytes, the largest first."""
    parts = [*_home_parts(home), *_cache_parts()]
    sized = [Part(part.name, part.paths, part.what, part.loss, sum(map(size_of, part.paths))) for part in parts]
    return sorted((part for part in sized if part.paths), key=lambda part: -part.size)


def freeable(parts: Iterable[Part]) -> list[Part]:
    """Return the parts that can be deleted without loss."""
    return [part for part in parts if not part.loss]


def data_parts(home: Path) -> list[Part]:
    """Return everything of the home that Weir made, data and all; files of others are not among it."""
    parts = [part for part in measure(home) if all(path.is_relative_to(home) for path in part.paths)]
    state = [home / name for name in _STATE if (home / name).exists()]
    return [*parts, Part("state", state, "addresses, ports and records of processes")]


def delete(parts: Iterable[Part]) -> None:
    """Delete the parts."""
    for path in (path for part in parts for path in part.paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return the bytes that a file or a folder takes on the disk; what vanishes meanwhile takes none."""
    total = 0
    with suppress(OSError):
        total += _taken(path.lstat())
        for folder, names, files in os.walk(path):
            for name in (*names, *files):
                with suppress(OSError):
                    total += _taken((Path(folder) / name).lstat())
    return total


def _taken(stat: os.stat_result) -> int:
    return stat.st_blocks * 512


def show_bytes(count: int) -> str:
    """Return a size for people.

    >>> show_bytes(0), show_bytes(5 * 1024**2), show_bytes(3 * 1024**3 // 2)
    ('0.0 MiB', '5.0 MiB', '1.5 GiB')
    """
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / 1024**2:.1f} MiB"


def _home_parts(home: Path) -> Iterator[Part]:
    for name, loss in _DATA.items():
        if (home / name).exists():
            yield Part(f"{home.name}/{name}", [home / name], "data", loss)
    yield Part(f"{home.name}/logs", list(_old_logs(home)), "logs of processes that ended, and logs moved aside")
    if (home / "demo").exists() and not demo_runs(home):
        yield Part(f"{home.name}/demo", [home / "demo"], "what the last demo simulated")


def _old_logs(home: Path) -> Iterator[Path]:
    running = {name for name in ALL_NAMES if recorded_process(home, name).find_running() is not None}
    services_run = demo_runs(home) or children_record(home).exists()
    for path in sorted((home / "logs").glob("*")):
        if path.suffix == ".1" or (path.stem not in running and (path.stem in ALL_NAMES or not services_run)):
            yield path


def _cache_parts() -> Iterator[Part]:
    folder = cache_dir()
    used = [path for path in (kafka_jars_dir(), registry_dir()) if path.exists()]
    yield Part("downloads", used, "the servers' programs", "nothing but the time and the network to fetch them again")
    now = time.time()
    others = [path for pattern in ("kafka-*", "registry-*") for path in folder.glob(pattern) if path not in used]
    scratch = [path for pattern in ("*/.fetch-*", ".unpack-*") for path in folder.glob(pattern)]
    left = [path for path in scratch if now - path.lstat().st_mtime > _SCRATCH_SECONDS]
    yield Part("old downloads", [*others, *left], "servers' programs of other versions, and broken downloads")
