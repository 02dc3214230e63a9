"""What a project's streams were at the last check, kept in ``.weir/declarations.json``, and what is different now.

The note is for people, and nothing that runs reads it: lost or damaged, it is written again. It stays as it is until
``weir check --accept``, so that a change is reported until somebody has taken note of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from weir.rebuild_time import Rebuild
from weir.schemas.declarations_hash import describe_shape
from weir.schemas.stream import Stream

NOTE: Final = Path(".weir") / "declarations.json"
_WORDS: Final = {
    "state_version": "the format of the state",
    "panes_per_window": "the panes of a window",
    "windows_ms": "windows",
    "horizon_ms": "the horizon of late events",
    "duplicate_horizon_ms": "how long duplicates are known",
    "ids": "fields that hold ids",
}
"""What a part of the shape is called; the others go by their own names."""

Note: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The hash, the names of the features and the shape of each stream."""


def describe_streams(streams: Mapping[str, Stream]) -> dict[str, dict[str, Any]]:
    """Return the note of streams as they are."""
    noted = {
        name: {
            "hash": stream.declarations_hash,
            "features": list(stream.feature_names),
            "shape": describe_shape(stream),
        }
        for name, stream in streams.items()
    }
    return json.loads(json.dumps(noted))  # type: ignore[no-any-return] # as it is read back: tuples are lists


def load_note(project: Path) -> Note | None:
    """Return what was noted of a project, or nothing where there is no note that can be read."""
    try:
        noted = json.loads((project / NOTE).read_bytes())
        return {name: {key: each[key] for key in ("hash", "features", "shape")} for name, each in noted.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save_note(project: Path, note: Note) -> None:
    """Write the note whole or not at all."""
    path = project / NOTE
    path.parent.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


@dataclass(frozen=True)
class Change:
    """What is different in a stream.

    Attributes:
        before: the hash that was noted; ``""`` for a stream that is new.
        now: the hash of now; ``""`` for a stream that is not declared any more.
        parts: what shapes the state and is different; where there is any, the hash is another.
        rebuilt: entities whose state is built again from the log.
    """

    stream: str
    before: str
    now: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()

    def describe(self, rebuild: Rebuild | None = None) -> Iterator[str]:
        """Yield a line for each thing that somebody may have to do something about.

        Args:
            rebuild: how long building the state again takes.
        """
        if not self.now:
            yield "the stream is not declared any more: its topics and its state stay as they are"
        elif not self.before:
            yield "the stream is new"
        else:
            yield from (f"{word}: {', '.join(names)}" for word, names in self._names() if names)
            yield f"hash {self.before} -> {self.now}, by a change of {', '.join(self.parts) or 'nothing that is noted'}"
            yield f"built again from the log: the state of {', '.join(self.rebuilt)}; the old state is not touched"
            if rebuild:
                yield rebuild.describe()
            yield f"models of {self.before} are refused: train for {self.now}"

    def _names(self) -> list[tuple[str, tuple[str, ...]]]:
        return [("added", self.added), ("removed", self.removed)]


def find_changes(before: Note, now: Note) -> Iterator[Change]:
    """Yield a change for each stream that differs; two notes of one hash do not."""
    for name in sorted({*before, *now}):
        if name not in now:
            yield Change(name, before[name]["hash"], "")
        elif name not in before:
            yield Change(name, "", now[name]["hash"])
        elif before[name]["hash"] != now[name]["hash"]:
            yield _compare(name, before[name], now[name])


def _compare(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Change:
    parts = [key for key in now["shape"] if before["shape"].get(key) != now["shape"][key]]
    return Change(
        name,
        before["hash"],
        now["hash"],
        added=tuple(each for each in now["features"] if each not in before["features"]),
        removed=tuple(each for each in before["features"] if each not in now["features"]),
        parts=tuple(_WORDS.get(part, part) for part in parts),
        rebuilt=tuple(entity[0] for entity in now["shape"]["entities"]),
    )
