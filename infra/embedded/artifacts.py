"""Java artifacts by a checked-in lock: every byte that runs has the size and SHA-256 that the repository names.

A lock line is ``group:artifact:version[:packaging[:classifier]] size sha256``. An artifact is taken from the local
Maven repository where it is there, else downloaded by ``jgo`` at exactly the locked coordinates; versions are never
resolved (for Kafka 4.1.0 ``jgo`` once chose the clients of 3.8.0). Files appear in the cache whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from weir.infra.user_folders import cache_dir, user_home
from weir.schemas.errors import WeirError

Progress = Callable[[int, int], None]
"""Called with how many artifacts are there, of how many."""

_DOWNLOADS_AT_ONCE = 8
_DOWNLOAD_TIMEOUT_SECONDS = 120
_INFRA = Path(__file__).parent.parent
KAFKA_LOCK = _INFRA / "kafka-jars.lock"
REGISTRY_LOCK = _INFRA / "registry-app.lock"


@dataclass(frozen=True)
class Artifact:
    """One locked artifact; ``size`` in bytes."""

    group: str
    name: str
    version: str
    packaging: str
    classifier: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name Maven gives the file."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{suffix}.{self.packaging}"

    @property
    def maven_path(self) -> Path:
        """Where it lies in a local Maven repository, relative to its root."""
        return Path(*self.group.split("."), self.name, self.version, self.file_name)

    def matches(self, path: Path) -> bool:
        """Return whether the file has the locked size and digest."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def load_lock(path: Path) -> list[Artifact]:
    """Read a lock file."""
    return [_parse_line(line) for line in path.read_text().splitlines() if line.strip()]


def _parse_line(line: str) -> Artifact:
    coordinate, size, sha256 = line.split()
    group, name, version, *rest = coordinate.split(":")
    packaging, classifier = [*rest, "jar", ""][:2] if rest else ("jar", "")
    return Artifact(group, name, version, packaging, classifier, int(size), sha256)


def kafka_jars_dir() -> Path:
    """Return where the broker's jars are kept; the lock's digest names it, so a new lock is a new folder."""
    return cache_dir() / f"kafka-{_digest(KAFKA_LOCK)}"


def registry_dir() -> Path:
    """Return where the unpacked registry is kept."""
    return cache_dir() / f"registry-{_digest(REGISTRY_LOCK)}"


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:12]


def find_missing_kafka_jars() -> list[Artifact]:
    """Return the locked jars that are absent from the cache or have another size."""
    folder = kafka_jars_dir()
    return [a for a in load_lock(KAFKA_LOCK) if not _has_size(folder / a.file_name, a.size)]


def ensure_kafka_jars(progress: Progress) -> Path:
    """Return the folder with all of the broker's jars, fetching what is missing (56 MB at first, about 20 s)."""
    folder = kafka_jars_dir()
    folder.mkdir(parents=True, exist_ok=True)
    missing = find_missing_kafka_jars()
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        fetches = [pool.submit(fetch, artifact, folder / artifact.file_name) for artifact in missing]
        for done, future in enumerate(fetches, start=1):
            future.result()
            progress(done, len(missing))
    return folder


def ensure_registry(progress: Progress) -> Path:
    """Return the folder of the unpacked registry, fetching it at first (142 MB)."""
    folder = registry_dir()
    if folder.is_dir():
        return folder
    (artifact,) = load_lock(REGISTRY_LOCK)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as scratch:
        archive = fetch(artifact, Path(scratch) / artifact.file_name)
        with tarfile.open(archive) as tar:
            _extract(tar, Path(scratch) / "app")
        _rename_into_place(Path(scratch) / "app", folder)
    progress(1, 1)
    return folder


def fetch(artifact: Artifact, target: Path) -> Path:
    """Put one artifact at ``target``, verified.

    Raises:
        WeirError: it cannot be had, or its bytes are not those of the lock.
    """
    local = (user_home() or target.parent) / ".m2" / "repository" / artifact.maven_path
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        source = local if artifact.matches(local) else _download(artifact, Path(scratch))
        if not artifact.matches(source):
            raise WeirError(
                f"expected sha256 {artifact.sha256} of {artifact.file_name}, found other bytes; run it again"
            )
        part = Path(scratch) / "part"
        shutil.copyfile(source, part)
        part.replace(target)
    return target


def _download(artifact: Artifact, scratch: Path) -> Path:
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415  (an optional dependency, and slow to import)
    except ImportError:
        raise WeirError("the embedded servers need jgo to download; `make setup` brings it") from None
    context = MavenContext(repo_cache=scratch / "repository", timeout=_DOWNLOAD_TIMEOUT_SECONDS)
    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    try:
        resolved = component.artifact(classifier=artifact.classifier, packaging=artifact.packaging).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise WeirError(f"cannot download {artifact.file_name}: {error}; check the network and run it again") from error
    return Path(resolved)


def _rename_into_place(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)  # noqa: PTH104  (Path.rename hides that an existing folder is refused)
    except OSError:
        if not target.is_dir():  # else another process was first, with the same verified bytes
            raise


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Unpack files and folders that stay inside; Python has a filter for that since 3.11.4."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    inside = folder.resolve()
    for member in tar.getmembers():
        if not (member.isfile() or member.isdir()) or not (inside / member.name).resolve().is_relative_to(inside):
            raise WeirError(f"expected files and folders in an archive of ours, found {member.name!r}")
        tar.extract(member, folder)
