"""Avro schemas next to a stream's own file: ``clicks.avsc``, or ``clicks.v1.avsc``, ``clicks.v2.avsc`` and so on."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Final

from weir.schemas.errors import Refused

_VERSION: Final = re.compile(r"\.v([0-9]+)\.avsc")


def find_versions(folder: Path, name: str) -> list[Path]:
    """Return the files of a schema, oldest version first; none where there is none."""
    if (folder / name).is_file():
        return [folder / name]
    stem = name.removesuffix(".avsc")
    found = [(path, _VERSION.fullmatch(path.name.removeprefix(stem))) for path in folder.glob(f"{stem}.v*.avsc")]
    return [path for _, path in sorted((int(match[1]), path) for path, match in found if match)]


@cache
def read_versions(folder: Path, name: str) -> tuple[str, ...]:
    """Return every version of a schema as JSON text, oldest first.

    One compact form, so that a registry sees the same text whatever the file's layout.

    Raises:
        Refused: there is no such file.
    """
    paths = find_versions(folder, name)
    if not paths:
        raise Refused(f"expected {name} in {folder}, found none; a stream's schemas are next to its own file")
    return tuple(json.dumps(json.loads(path.read_bytes()), separators=(",", ":")) for path in paths)
