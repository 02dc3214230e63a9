"""Which declarations a command means: a file, a project's folder, the name of a stream, or a hash."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import Refused
from weir.schemas.project import PROJECT_FILE, find_project, find_stream, load_file, load_project, load_streams
from weir.schemas.stream import Stream
from weir.streaming.core.limits import refuse_faults

_HASH: Final = re.compile(r"[0-9a-f]{16}")
EXPECTED: Final = "a stream's file, a project's folder, the name of a stream, or the hash of one that is declared here"


@dataclass(frozen=True)
class Declared:
    """Declarations that were named.

    Attributes:
        named: as they were given.
        settings: of their stream.
    """

    named: str
    settings: Settings

    @property
    def stream(self) -> Stream:
        """The stream."""
        return self.settings.stream

    @property
    def hash(self) -> str:
        """What its state and its features go by in this deployment."""
        return self.settings.declarations_hash


def find_declared(named: str, stream_name: str = "") -> Declared:
    """Return the declarations of a name.

    Args:
        named: see ``EXPECTED``.
        stream_name: which one, where a file or a folder declares several.

    Raises:
        Refused: there are none of that name, several, or they have faults.
    """
    stream = _find_stream(named, stream_name)
    refuse_faults(stream)
    return Declared(named, load_settings().of_stream(stream))


def _find_stream(named: str, stream_name: str) -> Stream:
    path = Path(named)
    if path.is_dir():
        if not (path / PROJECT_FILE).is_file():
            raise Refused(f"expected a {PROJECT_FILE} in {path}, found none")
        return find_stream(path.absolute(), stream_name)
    if path.is_file():
        return _pick(_streams_of(path.absolute()), stream_name, named)
    streams, _ = load_streams(Path.cwd())
    if _HASH.fullmatch(named):
        settings = load_settings()
        found = [each for each in streams.values() if settings.of_stream(each).declarations_hash == named]
        return _pick(found, stream_name, named)
    if named in streams:
        return streams[named]
    raise Refused(f"expected {EXPECTED}, found {named!r}; there are {', '.join(streams)}")


def _streams_of(path: Path) -> Sequence[Stream]:
    """Return the streams of a file, as those of its project where it is in one."""
    folder = find_project(path.parent)
    if folder is not None and folder / "streams" == path.parent:
        project = load_project(folder)
        project.refuse_faults()
        return [each.stream for each in project.streams.values() if Path(each.stream.where.file) == path]
    loaded, findings = load_file(path)
    if findings:
        raise Refused("\n".join(map(str, findings)))
    return [each.stream for each in loaded]


def _pick(streams: Sequence[Stream], name: str, named: str) -> Stream:
    found: Mapping[str, Stream] = {each.name: each for each in streams if not name or each.name == name}
    if len(found) != 1:
        there = ", ".join(each.name for each in streams) or "none"
        raise Refused(f"expected one stream in {named}, found {there}; --stream says which one is meant")
    return next(iter(found.values()))
